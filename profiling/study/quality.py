"""Time to quality: how long runs took until an evaluation had what their workload calls a finished training."""

import operator
from collections.abc import Sequence
from typing import Any

from profiling.study.runs import Run

_MEETS = {">=": operator.ge, "<=": operator.le}


def target(runs: Sequence[Run]) -> str | None:
    """What the workload of these runs is to reach, in words; None where it says nothing."""
    said = _target(runs[0])
    return f"{said[0].replace('_', ' ')} {said[1]} {said[2]:g}" if said else None


def of_point(runs: Sequence[Run]) -> dict[str, Any]:
    """Of the repeats of a point: how many reached the target, and the mean time of all, absent where one did not.

    Returns
    -------
    dict
        ``target_reached``; ``seconds_to_target``: the arithmetic mean, as of costs (Hoefler & Belli, SC15, rule 3).
    """
    found = [seconds for run in runs if (seconds := seconds_to_target(run)) is not None]
    return {
        "target_reached": len(found),
        "seconds_to_target": sum(found) / len(found) if len(found) == len(runs) else None,
    }


def seconds_to_target(run: Run) -> float | None:
    """Seconds from the start of a run until an evaluation met the target, summed over its attempts; the time between those, and in
    the queue, is not in it. None if it states none, never met it, or does not say when an attempt before ended."""
    if not (said := _target(run)):
        return None
    metric, relation, value = said
    spent, started = 0.0, None
    for event in run.events:
        if event["event"] == "started":
            if started is not None:  # the attempt before this one was killed together with its script
                return None
            started = event["time"]
        elif event["event"] == "ended" and started is not None:
            spent, started = spent + event["time"] - started, None
        elif event["event"] == "evaluated" and started is not None:
            reached = (event.get("metrics") or {}).get(metric)
            if isinstance(reached, int | float) and _MEETS[relation](reached, value):
                return spent + event["time"] - started
    return None


def _target(run: Run) -> tuple[str, str, float] | None:
    match run.training and run.training.get("target"):
        case [str() as metric, (">=" | "<=") as relation, (int() | float()) as value]:
            return metric, relation, value
    return None
