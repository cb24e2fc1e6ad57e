"""The columns of a study's scaling table: what each says, from which records, and why it is empty where it is."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from profiling import confidence, scaling, text
from profiling.runs import Run, Study


@dataclass(frozen=True)
class Column:
    """A column. Its values stand in the rows of the table under its key, in the unit that is in the key."""

    key: str
    title: str
    form: str = "number"  # how a value is shown: count, number, ms, percent; an interval has the form of its bounds
    absent: str = ""  # why there is no value, in all rows


_TRACES = "the records time a step as a whole, and a rank's wait for the others is within it: it needs traces"
_READINGS = "there are no readings of the GPUs beside the records of the steps"

SCALING = (
    Column("nodes", "nodes", "count"),
    Column("workers", "ranks", "count"),
    Column("gpus", "GPUs", "count"),
    Column("batch_per_rank", "batch a rank", "count"),
    Column("global_batch", "global batch", "count"),
    Column("repeats", "repeats", "count"),
    Column("step_seconds", "median step [ms]", "ms"),
    Column("step_seconds_interval", "95 % CI", "ms"),
    Column("throughput", "throughput [examples/s]"),
    Column("throughput_interval", "95 % CI"),
    Column("speedup", "speed-up"),
    Column("efficiency", "efficiency", "percent"),
    Column("efficiency_interval", "95 % CI", "percent"),
)
"""How fast each point is."""

COST = (
    Column("workers", "ranks", "count"),
    Column("input_share", "input stall", "percent"),
    Column("communication_share", "communication", "percent", _TRACES),
    Column(
        "pop_global_efficiency",
        "POP global efficiency",
        "percent",
        "the base has several ranks: its useful time is not known",
    ),
    Column("pop_parallel_efficiency", "POP parallel eff.", "percent", _TRACES),
    Column("pop_load_balance", "POP load balance", "percent", _TRACES),
    Column("pop_communication_efficiency", "POP comm. eff.", "percent", _TRACES),
    Column("pop_transfer_efficiency", "POP transfer", "percent", "it needs a replay on an ideal network"),
    Column("pop_serialisation_efficiency", "POP serialisation", "percent", "it needs a replay on an ideal network"),
    Column("gpu_utilisation", "GPU use", "percent", _READINGS),
    Column("power_w", "power [W]", "number", _READINGS),
    Column("energy_per_example_j", "energy [J/example]", "number", _READINGS),
    Column("peak_memory_bytes", "peak memory [B]", "count", _READINGS),
    Column("mfu", "MFU", "percent", "the operations of a step are not counted"),
    Column("seconds_to_target", "time to quality [s]", "number", "the workload states no target"),
)
"""Where the time goes, and what it costs."""


def rows(study: Study, table: Sequence[scaling.Row]) -> list[dict[str, Any]]:
    """The rows of a study's table: what `scaling.table` says of each point, and what the records of its runs add.

    Parameters
    ----------
    study : Study
        Of one series.
    table : sequence of scaling.Row
        Of that series.

    Returns
    -------
    list of dict
        A value for each column, None where there is none; and those of `scaling.Row`.
    """
    by_ranks = {row.workers: [run for run in study.runs if run.ranks == row.workers] for row in table}
    base = by_ranks[table[0].workers]
    return [asdict(row) | _of_runs(by_ranks[row.workers]) | _pop(row, table[0], base) for row in table]


def absent(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Why columns have no value in any row: key -> reason."""
    return {
        column.key: column.absent for column in COST if column.absent and all(row[column.key] is None for row in rows)
    }


def cell(column: Column, row: dict[str, Any], base: dict[str, Any]) -> str:
    """A value as text: an interval says why it is missing, another value that is missing is N/A."""
    value = row[column.key]
    if column.key.endswith("_interval"):
        if value is None:
            return "base" if row is base and column.key == "efficiency_interval" else "n too small"
        return text.span(value["low"], value["high"], _FORMS[column.form])
    return "N/A" if value is None else _FORMS[column.form](value)


_FORMS = {
    "count": lambda value: f"{value:g}" if value < 1e6 else f"{value:.0f}",
    "number": text.number,
    "ms": lambda value: f"{1000 * value:.4g}",
    "percent": text.percent,
}


def _of_runs(runs: Sequence[Run]) -> dict[str, Any]:
    examples = {run.steps.examples for run in runs}
    medians = tuple(float(np.median(run.steps.of_chief)) for run in runs)
    # The steps of a run are no independent values, so the interval rests on one value a run.
    interval = confidence.median(medians, scaling.LEVEL)
    waits, seconds = (sum(float(part.sum()) for part in parts) for parts in zip(*_times(runs)))
    return dict.fromkeys(column.key for column in COST if column.key != "workers") | {
        "nodes": max(run.nodes for run in runs),
        "gpus": max(run.gpus for run in runs),
        "global_batch": max(examples),
        "batch_per_rank": max(examples) / runs[0].ranks,
        "step_seconds": float(np.median(medians)),
        "step_seconds_interval": asdict(interval) if interval else None,
        "input_share": waits / seconds,
    }


def _times(runs: Sequence[Run]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(run.steps.input_seconds, run.steps.seconds) for run in runs]


def _pop(row: scaling.Row, first: scaling.Row, base: Sequence[Run]) -> dict[str, float | None]:
    """POP's global efficiency, useful time of the reference over all time here, for the same work.

    On one rank all is useful but the wait for the batch, for there is nobody to talk to; with more ranks the records do not tell.
    """
    if first.workers > 1:
        return {}
    waits, seconds = (sum(float(part.sum()) for part in parts) for parts in zip(*_times(base)))
    return {"pop_global_efficiency": row.efficiency * (1 - waits / seconds)}
