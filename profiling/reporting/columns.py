"""The columns of a study's scaling table: what each says, from which records, and why it is empty where it is."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from profiling import text
from profiling.study import confidence, cost, quality, scaling
from profiling.study.runs import Run, Study
from profiling.study.steps import UNIT


@dataclass(frozen=True)
class Column:
    """A column. Its values stand in the rows of the table under its key, in the unit that is in the key."""

    key: str
    title: str
    form: str = (
        "number"  # how a value is shown: count, number, ms, percent, gib; an interval has the form of its bounds
    )
    absent: str = ""  # why there is no value, in all rows


_IDLE = "a rank has computed nothing by its records, or they do not say when its own gradients were ready (own_seconds)"
_UNCOUNTED = "the program counts no examples"
_REPLAY = "it needs a replay on an ideal network"
_NO_GPU = "no GPU was read"
_NO_READINGS = "there are no readings (--sample-hz 0)"

SCALING = (
    Column("nodes", "nodes", "count"),
    Column("workers", "ranks", "count"),
    Column("gpus", "GPUs", "count"),
    Column("batch_per_rank", "batch per rank", "count", _UNCOUNTED),
    Column("global_batch", "global batch", "count", _UNCOUNTED),
    Column("repeats", "repeats", "count"),
    Column("step_seconds", "median step [ms]", "ms"),
    Column("step_seconds_interval", "95 % CI", "ms"),
    Column("throughput", "throughput [{unit}]"),
    Column("throughput_interval", "95 % CI"),
    Column("speedup", "speed-up"),
    Column("efficiency", "efficiency", "percent"),
    Column("efficiency_interval", "95 % CI", "percent"),
)
"""How fast each point is."""

TIME = (
    Column("workers", "ranks", "count"),
    Column("input_share", "input stall", "percent", "the records do not tell the wait for a batch (input_seconds)"),
    Column("communication_share", "communication", "percent", _IDLE),
    Column("pop_global_efficiency", "POP global eff.", "percent", _IDLE),
    Column("pop_parallel_efficiency", "POP parallel eff.", "percent", _IDLE),
    Column("pop_load_balance", "POP load balance", "percent", _IDLE),
    Column("pop_communication_efficiency", "POP comm. eff.", "percent", _IDLE),
    Column("pop_serialisation_efficiency", "POP serial.", "percent", _REPLAY),
    Column("pop_transfer_efficiency", "POP transfer", "percent", _REPLAY),
    Column("pop_computation_efficiency", "POP comp. eff.", "percent", _IDLE),
)
"""Where the time goes."""

COST = (
    Column("workers", "ranks", "count"),
    Column("gpu_utilisation", "GPU use", "percent", _NO_GPU),
    Column("power_w", "GPU power [W]", "number", _NO_GPU),
    Column("energy_per_example_j", "GPU energy [J/example]", "number", _NO_GPU),
    Column("peak_memory_bytes", "peak GPU memory [GiB]", "gib", _NO_GPU),
    Column("peak_rss_bytes", "peak memory of a rank [GiB]", "gib", _NO_READINGS),
    Column("mfu", "MFU", "percent", "the operations of the network could not be counted"),
    Column("recording_share", "recording", "percent", "the runs do not say what it took"),
    Column("sampler_share", "sampler", "percent", _NO_READINGS),
    Column(
        "seconds_to_target", "time to quality [s]", "number", "the workload states no target, or a run did not reach it"
    ),
)
"""What the machine does meanwhile, and what it costs."""

MEANING_OF_TIME = (
    "Input stall: the wait for the batch. Communication: from a rank's own gradients to the end of its step, which is "
    "waiting for other ranks, communication and the update of the weights, which records do not tell apart (traced steps do). Both "
    "are shares of the time of all ranks.",
    "POP efficiencies: global = parallel x computation; parallel = load balance x communication. Useful is the time until a "
    "rank's own gradients, without the wait for the batch; computation is against the first row.",
)

MEANING_OF_COST = (
    "While the timed steps were made: use is the mean over the GPUs; power and energy are of all GPUs of a run, and of "
    "nothing else; peaks are of the fullest GPU and the largest rank. MFU: operations that the training of the network "
    "needs, by what matrix products reached on the same ranks. What recording cost: of rank 0's time of training, the part "
    "that its records of steps and what TensorBoard shows took beside the steps; of a core of each node, what its sampler took.",
)

MEANING_OF_TRACED = (
    "Steps into which TensorFlow's profiler looked, on the ranks that were traced. They are in no other number of this "
    "report, as a profiler slows what it looks at. The parts add up to the step: computing, communication (the wait for ranks that "
    "are behind is in it), the wait for the batch, TensorFlow and Python, compiling, none of these. Hidden is communication while "
    "something is computed: it takes no time of its own.",
)

MEANING_OF_TIMELINE = (
    "Of Horovod's timeline on rank 0, for how long any tensor was in each phase; phases of several tensors overlap. Negotiate: until "
    "all ranks have it ready; queue: its turn has not come; fuse: copies into and out of the buffer; allreduce: the transfer."
)


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
    return [
        dict.fromkeys(column.key for column in (*SCALING, *TIME, *COST))
        | asdict(row)
        | _of_runs(runs)
        | _pop(runs, base)
        | cost.of_point(study, runs)
        | quality.of_point(runs)
        for row, runs in ((row, by_ranks[row.workers]) for row in table)
    ]


def absent(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Why columns have no value in any row: key -> reason."""
    known = (column for column in (*SCALING, *TIME, *COST) if column.absent)
    return {column.key: column.absent for column in known if all(row[column.key] is None for row in rows)}


def cell(column: Column, row: dict[str, Any], base: dict[str, Any]) -> str:
    """A value as text: an interval says why it is missing, another value that is missing is N/A."""
    value = row[column.key]
    if column.key.endswith("_interval"):
        if value is None:
            return "base" if row is base and column.key == "efficiency_interval" else "n too small"
        return text.span(value["low"], value["high"], _FORMS[column.form])
    return "N/A" if value is None else _FORMS[column.form](value)


_FORMS = {
    "count": text.number,
    "number": text.number,
    "ms": lambda value: text.number(1000 * value, 4),
    "percent": text.percent,
    "gib": lambda value: f"{value / 2**30:.2f}",
}


def _of_runs(runs: Sequence[Run]) -> dict[str, Any]:
    examples, counted = {run.steps.examples for run in runs}, runs[0].steps.unit == UNIT
    waits, own = (_total([getattr(run.steps, name) for run in runs]) for name in ("input_seconds", "own_seconds"))
    medians = tuple(float(np.median(run.steps.of_chief)) for run in runs)
    # The steps of a run are no independent values, so the interval rests on one value a run.
    interval = confidence.median(medians, scaling.LEVEL)
    total = sum(float(run.steps.seconds.sum()) for run in runs)
    return {
        "nodes": max(run.nodes for run in runs),
        "gpus": max(run.gpus for run in runs),
        "work_per_step": max(examples),
        "global_batch": max(examples) if counted else None,
        "batch_per_rank": max(examples) / runs[0].ranks if counted else None,
        "step_seconds": float(np.median(medians)),
        "step_seconds_interval": asdict(interval) if interval else None,
        "input_share": None if waits is None else waits / total,
        "communication_share": None if own is None else 1 - own / total,
    }


def _pop(runs: Sequence[Run], base: Sequence[Run]) -> dict[str, float]:
    """Efficiencies as POP defines them (pop-coe.eu, further information, efficiency metrics), of sums over the runs."""
    useful = [times for run in runs if (times := _useful(run)) is not None and times.min() > 0]
    of_base = [times for run in base if (times := _useful(run)) is not None and times.min() > 0]
    if len(useful) < len(runs) or len(of_base) < len(base):
        return {}
    mean, most = (sum(float(reduce(times)) for times in useful) for reduce in (np.mean, np.max))
    elapsed = sum(float(run.steps.seconds.sum(1).mean()) for run in runs)
    each, first = (sum(float(times.sum()) for times in all_of) for all_of in (useful, of_base))
    parallel, computation = mean / elapsed, first / _work(base) / (each / _work(runs))
    return {
        "pop_global_efficiency": parallel * computation,
        "pop_parallel_efficiency": parallel,
        "pop_load_balance": mean / most,
        "pop_communication_efficiency": most / elapsed,
        "pop_computation_efficiency": computation,
    }


def _total(seconds: Sequence[np.ndarray | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return float(sum(each.sum() for each in known)) if len(known) == len(seconds) else None


def _useful(run: Run) -> np.ndarray | None:
    """Seconds (ranks,) that each rank computed; None where the records do not tell."""
    own, waits = run.steps.own_seconds, run.steps.input_seconds
    return None if own is None or waits is None else (own - waits).sum(1)


def _work(runs: Sequence[Run]) -> int:
    return sum(run.steps.examples * len(run.steps.number) for run in runs)
