"""Time to quality: how long runs took until an evaluation reached the target of their workload."""

import operator
from collections.abc import Sequence
from typing import Any

from profiling.study.run import Run

_MEETS = {">=": operator.ge, "<=": operator.le}


def target(runs: Sequence[Run]) -> str | None:
    """Return the target of the workload of these runs, in words; None if it has none."""
    if not (aim := _target(runs[0])):
        return None
    metric, relation, value = aim
    return f"{metric.replace('_', ' ')} {relation} {value:g}"


def of_point(runs: Sequence[Run]) -> dict[str, Any]:
    """Return how many repeats of a point reached the target, and the mean time of all, None if one did not reach it.

    The mean is the arithmetic one, as for costs (Hoefler & Belli, SC15, rule 3).
    """
    reached = [seconds for run in runs if (seconds := seconds_to_target(run)) is not None]
    return {
        "target_reached": len(reached),
        "seconds_to_target": sum(reached) / len(reached) if len(reached) == len(runs) else None,
    }


def seconds_to_target(run: Run) -> float | None:
    """Return the seconds from the start of a run until an evaluation met the target, summed over its attempts, without
    the time between them and in the queue. None if there is no target, it was never met, or the end of an earlier
    attempt is unknown."""
    if not (aim := _target(run)):
        return None
    metric, relation, value = aim
    spent, started = 0.0, None
    for event in run.events:
        kind, reached = event["event"], (event.get("metrics") or {}).get(metric)
        if kind == "started":
            if started is not None:  # the attempt before this one was killed together with its script
                return None
            started = event["time"]
        elif kind == "ended" and started is not None:
            spent, started = spent + event["time"] - started, None
        elif kind == "evaluated" and started is not None and isinstance(reached, int | float):
            if _MEETS[relation](reached, value):
                return spent + event["time"] - started
    return None


def _target(run: Run) -> tuple[str, str, float] | None:
    match run.training and run.training.get("target"):
        case [str() as metric, (">=" | "<=") as relation, (int() | float()) as value]:
            return metric, relation, value
    return None
