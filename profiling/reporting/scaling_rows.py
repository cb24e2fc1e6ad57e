"""The rows of a study's scaling table: the values of its columns, from the records of the runs."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from profiling.reporting.columns import COST, SCALING, TIME
from profiling.study import confidence, cost, quality, resource_usage, scaling, variance
from profiling.study.cost import NO_TARIFF, Tariff
from profiling.study.run import Run
from profiling.study.runs import Study
from profiling.study.steps import UNIT


def rows(study: Study, table: Sequence[scaling.Row], tariff: Tariff = NO_TARIFF) -> list[dict[str, Any]]:
    """Return the rows of the table of a study of one series: a value (or None) for each column, from `scaling.table`
    and the records of the runs. Costs are in it only if the user stated a tariff."""
    points = [study.by_ranks[row.workers] for row in table]
    scatter = variance.scatter([[math.log(_median(run)) for run in runs] for runs in points])
    return [
        dict.fromkeys(column.key for column in (*SCALING, *TIME, *COST))
        | asdict(row)
        | _of_runs(runs, scatter.of(place))
        | _pop(runs, points[0])
        | resource_usage.of_point(runs)
        | quality.of_point(runs)
        | (cost.of_point([run.directory for run in runs], tariff) if tariff else {})
        for place, (row, runs) in enumerate(zip(table, points))
    ]


def _median(run: Run) -> float:
    return float(np.median(run.steps.lengths))


def _of_runs(runs: Sequence[Run], spread: confidence.Spread) -> dict[str, Any]:
    work, counted = max(run.steps.examples for run in runs), runs[0].steps.unit == UNIT
    medians = tuple(_median(run) for run in runs)
    # The steps of a run are not independent values, so the interval rests on one value per run.
    interval = confidence.median(medians, scaling.LEVEL) or confidence.rate(medians, scaling.LEVEL, spread)
    total = sum(float(run.steps.seconds.sum()) for run in runs)
    waits, own = (_total([getattr(run.steps, name) for run in runs]) for name in ("input_seconds", "own_seconds"))
    return {
        "nodes": max(run.nodes for run in runs),
        "gpus": max(run.gpus for run in runs),
        "work_per_step": work,
        "global_batch": work if counted else None,
        "batch_per_rank": work / runs[0].ranks if counted else None,
        "work": runs[0].work,
        "run_seconds": sum(run.seconds for run in runs) / len(runs),
        "step_seconds": float(np.median(medians)),
        "step_seconds_interval": interval and asdict(interval),
        "input_share": None if waits is None else waits / total,
        "communication_share": None if own is None else 1 - own / total,
    }


def _total(seconds: Sequence[np.ndarray | None]) -> float | None:
    """Return the sum over the runs; None if one of them does not record it."""
    known = [each for each in seconds if each is not None]
    return sum(float(each.sum()) for each in known) if len(known) == len(seconds) else None


def _pop(runs: Sequence[Run], base: Sequence[Run]) -> dict[str, float]:
    """Return POP's efficiencies (pop-coe.eu, further information, efficiency metrics), of sums over the runs."""
    useful, of_base = ([_useful(run) for run in each] for each in (runs, base))
    if not all(seconds.min() > 0 for seconds in (*useful, *of_base)):
        return {}
    mean, most = (sum(float(reduce(seconds)) for seconds in useful) for reduce in (np.mean, np.max))
    elapsed = sum(float(run.steps.seconds.sum(1).mean()) for run in runs)
    parallel = mean / elapsed
    computation = sum(each.sum() for each in of_base) / _work(base) / (sum(each.sum() for each in useful) / _work(runs))
    return {
        "pop_global_efficiency": parallel * computation,
        "pop_parallel_efficiency": parallel,
        "pop_load_balance": mean / most,
        "pop_communication_efficiency": most / elapsed,
        "pop_computation_efficiency": computation,
    }


def _useful(run: Run) -> np.ndarray:
    """Return the seconds (ranks,) that each rank computed; zeros if the records do not say."""
    own, waits = run.steps.own_seconds, run.steps.input_seconds
    return np.zeros(1) if own is None or waits is None else (own - waits).sum(1)


def _work(runs: Sequence[Run]) -> float:
    return sum(run.steps.examples * len(run.steps.number) for run in runs)
