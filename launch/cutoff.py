"""python -m launch.cutoff RUN: whether a run of a study is not to be made, as smaller ones were not efficient enough.

The script of a packed study asks it before each run: exit status 0 says that the run is cut off, and why; 1, that it is to
be made.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from launch.plan import Plan
from launch.rundir import RunDir, read_json


class Measured(NamedTuple):
    """What the finished runs of a point have reached."""

    nodes: int
    ranks: int
    rate: float  # examples/s over all ranks: the harmonic mean over the runs, as each did the same work


def why(points: Sequence[Measured], nodes: int, least: float) -> str:
    """Why a point on so many nodes is not worth its hours; empty if it may be.

    The efficiency (X / p) / (X0 / p0), with X the examples/s of p ranks together and X0 those of the fewest, is that of
    weak scaling, where it is a ratio of times for the same work of a rank, and of strong scaling, where it is the speed-up
    over p / p0.

    Parameters
    ----------
    points : sequence of Measured
        The points that differ from it in their nodes only.
    nodes : int
        Of the point.
    least : float
        The efficiency that a smaller point must have reached.
    """
    base, *others = sorted(points) or [None]
    for point in others:
        efficiency = (point.rate / point.ranks) / (base.rate / base.ranks)
        if point.nodes < nodes and efficiency < least:
            return (
                f"efficiency {efficiency:.3g} on {point.nodes} nodes is below {least:g} ({point.rate:.4g} examples/s on "
                f"{point.ranks} ranks, against {base.rate:.4g} on {base.ranks})"
            )
    return ""


def cut(run: RunDir, plan: Plan) -> bool:
    """Whether a run is not to be made; then it says why, and notes that as the run's end.

    Measured are the points of which no run is still to come, by those of their runs that have a result.
    """
    if plan.stop_below is None:
        return False
    folder = run.path.parent
    index = read_json(folder / "study.json")["runs"]
    own = next(entry for entry in index if entry["run"] == run.path.name)
    points: dict[int, list[RunDir]] = {}
    for entry in index:
        if entry["nodes"] < own["nodes"] and _point(entry) == _point(own):
            points.setdefault(entry["nodes"], []).append(RunDir(folder / entry["run"]))
    measured = [point for nodes, runs in points.items() if (point := _measured(nodes, runs))]
    # Without the smallest point there is nothing to compare with.
    if (
        not measured
        or min(points) < min(measured).nodes
        or not (reason := why(measured, own["nodes"], plan.stop_below))
    ):
        return False
    run.append_event("cancelled", reason=reason)
    print(f"{run.path.name}: not made: {reason}", flush=True)
    return True


def _measured(nodes: int, runs: Sequence[RunDir]) -> Measured | None:
    results = [run.result() for run in runs]
    if any(result is None and _to_come(run) for run, result in zip(runs, results)):
        return None
    told = [result for result in results if result and result.get("throughput_examples_per_s")]
    if not told:
        return None
    return Measured(
        nodes, told[0]["ranks"], len(told) / sum(1 / result["throughput_examples_per_s"] for result in told)
    )


def _to_come(run: RunDir) -> bool:
    life = [
        event["event"] for event in run.events() if event["event"] in ("submitted", "started", "ended", "cancelled")
    ]
    return not life or life[-1] in ("submitted", "started")


def _point(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What runs have in common whose number of nodes alone differs; another seed is another repeat."""
    return [item for item in entry["values"].items() if item[0] != "seed"]


if __name__ == "__main__":
    here = RunDir.open(sys.argv[1])
    sys.exit(0 if cut(here, Plan.from_json(read_json(here.run_json))) else 1)
