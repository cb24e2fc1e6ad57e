"""The throughput of the rows of a series, from what was measured; and whether it scales weakly or strongly."""

import re
from collections.abc import Sequence

from launch.errors import Refusal
from profiling.tables import names, numbers, scaling
from profiling.tables.choice import Chosen
from profiling.tables.columns import Asked, Column
from profiling.tables.numbers import Number
from profiling.tables.rows import Row, as_given, ratio, whole

_PLAIN = frozenset(
    "total aggregate overall throughput rate performance perf speed per node gpu mean avg average".split()
)
"""Words of headings that are not units."""


def kind(chosen: Chosen, group: Sequence[Row], asked: Asked, words: Sequence[str]) -> tuple[str, str]:
    """Return "weak", "strong" or empty, and the reason; it raises as `scaling.kind` does."""
    if asked.kind:
        return asked.kind, ""
    if chosen.kind:
        return group[0].kind, ""
    workers = [row.workers for row in group]
    rates = seconds = None
    if chosen.measure == "time":
        seconds = [in_seconds(row, asked) for row in group]
    elif chosen.measure in ("throughput", "rate of one"):
        rates = [row.value.value * (row.workers if chosen.measure == "rate of one" else 1) for row in group]
        beside = [column for column in chosen.of("time") if column.heading.rank < 2]
        seconds = whole(group, beside[0]) if beside else None
    # An epoch is the same work whatever the batch.
    counted = [
        column
        for column in chosen.of("count", "count of one")
        if not ("epoch" in group[0].measured.key and "batch" in column.key)
    ]
    works = [whole(group, column) for column in counted if column.heading.meaning == "count"]
    ones = [whole(group, column) for column in counted if column.heading.meaning == "count of one"]
    works += [[value * n for value, n in zip(values, workers)] for values in ones if values]
    sizes = [values for column in chosen.of("size") if (values := whole(group, column))]
    given = {
        what: [ratio(row, column) for row in group]
        for what in ("speed-up", "efficiency")
        for column in chosen.of(what)[:1]
    }
    work = next((values for values in works if values), None)
    varying = next((values for values in sizes if len(set(values)) > 1), sizes[0] if sizes else None)
    known = scaling.Evidence(
        workers, seconds, rates, work, varying, given.get("speed-up"), given.get("efficiency"), words
    )
    return scaling.kind(known)


def in_seconds(row: Row, asked: Asked) -> float:
    """Return the time of a row in seconds, by the unit of its cell, of the user, or of the heading, else seconds."""
    odd = "" if row.value.unit or row.unit or asked.unit else names.odd_unit(row.measured.heading)
    unit = odd or (row.value.unit or row.unit or asked.unit or row.measured.heading.unit or "s").lower()
    if odd or unit not in names.SECONDS:
        raise Refusal(
            f"{row.where}: {row.measured.name} is {as_given(row.cells[row.measured.place])}, "
            f"and {unit!r} is no unit of time: say --unit s, ms or min"
        )
    return row.value.value * names.SECONDS[unit]


def throughput(chosen: Chosen, group: Sequence[Row], kind: str, asked: Asked) -> tuple[list[float], str]:
    """Return the throughput of each row, and its unit."""
    measured = group[0].measured
    workers = [row.workers for row in group]
    marked = [bool(row.value.unit or row.unit) for row in group]
    if chosen.measure in ("time", "throughput", "rate of one") and any(marked) and not all(marked):
        if not (measured.heading.unit or asked.unit):
            row = group[marked.index(False)]
            raise Refusal(
                f"{row.where}: {measured.name} has no unit while others have: give all of them theirs, or say --unit"
            )
    if chosen.measure == "time":
        works = [(values, column) for column in chosen.of("count", "count of one") if (values := whole(group, column))]
        work: list[float] | None = None
        unit = ("steps" if re.search(r"step|iter", measured.key) else "runs") + "/s"
        if works and not (measured.heading.per and measured.heading.per.split()[0] in works[0][1].key):
            values, column = works[0]
            total = (
                [value * n for value, n in zip(values, workers)] if column.heading.meaning == "count of one" else values
            )
            held = scaling.kind(scaling.Evidence(workers, work=total))[1]
            of_steps = "batch" in column.key and re.search(r"step|iter|batch", measured.key)
            if of_steps or "about" in held or not held:
                work, unit = total, "examples/s" if of_steps else f"{_noun(column)}/s"
        if work is None and kind == "weak":
            unit = f"{unit.removesuffix('/s')} of one worker/s"
        return [
            scaling.rate(kind, row.workers, in_seconds(row, asked), work[place] if work else None)
            for place, row in enumerate(group)
        ], unit
    if chosen.measure in ("speed-up", "efficiency"):
        values = [
            row.value.value / 100 if row.value.unit == "%" or measured.heading.unit == "%" else row.value.value
            for row in group
        ]
        if chosen.measure == "efficiency":
            values = [value * row.workers for value, row in zip(values, group)]
        return values, "times one worker"
    said = {row.unit for row in group if row.unit}
    in_cells = {row.value.unit.lower().rstrip("."): row.value.unit for row in group if row.value.unit}
    if len(said) > 1 or len(in_cells) > 1:
        some = sorted(said) if len(said) > 1 else list(in_cells.values())
        raise Refusal(
            f"has throughput in different units ({', '.join(some)}): keep those that can be compared, "
            "or name series by --series-column"
        )
    unit = asked.unit or next(iter(said), "") or measured.heading.unit or next(iter(in_cells.values()), "")
    unit = unit or ("examples/s" if measured.key == "throughput" else _noun(measured))
    rates = [row.value.value for row in group]
    per = re.fullmatch(r"(.*\S)\s*(?:/|\bper\b)\s*(\S+?)", unit)
    one = (names.worker(per[2]) if per else "") or (measured.heading.worker if chosen.measure == "rate of one" else "")
    if chosen.measure == "rate of one" or one:
        rates = [rate * n for rate, n in zip(rates, _of_whom(chosen, group, one))]
        unit = per[1] if per and names.worker(per[2]) else unit
    elif re.match(r"(steps?|it|its|iters?|iterations?|batches)\s*(/|\bper\b)", unit.lower()):
        batches = [column for column in chosen.of("count", "count of one") if "batch" in column.key]
        if batches and (sizes := whole(group, batches[0])):
            of_one = batches[0].heading.meaning == "count of one"
            rates = [rate * size * (n if of_one else 1) for rate, size, n in zip(rates, sizes, workers)]
            unit = "examples/s"
    return rates, unit


def _of_whom(chosen: Chosen, group: Sequence[Row], one: str) -> list[float]:
    """Return the number of workers of the kind ``one`` in each row, by which a rate of one is multiplied."""
    if chosen.workers.heading.worker in (one, "worker") or one == "worker":
        return [row.workers for row in group]
    other = next((column for column in chosen.of("workers") if column.heading.worker == one), None)
    if values := other and whole(group, other):
        return values
    if {one, chosen.workers.heading.worker} <= {"rank", "process", "worker"}:
        return [row.workers for row in group]
    raise Refusal(
        f"has the rate of one {one} and no column of {one}s, but {chosen.workers.name}: "
        "give that column, or the rate of all"
    )


def _noun(column: Column) -> str:
    """Return what a column counts, by its name."""
    bare = re.sub(r"\s*[(\[].*|\s*(/|\bper\b).*|_per_.*", "", column.heading.text)
    words = [word for word in re.split(r"[\s_-]+", bare) if word.lower() not in _PLAIN]
    return (
        " ".join(words)
        if column.heading.meaning in ("throughput", "rate of one", "count", "count of one") and words
        else "units"
    )


def times(chosen: Chosen, group: Sequence[Row], asked: Asked) -> list[float | None]:
    """Return the seconds of each row; None if the table does not say how long its runs took."""
    if chosen.measure == "time":
        return [in_seconds(row, asked) for row in group]
    beside = [column for column in chosen.of("time") if column.heading.rank < 2]
    if not beside:
        return [None] * len(group)
    column = beside[0]
    cells = numbers.column([row.cells[column.place] for row in group], column.comma or "thousands", time=True)
    unit = column.heading.unit
    return [
        cell.value * names.SECONDS.get((cell.unit or unit or "s").lower(), 1.0) if isinstance(cell, Number) else None
        for cell in cells
    ]
