"""Which columns of a table hold what was measured; what is ambiguous is refused, with the choices."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from launch.errors import Refusal
from profiling.tables import names
from profiling.tables.cells.counts import counted
from profiling.tables.columns import NEEDED, Asked, Column, find, listed, numbered, quoted
from profiling.tables.names import UNLIKELY, Meaning
from profiling.tables.repeats import are_counted, says_so
from profiling.tables.repeats import of as of_repeat

SAME = 0.02  # relative difference up to which two columns say the same
LIKE = 1.5  # factor up to which columns differ in a row that are repeats by their numbers only
_TIERS: list[tuple[Meaning, float, float]] = [
    ("throughput", 0, 1), ("time", 0, UNLIKELY - 1), ("rate of one", 0, UNLIKELY - 1),
    ("throughput", 2, UNLIKELY - 1), ("actual", 0, 99), ("time", UNLIKELY, 99),
    ("throughput", UNLIKELY, 99), ("speed-up", 0, 99), ("efficiency", 0, 99),
]  # fmt: skip
"""What is looked for, first to last: a meaning, and the least and the largest rank of its names."""


@dataclass(frozen=True)
class Measured:
    """The columns of what was measured."""

    meaning: Meaning
    columns: tuple[Column, ...]
    repeats: bool = False  # whether several columns are repeats
    named: bool = False  # whether the user has named them


def choose(rest: Sequence[Column], every: Sequence[Column], asked: Asked, workers: Column) -> Measured:
    """Return what was measured: the columns that the user names, else the ones that say most.

    Several that are named are as many series, or the repeats of one if the user says that there is one.

    Raises
    ------
    Refusal
        If there is none, or it may be one of several.
    """
    if asked.time_column and asked.throughput_column:
        raise Refusal("--time-column and --throughput-column are given: a table is read by one of the two")
    if asked.time_column or asked.throughput_column:
        meaning, option = ("time", "--time-column") if asked.time_column else ("throughput", "--throughput-column")
        chosen = [find(name, every, option) for name in asked.time_column or asked.throughput_column]
        repeats = len(chosen) > 1 and asked.series_column == ("none",)
        return Measured(meaning, tuple(chosen), repeats, named=True)
    # Documented names count before all others.
    exact = [column for column in rest if column.key == "throughput"]
    if len(exact) > 1:
        raise Refusal(
            f"has {len(exact)} columns 'throughput': choose one by its number: {numbered(exact, '--throughput-column')}"
        )
    if exact:
        return Measured("throughput", tuple(exact))
    among = _of_models(rest)
    for meaning, least, most in _TIERS:
        found = [
            column
            for column in among
            if column.heading.meaning == meaning
            and least <= column.heading.rank <= most
            and not column.is_text
            and _any_number(column)
        ]
        if found:
            return _of_tier(meaning, found, rest, workers)
    empty_one = next((column for column in rest if column.heading.meaning in ("time", "throughput")), None)
    if empty_one:
        return Measured(empty_one.heading.meaning, (empty_one,))
    raise _none(rest, every)


def _of_tier(meaning: Meaning, found: Sequence[Column], rest: Sequence[Column], workers: Column) -> Measured:
    """Return which of the columns of one meaning are the measured ones."""
    best = [column for column in found if column.heading.rank == min(each.heading.rank for each in found)]
    if meaning in ("time", "throughput", "rate of one"):
        repeats = [column for column in found if of_repeat(column.heading.text)]
        if (
            are_counted([column.heading.text for column in repeats])
            and all(column in repeats or _is_mean(column, repeats) for column in best)
            and (all(says_so(column.heading.text) for column in repeats) or _agree(repeats))
        ):
            return Measured(meaning, tuple(repeats), repeats=True)
        alike = len({column.name for column in best}) == len(best) and all(_alike(one, best[0]) for one in best[1:])
        if len(best) > 1 and not alike:
            option = "--time-column" if meaning == "time" else "--throughput-column"
            raise Refusal(
                f"has {len(best)} columns of {meaning}: choose: {quoted(best, option)}, or several of them as series "
                f"({option} twice), or, with --series-column none, as repeats"
            )
    return Measured(_by_ideal(best[0], rest, workers) if meaning == "actual" else meaning, (best[0],))


def _none(rest: Sequence[Column], every: Sequence[Column]) -> Refusal:
    unlike = ("repeat", "spread", "workers", "shape")
    numeric = [
        column for column in rest if _any_number(column) and not column.is_text and column.heading.meaning not in unlike
    ]
    choices = (
        f"say which it is: {quoted(numeric[:3], '--time-column')}, or {quoted(numeric[:3], '--throughput-column')}"
        if numeric
        else NEEDED
    )
    return Refusal(f"has no column throughput, nor one of times (its columns: {listed(every)}): {choices}")


def _any_number(column: Column) -> bool:
    return any(value is not None for value in column.values())


def _of_models(rest: Sequence[Column]) -> Sequence[Column]:
    """Return the columns among which to look: only FLOP/s can be compared if each row is of a model of another size."""
    flops = [column for column in rest if "flop" in column.key and not column.is_text and _any_number(column)]
    for column in rest:
        if column.heading.meaning == "size" and re.search("model|param", column.key):
            sizes = column.values()
            if flops and None not in sizes and len(set(sizes)) == len(sizes) > 1:
                return flops
    return rest


def _agree(repeats: Sequence[Column]) -> bool:
    """Return whether columns are about the same in every row, as repeats are."""
    rows = ([value for value in row if value] for row in zip(*(column.values() for column in repeats)))
    return all(max(row) <= LIKE * min(row) for row in rows if row)


def _is_mean(column: Column, repeats: Sequence[Column]) -> bool:
    """Return whether a column is everywhere between the smallest and the largest of some repeats."""
    for value, *cells in zip(column.values(), *(each.values() for each in repeats)):
        there = [cell for cell in cells if cell is not None]
        if value is not None and there and not min(there) * (1 - SAME) <= value <= max(there) * (1 + SAME):
            return False
    return True


def _alike(one: Column, other: Column) -> bool:
    """Return whether two columns say the same: their numbers are proportional, and that is due to their units."""
    ratios = [a / b for a, b in zip(one.values(), other.values()) if a and b]
    if not ratios or max(ratios) > min(ratios) * (1 + SAME):
        return False
    if _of_what(one) != _of_what(other):
        return True
    scale = [names.SECONDS.get(column.heading.unit.lower(), 1.0) for column in (one, other)]
    return abs(ratios[0] * scale[0] / scale[1] - 1) <= SAME


def _of_what(column: Column) -> str:
    """Return what a column counts in a time, or what its times are for; units of time are left out of it."""
    rates = re.findall(r"(\S+)\s*(?:/|\bper\b)\s*(\S+)", re.sub(r"[()\[\]]", " ", column.key))
    return column.heading.per if column.heading.meaning == "time" else " ".join("/".join(rate) for rate in rates)


def _by_ideal(column: Column, rest: Sequence[Column], workers: Column) -> Meaning:
    """Decide whether a column beside an ideal one is a rate or a time: the ideal rises with the workers, or falls."""
    ideal = next((other for other in rest if other.heading.meaning == "ideal" and _any_number(other)), None)
    pairs = [
        (n, value)
        for n, value in zip(counted(workers), ideal.values() if ideal else [])
        if isinstance(n, int) and value
    ]
    products = [value / n for n, value in pairs]
    inverse = [value * n for n, value in pairs]
    if len(pairs) > 1 and max(products) <= 1.1 * min(products):
        return "throughput"
    if len(pairs) > 1 and max(inverse) <= 1.1 * min(inverse):
        return "time"
    raise Refusal(
        f"does not say what {column.name} is: say it: {quoted([column], '--time-column')} or "
        f"{quoted([column], '--throughput-column')}"
    )
