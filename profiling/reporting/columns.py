"""The columns of a study's scaling table: what each means, from which records, and why it may be empty."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from profiling import text
from profiling.study import cost


@dataclass(frozen=True)
class Column:
    """A column, whose values are in the rows of the table under its key, in the unit that the key names."""

    key: str
    title: str
    form: str = "number"  # how a value is shown: number, ms, percent, gib; an interval as its bounds
    absent: str = ""  # why there is no value, in all rows
    of: str = ""  # "steps" or "runs": only for runs that have steps, or that have none


_IDLE = "a rank has computed nothing by its records"
_NO_OWN = "the records do not say when a rank's own gradients were ready (own_seconds)"
_NO_INPUT = "the records do not say how long a rank waits for its batch (input_seconds)"
_UNCOUNTED = "the program counts no examples"
_NO_WORK = "the program reports no work (a figure of merit of that kind)"
_REPLAY = "it needs a replay on an ideal network"
_NO_GPU = "no GPU was read"
_NO_POWER = "the power of all GPUs of a run is not known"
_NO_GPM = "no GPU told its activity (GPM, Hopper and newer)"
_NO_READINGS = "no reading tells it"
_NO_FLOPS = "the operations of the network could not be counted"
_NO_PHASES = "the runs do not say what it took"
_NO_TARGET = "the workload has no target, or a run did not reach it"

SCALING = (
    Column("nodes", "nodes"),
    Column("workers", "ranks"),
    Column("gpus", "GPUs"),
    Column("batch_per_rank", "batch per rank", absent=_UNCOUNTED, of="steps"),
    Column("global_batch", "global batch", absent=_UNCOUNTED, of="steps"),
    Column("work", "work{work}", absent=_NO_WORK, of="runs"),
    Column("repeats", "repeats"),
    Column("step_seconds", "median step [ms]", "ms", of="steps"),
    Column("step_seconds_interval", "95 % CI", "ms", of="steps"),
    Column("run_seconds", "mean time [s]", of="runs"),
    Column("throughput", "throughput [{unit}]"),
    Column("throughput_interval", "95 % CI"),
    Column("speedup", "speed-up"),
    Column("efficiency", "efficiency", "percent"),
    Column("efficiency_interval", "95 % CI", "percent"),
)
"""Columns that show how fast each point is."""

TIME = (
    Column("workers", "ranks"),
    Column("input_share", "input stall", "percent", _NO_INPUT),
    Column("communication_share", "communication", "percent", _NO_OWN),
    Column("pop_global_efficiency", "POP global eff.", "percent", _IDLE),
    Column("pop_parallel_efficiency", "POP parallel eff.", "percent", _IDLE),
    Column("pop_load_balance", "POP load balance", "percent", _IDLE),
    Column("pop_communication_efficiency", "POP comm. eff.", "percent", _IDLE),
    Column("pop_serialisation_efficiency", "POP serial.", "percent", _REPLAY),
    Column("pop_transfer_efficiency", "POP transfer", "percent", _REPLAY),
    Column("pop_computation_efficiency", "POP comp. eff.", "percent", _IDLE),
)
"""Columns that show where the time goes."""

COST = (
    Column("workers", "ranks"),
    Column("gpu_utilisation", "GPU use", "percent", _NO_GPU),
    Column("sm_activity", "SM activity", "percent", _NO_GPM),
    Column("tensor_activity", "tensor activity", "percent", _NO_GPM),
    Column("power_w", "GPU power [W]", absent=_NO_POWER),
    Column("energy_per_example_j", "GPU energy [J/example]", absent=_NO_POWER, of="steps"),
    Column("peak_memory_bytes", "peak GPU memory [GiB]", "gib", _NO_GPU),
    Column("peak_rss_bytes", "peak memory per rank [GiB]", "gib", _NO_READINGS),
    Column("mfu", "MFU", "percent", _NO_FLOPS, of="steps"),
    Column("recording_share", "recording", "percent", _NO_PHASES, of="steps"),
    Column("sampler_share", "sampler", "percent", _NO_READINGS),
    Column("seconds_to_target", "time to quality [s]", absent=_NO_TARGET, of="steps"),
    *(Column(key, f"{title} per run") for key, title in cost.COLUMNS),
)
"""Columns that show what the machine does during the steps, and what that costs."""

MEANING_OF_TIME = (
    "Input stall: the wait for the batch. Communication: from a rank's own gradients to the end of its step, which is "
    "waiting for other ranks, communication and the update of the weights, which records do not tell apart (traced "
    "steps do). Both are shares of the time of all ranks.",
    "POP efficiencies: global = parallel x computation; parallel = load balance x communication. Useful is the time "
    "until a rank's own gradients, without the wait for the batch; computation is relative to the first row.",
)

MEANING_OF_COST = (
    "Over the timed steps: use and activity are means over the GPUs; power and energy are of all GPUs of a run, and of "
    "nothing else; peaks are of the fullest GPU and the largest rank. MFU: operations that the training of the network "
    "needs, relative to what matrix products reached on the same ranks. Recording: of rank 0's time of training, the "
    "part that its records of steps and its points for TensorBoard took beside the steps; sampler: what it took of a "
    "core of each node.",
)

MEANING_OF_COST_OF_RUNS = (
    "From the start of the ranks to their end: use and activity are means over the GPUs; power is of all GPUs of a "
    "run, and of nothing else; peaks are of the fullest GPU and the largest rank. Sampler: what it took of a core of "
    "each node.",
)

MEANING_OF_TRACED = (
    "Steps that TensorFlow's profiler captured, on the ranks that were traced. They are in no other number of this "
    "report, as a profiler slows what it looks at. The parts add up to the step: computing, communication (the wait "
    "for ranks that are behind is in it), the wait for the batch, TensorFlow and Python, compiling, none of these. "
    "Hidden is communication while something is computed: it takes no time of its own.",
)

MEANING_OF_TIMELINE = (
    "Of Horovod's timeline on rank 0, for how long any tensor was in each phase; phases of several tensors overlap. "
    "Negotiate: until all ranks have it ready; queue: its turn has not come; fuse: copies into and out of the buffer; "
    "allreduce: the transfer.",
)


def absent(rows: Sequence[dict[str, Any]], unread: str = "") -> dict[str, str]:
    """Return why columns have no value in any row: key -> reason. ``unread`` says why there are no readings at all."""
    known = (column for column in (*SCALING, *TIME, *COST) if column.absent)
    reasons = {column.key: column.absent for column in known if all(row[column.key] is None for row in rows)}
    instead = {_NO_GPU: unread, _NO_GPM: unread, _NO_READINGS: unread}
    instead[_NO_POWER] = instead.get(reasons.get("gpu_utilisation", "")) or reasons.get("gpu_utilisation") or ""
    instead[_IDLE] = reasons.get("communication_share") or reasons.get("input_share") or ""
    return {key: instead.get(why) or why for key, why in reasons.items()}


def shown(columns: Sequence[Column], whole: bool) -> list[Column]:
    """Return the columns for runs that have steps, or for runs as a ``whole``."""
    return [column for column in columns if column.of in ("", "runs" if whole else "steps")]


def present(columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> list[Column]:
    """Return the columns that have a value in any row; the column of GPUs needs a value other than 0."""
    return [column for column in columns if any(row[column.key] not in _NOTHING[column.key == "gpus"] for row in rows)]


def cells(
    columns: Sequence[Column], rows: Sequence[dict[str, Any]], unit: str, work: str | None = None, currency: str = ""
) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the cells of a table; ``unit`` is that of throughput, ``work`` that of the work,
    ``currency`` that of prices."""
    words = {"unit": unit, "work": f" [{work}]" if work else "", "currency": f" [{currency}]" if currency else ""}
    return [column.title.format(**words) for column in columns], [
        [_cell(column, row, rows[0]) for column in columns] for row in rows
    ]


def _cell(column: Column, row: dict[str, Any], base: dict[str, Any]) -> str:
    """Return a value as text: for a missing interval why it is missing, for any other missing value N/A."""
    value = row[column.key]
    if column.key.endswith("_interval"):
        if value is None:
            return "base" if row is base and column.key == "efficiency_interval" else "one repeat"
        return text.span(value["low"], value["high"], _within(column, value))
    if value is None:
        return "N/A"
    if interval := row.get(f"{column.key}_interval"):
        return _within(column, interval)(value)
    return speedup(row) if column.key == "speedup" else _FORMS[column.form](value)


def _within(column: Column, interval: dict[str, float]) -> text.Form:
    return text.within(interval["low"], interval["high"], *_UNITS[column.form])


def speedup(row: dict[str, Any]) -> str:
    """Format a speed-up in digits that follow the interval of the efficiency, of which it is a multiple."""
    if not (interval := row["efficiency_interval"]):
        return text.number(row["speedup"])
    share = row["speedup"] / row["efficiency"]
    return text.within(share * interval["low"], share * interval["high"])(row["speedup"])


_UNITS = {"number": (1.0, ""), "ms": (1e3, ""), "percent": (100.0, "%")}  # factor and suffix
_NOTHING = ((None,), (None, 0))
_FORMS: dict[str, text.Form] = {
    "number": text.number,
    "ms": text.milliseconds,
    "percent": text.percent,
    "gib": lambda value: f"{value / 2**30:.2f}",
}
