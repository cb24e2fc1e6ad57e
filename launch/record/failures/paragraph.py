"""The report on an attempt that failed."""

import contextlib
import os
import re
from pathlib import Path
from typing import Any

from launch import HOME
from launch.record import job
from launch.record.contents import Hang
from launch.record.failures.causes import Failure, failure_of, suggestion
from launch.record.failures.diagnose import first_failure
from launch.record.failures.job_log import end_of
from launch.record.files import MOST, Unreadable, read_end
from launch.record.performance.steps import StepReader
from launch.record.rundir import RunDir


def paragraph(run: RunDir) -> str:
    """Return the report on the last attempt that failed: rank, node, step, error, last lines, advice."""
    attempt = run.attempts()
    ended = [event for event in run.events("ended") if event.get("attempt") == attempt]
    record = ended[-1].get("first_failure") if ended else None
    failure = failure_of(record) if record else None if ended else first_failure(run, attempt)
    if ended and (hang := ended[-1].get("hang")):
        return "\n".join([f"hung: {hang.get('said')}", *_stack(run, attempt, hang)])
    if failure is None and ended and (reason := ended[-1].get("reason")):
        return reason
    if failure is None:
        made_by = job.latest([run]).get(run.path)  # the job may have ended before the run's turn
        last = _tail(run.job_log) or _tail(run.node_log(0)) or (_tail(made_by.log) if made_by else [])
        if not last and _left_nothing(run, made_by):
            return (
                f"its job left nothing in {run.path}: is this folder seen on the nodes? Start the run in one that "
                "they share (--runs), not on a disk of this machine"
            )
        text = ["no rank said why it failed" + ("; the last lines are" if last else f"; see {run.logs}")]
        return "\n".join([*text, *([_indent(last)] if last else []), *_advice(run, last)])
    where = f"node {failure.node} ({failure.host})" if failure.node is not None else failure.host
    step = _last_step(run, failure)
    text = [
        f"rank {failure.rank} on {where} failed first{f', after step {step}' if step else ''}: "
        f"{_headline(failure.error)}"
    ]
    last = failure.traceback.rstrip().splitlines()[-12:]
    if failure.error.startswith(("ended by", "exit status")):  # the rank could not say why; its last output may
        last = _without_dump(_tail(_log_of(run, failure), failure.rank, 100, _printed_before(run, failure.node)))
    if last:
        text.append(_indent(last))
    return "\n".join([*text, *_advice(run, [failure.error, failure.traceback, *last], failure.address_space)])


def _stack(run: RunDir, attempt: int, hang: Hang) -> list[str]:
    """Return the stack of the main thread of the rank that is behind in a hung run, innermost frame first."""
    if "rank" not in hang or "node" not in hang:
        return []
    text = end_of(run.node_stacks(attempt, hang["node"]), MOST)
    _, found, own = f"\n{text}".partition(f"\nrank {hang['rank']} on ")
    own = own.split("\nrank ")[0]  # an empty line separates two ranks
    *_, main = re.split(r"\n(?:Current t|T)hread 0x.*\n", own)
    ours = os.path.join(HOME, "launch")
    frames = [line.strip() for line in main.splitlines() if line.startswith("  File ") and ours not in line]
    return [_indent(frames[:8])] if found and frames else []


def _left_nothing(run: RunDir, made_by: job.Job | None) -> bool:
    """Return whether a job on other machines has ended without a trace in the run."""
    if made_by is None or made_by.backend == "local":
        return False
    return all(event.get("submission") != made_by.number for event in run.events("started"))


def _without_dump(lines: list[str]) -> list[str]:
    """Return the last lines, or those around the crash if Python has listed all its threads and modules after it."""
    fatal = next((place for place, line in enumerate(lines) if line.startswith("Fatal Python error")), None)
    return lines[-12:] if fatal is None else lines[max(0, fatal - 4) : fatal + 8]


def _log_of(run: RunDir, failure: Failure) -> Path:
    return run.node_log(failure.node) if failure.node is not None else run.job_log


def _advice(run: RunDir, lines: list[str], address_space: int | None = None) -> list[str]:
    plan = run.record()
    ranks = plan["ranks_per_node"] * (plan["nodes"] if plan["backend"] == "local" else 1)
    workload, in_image = plan.get("kind") == "workload", bool(plan.get("container"))
    advice = suggestion("\n".join(lines), workload, in_image, ranks, address_space)
    return [f"what to do: {advice}"] if advice else []


def _last_step(run: RunDir, failure: Failure) -> int | None:
    if failure.node is None:
        return None
    with contextlib.suppress(Unreadable):
        reader = StepReader(run)
        for path in (run.node_steps(failure.node), run.rank_steps(failure.rank)):
            lines = read_end(path, 2**22).split(b"\n")
            own = [record["step"] for record in reader.steps(path, lines) if record["rank"] == failure.rank]
            if own:
                return own[-1]
    return None


def _printed_before(run: RunDir, node: int | None) -> int:
    """Return the bytes of a node's log that belong to earlier attempts."""
    started = run.events("started")
    begins = started[-1].get("logs", []) if started and node is not None else []
    return begins[node] if node is not None and node < len(begins) else 0


def _tail(path: Path, rank: int | None = None, count: int = 12, begin: int = 0) -> list[str]:
    """Return the last lines of a log after its first ``begin`` bytes, of one rank or all. Read from the end: a log can
    be long."""
    lines = end_of(path, 65536, begin).splitlines()
    if rank is not None:
        own = re.compile(rf"\s*{rank}: ")
        # Slurm's own messages have the label of a node's first rank.
        lines = [line[match.end() :] for line in lines if (match := own.match(line)) and "slurmstepd-" not in line]
    return [line for line in lines if line.strip()][-count:]


def _headline(error: str) -> str:
    """Return an error on one line. The rest of it is in its traceback, or in the rank's last output."""
    first, newline, _ = error.strip().partition("\n")
    return f"{first.rstrip()} ..." if newline else first


def _indent(lines: list[Any]) -> str:
    return "\n".join(f"    {line}" for line in lines)
