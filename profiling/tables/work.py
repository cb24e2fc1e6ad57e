"""How much work the rows of a series say that there is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from launch.errors import Refusal
from profiling.tables import steps
from profiling.tables.choice import Chosen
from profiling.tables.columns import Column
from profiling.tables.rows import Row, whole

_PLAIN = frozenset(
    "total aggregate overall throughput rate performance perf speed per node gpu mean avg average".split()
)
"""Words of headings that are not units."""


@dataclass(frozen=True)
class Work:
    """The work of all workers in each row."""

    values: list[float]
    noun: str  # what is counted, as in a unit
    batch: bool  # whether it is the work of a step of training
    column: Column
    of_one: bool  # whether the column has that of one worker

    @property
    def varies(self) -> bool:
        """Whether the work is not the same in all rows."""
        return len(set(self.values)) > 1


def of_all(chosen: Chosen, group: Sequence[Row], kind: str = "") -> Work | None:
    """Return the work of each row; None if no column counts it.

    Of several columns that vary the first counts, and steps only multiply it. In weak scaling, what is the same in all
    rows is the work of a worker.
    """
    found: dict[bool, list[Work]] = {False: [], True: []}  # by whether steps are counted
    for column in chosen.of("count", "count of one"):
        values = whole(group, column)
        if not values or _is_of_repeats(chosen, group, column, values) or _is_not_of(group[0].measured, column):
            continue
        of_one = column.heading.meaning == "count of one"
        found[_counts_steps(column)].append(Work(values, noun_of(column), "batch" in column.key, column, of_one))
    works = found[False] or found[True]
    if not works:
        return None
    work = next((each for each in works if each.varies), works[0])
    if work.of_one or kind == "weak" and not work.varies:
        workers = workers_of(chosen, group, work.column.heading.worker)
        noun = work.noun if workers else f"{work.column.name} x {chosen.workers.name}"
        values = [value * n for value, n in zip(work.values, workers or [row.workers for row in group])]
        work = replace(work, values=values, noun=noun)
    if found[False] and (steps_of := next((each for each in found[True] if each.varies), None)):
        values = [a * b for a, b in zip(work.values, steps_of.values)]
        work = replace(work, values=values, noun=f"{work.noun} x steps")
    return work


def times_workers(chosen: Chosen, group: Sequence[Row], values: Sequence[float], worker: str) -> list[float]:
    """Return what all workers have, of what each worker of a kind has.

    Raises
    ------
    Refusal
        If no column says how many workers of that kind there are.
    """
    if workers := workers_of(chosen, group, worker):
        return [value * n for value, n in zip(values, workers)]
    raise Refusal(
        f"has the rate of one {worker} and no column of {worker}s, but {chosen.workers.name}: "
        "give that column, or the rate of all"
    )


def workers_of(chosen: Chosen, group: Sequence[Row], worker: str) -> list[float] | None:
    """Return how many workers of a kind there are in each row; None if the table does not say it."""
    own = chosen.workers.heading.worker
    alike = {"rank", "process", "worker"}
    if own in (worker, "worker") or worker in ("", "worker"):
        return [row.workers for row in group]
    other = next((column for column in chosen.of("workers") if column.heading.worker == worker), None)
    if other and (values := whole(group, other)):
        return values
    return [row.workers for row in group] if {worker, own} <= alike else None


def noun_of(column: Column) -> str:
    """Return what a column counts, by its name."""
    bare = re.sub(r"\s*[(\[].*|\s*(/|\bper\b).*|_per_.*", "", column.heading.text)
    words = [word for word in re.split(r"[\s_-]+", bare) if word.lower() not in _PLAIN]
    known = column.heading.meaning in ("throughput", "rate of one", "count", "count of one")
    return " ".join(words) if known and words else "units"


def _counts_steps(column: Column) -> bool:
    return bool(re.search("step|iter", column.key)) and "per" not in column.key and "/" not in column.key


def _is_of_repeats(chosen: Chosen, group: Sequence[Row], column: Column, values: Sequence[float]) -> bool:
    """Return whether a column counts the samples of a mean beside it: it does not grow with the workers."""
    statistic = chosen.of("spread") or re.search("mean|median|avg|average", group[0].measured.key)
    if not statistic or not re.search("samples|events", column.key):
        return False
    ends = [value for _, value in sorted((row.workers, value) for row, value in zip(group, values))]
    return ends[-1] <= ends[0]


def _is_not_of(measured: Column, column: Column) -> bool:
    """Return whether what a column counts is not done in the time, or by the rate, that was measured."""
    if "epoch" in measured.key and "batch" in column.key:  # an epoch is the same work whatever the batch
        return True
    of_steps = measured.heading.meaning == "time" and steps.in_a_time(measured.heading)[1] == "steps/s"
    if _counts_steps(column):
        return of_steps or steps.rate_of_steps(measured.heading.unit or measured.heading.text)
    per = re.findall(r"[^\W\d_]{3,}", measured.heading.per)
    return "batch" not in column.key and any(word in column.key for word in per)
