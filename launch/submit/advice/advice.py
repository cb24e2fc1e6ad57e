"""What to ask for next time. Compares the time, memory, cores and GPUs that finished runs asked for with what they
used, and finds the number of nodes of a study with the best cost for the time."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from launch.errors import command
from launch.record.rundir import RunDir
from launch.record.study import entries_of, is_study
from launch.record.table import aligned
from launch.submit.advice import best_nodes, findings, used
from launch.submit.advice.findings import Finding


class Advice(NamedTuple):
    """The advice on a run, or on all runs of a study together."""

    folder: Path
    runs: int  # number of runs that have ended
    findings: Sequence[Finding]
    nodes: Sequence[best_nodes.Best]

    @property
    def options(self) -> list[str]:
        """The options to give differently next time."""
        return [word for finding in self.findings for word in finding.options]


def of(folder: Path) -> Advice:
    """Return the advice on a run, or on a study by its folder.

    Raises
    ------
    Refusal
        If a file of the study is damaged.
    """
    if is_study(folder):
        names = [entry["run"] for entry in entries_of(folder)]
        runs, nodes = [RunDir(folder / name) for name in names], best_nodes.of(folder)
    else:
        runs, nodes = [RunDir(folder)], []
    uses = used.of([run for run in runs if run.run_json.exists()])
    return Advice(folder, len(uses), findings.of(uses) if uses else [], nodes)


def brief(folder: Path) -> str:
    """Return what other options would gain next time, in a line or two; empty if nothing."""
    if not _may_gain(folder):
        return ""
    advice, lines = of(folder), []
    if advice.options:
        why = "; ".join(
            f"{finding.what}: asked {finding.asked}, used {finding.used}"
            for finding in advice.findings
            if finding.options
        )
        lines = [f"next time: {shlex.join(advice.options)} ({why}); all of it: {command('status --advice', folder)}"]
    return "\n".join([*lines, *(best_nodes.said(best) for best in advice.nodes if not best.is_largest)])


def _may_gain(folder: Path) -> bool:
    """Return whether anything was asked for, or several numbers of nodes were measured. If not, the readings need not
    be read."""
    if is_study(folder):
        return True
    plan = RunDir(folder).record()
    return plan["backend"] != "local" or any(plan.get(name) for name in ("time_s", "cpus_per_task", "gpus_per_node"))


def report(advice: Advice) -> str:
    """Return the advice as text."""
    if not advice.runs and not advice.nodes:
        return f"{advice.folder}: no run has ended yet"
    head = f"{advice.folder}" + f": {advice.runs} runs that have ended" * (advice.runs > 1)
    rows = [["", "asked", "used", "next time"]]
    rows += [[finding.what, finding.asked, finding.used, shlex.join(finding.options)] for finding in advice.findings]
    notes = [f"{finding.what}: {finding.note}" for finding in advice.findings if finding.note]
    if advice.options:
        notes.append(f"next time: {shlex.join(advice.options)}")
    return "\n".join([head, aligned(rows), *notes, *_on_nodes(advice.nodes)])


def as_json(advice: Advice) -> dict[str, Any]:
    """Return the advice as an object, for programs."""
    return {
        "path": str(advice.folder),
        "runs": advice.runs,
        "findings": [finding._asdict() for finding in advice.findings],
        "options": advice.options,
        "nodes": [
            {"values": dict(best.values), "best": best.nodes, "unit": best.points[0].unit, "points": best.rows()}
            for best in advice.nodes
        ],
    }


def _on_nodes(found: Sequence[best_nodes.Best]) -> list[str]:
    lines = []
    for best in found:
        rows = [["nodes", best.points[0].unit, "speed-up", "efficiency", "node-hours"]]
        rows += [
            [
                str(row["nodes"]),
                f"{row['throughput']:.4g}",
                f"{row['speed_up']:.3g}",
                f"{row['efficiency']:.0%}",
                f"{row['node_hours']:.3g}",
            ]
            for row in best.rows()
        ]
        lines += ["", aligned(rows, ">"), best_nodes.said(best)]
    return [*lines, f"speed-up and node-hours are for the same work; {best_nodes.WHY}"] if found else []
