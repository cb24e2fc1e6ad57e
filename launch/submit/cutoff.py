"""launch.submit.cutoff RUN: whether to skip a run of a study because smaller ones were not efficient enough.

The script of a packed study calls this before each run. Exit status 0 means that the run is cut off, and the reason is
printed; 1 means that it is to be made.
"""

import functools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from launch import own_command
from launch.plan.plan import Plan
from launch.record import job as record
from launch.record.performance.figures import UNIT, of_result
from launch.record.rundir import RunDir
from launch.record.study import read_index

PREDICT_FROM = 3
"""So many numbers of nodes must have been measured before one is predicted: two points show no curvature."""


_said: set[Path] = set()  # runs that the launcher that watches a study has named


class Measured(NamedTuple):
    """What the finished runs of a point have reached."""

    nodes: int
    ranks: int
    rate: float  # throughput over all ranks: harmonic mean over the runs, as each did the same work
    unit: str = UNIT  # unit of the rate


def why(points: Sequence[Measured], nodes: int, least: float) -> str:
    """Return why a point on ``nodes`` nodes is not worth its node-hours; empty if it may be.

    The efficiency is (X / p) / (X0 / p0), with X the throughput of p ranks together and X0 that of the fewest. This
    holds for weak scaling, where it is a ratio of times for the same work per rank, and for strong scaling, where it is
    the speed-up over p / p0.

    Parameters
    ----------
    points : sequence of Measured
        The points that differ from it in their nodes only.
    nodes : int
        Number of nodes of the point.
    least : float
        The efficiency that a smaller point must have reached.
    """
    for base, point in ((min(points), point) for point in sorted(points)[1:]):
        efficiency = (point.rate / point.ranks) / (base.rate / base.ranks)
        if point.nodes < nodes and efficiency < least:
            return (
                f"efficiency {efficiency:.3g} on {point.nodes} nodes is below {least:g} ({point.rate:.4g} "
                f"{point.unit} on {point.ranks} ranks, against {base.rate:.4g} on {base.ranks})"
            )
    return ""


def why_predicted(points: Sequence[Measured], nodes: int, ranks: int, kind: str, least: float) -> str:
    """Return why a point is not worth its node-hours, as predicted from the smaller points; empty if it may be.

    It is not if even the upper end of the interval of its predicted efficiency is below ``least``.

    Parameters
    ----------
    points : sequence of Measured
        The smaller points that differ from it in their nodes only.
    nodes, ranks : int
        Number of nodes and ranks of the point.
    kind : str
        "weak" or "strong".
    least : float
        The efficiency that it must be predicted to reach.
    """
    if len(points) < PREDICT_FROM:
        return ""
    predicted = _predicted(tuple(sorted(points)), ranks, kind)
    if predicted is None or predicted["efficiency_high"] >= least:
        return ""
    return (
        f"predicted efficiency on {nodes} nodes is {predicted['efficiency']:.3g}, at most "
        f"{predicted['efficiency_high']:.3g}, below {least:g} (from {len(points)} smaller points; "
        f"{predicted['throughput']:.4g} {points[0].unit} on {ranks} ranks)"
    )


@functools.cache  # the launcher that watches a study asks again and again
def _predicted(points: tuple[Measured, ...], ranks: int, kind: str) -> dict[str, float] | None:
    """Return the prediction by python -m profiling predict, which the launcher only runs as a command. If it fails,
    print why and return None."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "measured.json"
        table.write_text(json.dumps([{"workers": one.ranks, "throughput": one.rate, "kind": kind} for one in points]))
        asked = own_command(sys.executable, "predict", str(table), "--workers", str(ranks), "--json")
        said = subprocess.run(asked, capture_output=True, text=True, check=False)
    if said.returncode:
        print(
            f"the efficiency cannot be predicted for {ranks} ranks: "
            f"{(said.stderr.strip().splitlines() or [said.returncode])[-1]}",
            flush=True,
        )
        return None
    return json.loads(said.stdout)["predictions"][0]


def cut(run: RunDir, plan: Plan) -> bool:
    """Return whether a run must be skipped; if so, print why and record that as the run's end.

    A point counts as measured once none of its runs is still to come; its runs that have a result give its value.
    """
    if plan.stop_below is None:
        return False
    folder = run.path.parent
    study = read_index(folder)
    if study is None:
        return False
    index = study["runs"]
    own = next(entry for entry in index if entry["run"] == run.path.name)
    points: dict[int, list[RunDir]] = {}
    for entry in index:
        if entry["nodes"] < own["nodes"] and point_of(entry) == point_of(own):
            points.setdefault(entry["nodes"], []).append(RunDir(folder / entry["run"]))
    known = [point for nodes, runs in points.items() if (point := measured(nodes, runs))]
    _say_silent([run for runs in points.values() for run in runs])
    # Without the smallest point there is nothing to compare to.
    if not known or min(points) < min(known).nodes:
        return False
    reason = why(known, own["nodes"], plan.stop_below) or why_predicted(
        known, own["nodes"], plan.size, study.get("scaling", "weak"), plan.stop_below
    )
    if not reason:
        return False
    job = record.latest([run]).get(run.path)
    run.append_event("cancelled", reason=reason, submission=job and job.number)
    print(f"{run.path.name}: not run: {reason}", flush=True)
    return True


def measured(nodes: int, runs: Sequence[RunDir]) -> Measured | None:
    """Return the measured point of some runs, from those that have a result; None while a run is still to come, or if
    they have no speed."""
    results = [run.result() for run in runs]
    if any(result is None and _to_come(run) for run, result in zip(runs, results)):
        return None
    ranks = next((result.get("ranks") for result in results if result), None) or nodes
    made = [made for result in results if result and (made := of_result(result)) and made.value]
    if not made or len({each.unit for each in made}) > 1:
        return None
    unit = made[0].unit if made[0].work is None else f"{made[0].unit} of all work"
    return Measured(nodes, ranks, statistics.harmonic_mean([each.value * (each.work or 1) for each in made]), unit)


def _say_silent(runs: Sequence[RunDir]) -> None:
    """Print which runs cannot decide, as they have a result without a throughput; each is named once."""
    silent = [run.path for run in runs if (result := run.result()) and of_result(result) is None]
    if new := [path for path in silent if path not in _said]:
        _said.update(new)
        print(
            f"--stop-below skips nothing because of {', '.join(path.name for path in new)}, without a throughput: have "
            "the program record its steps (rankloop.steps) or print its speed (--fom)",
            flush=True,
        )


def _to_come(run: RunDir) -> bool:
    life = [
        event["event"] for event in run.events() if event["event"] in ("submitted", "started", "ended", "cancelled")
    ]
    return not life or life[-1] in ("submitted", "started")


def point_of(entry: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what runs have in common that differ only in their number of nodes; another seed counts as another
    repeat."""
    return tuple(item for item in entry["values"].items() if item[0] != "seed")


def main(argv: list[str]) -> int:
    """Return exit status 0 if a run must be skipped:   launch.submit.cutoff RUN"""
    run = RunDir.open(argv[0])
    return 0 if cut(run, run.plan()) else 1
