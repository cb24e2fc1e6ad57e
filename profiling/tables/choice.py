"""Which column of a grid is what: the workers, the measurement, what tells series apart. What is ambiguous is refused,
with the choices."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from launch.errors import Refusal
from profiling.tables.columns import NEEDED, Asked, Column, columns, find, listed, numbered, quoted
from profiling.tables.counts import are_counts, count
from profiling.tables.grid import Grid, empty
from profiling.tables.names import UNLIKELY, Meaning

SAME = 0.02  # relative difference up to which two columns say the same


@dataclass(frozen=True)
class Chosen:
    """The columns of a table, by what they are for."""

    workers: Column
    measure: Meaning  # what the measured columns are: throughput, time, rate of one, speed-up, efficiency
    measured: tuple[Column, ...]  # several if each is a series, or a repeat
    repeats: bool  # whether several measured columns are repeats
    named: bool  # whether the user has named the measured column
    kind: Column | None
    unit: Column | None
    name: Column | None  # the documented column of series
    others: tuple[Column, ...]  # the rest

    def of(self, *meanings: Meaning) -> list[Column]:
        """Return the other columns that have one of some meanings."""
        return [column for column in self.others if column.heading.meaning in meanings]


def choose(grid: Grid, asked: Asked) -> Chosen:
    """Tell the columns of a grid apart.

    Raises
    ------
    Refusal
        If no column has the workers or a measurement, or several may have it.
    """
    all_columns = columns(grid, asked.decimal)
    kind = next((column for column in all_columns if column.key == "kind" or _says_kind(column)), None)
    unit = next((column for column in all_columns if _says_unit(column)), None)
    name = next((column for column in all_columns if column.key == "name"), None)
    rest = [column for column in all_columns if column not in (kind, unit, name)]
    workers = find(asked.workers_column, all_columns, "--workers-column") if asked.workers_column else _workers(rest)
    rest = [column for column in rest if column is not workers]
    measure, measured, repeats, named = _measured(rest, all_columns, asked, workers)
    others = tuple(column for column in rest if column not in measured)
    return Chosen(workers, measure, tuple(measured), repeats, named, kind, unit, name, others)


def _says_unit(column: Column) -> bool:
    return bool(re.fullmatch(r"(time[ _])?units?", column.key)) and column.is_text


def _says_kind(column: Column) -> bool:
    there = [str(cell) for cell in column.cells if not empty(cell)]
    return bool(there) and all(re.match(r"\s*(weak|strong)\b", cell, re.IGNORECASE) for cell in there)


def _workers(columns: Sequence[Column]) -> Column:
    exact = [column for column in columns if column.key == "workers"]
    if exact:
        return exact[0]
    named = [column for column in columns if column.heading.meaning == "workers" and (are_counts(column))]
    named = named or [column for column in columns if column.heading.meaning == "shape" and are_counts(column)]
    if not named:
        other = ("time", "throughput", "rate of one", "speed-up", "efficiency", "spread")
        whole = [column for column in columns if are_counts(column) and column.heading.meaning not in other]
        given = f"say which it is: {quoted(whole[:4], '--workers-column')}" if whole else NEEDED
        raise Refusal(f"has no column of workers (its columns: {listed(columns)}): {given}")
    varying = [
        column for column in named if len({value for value in map(count, column.cells) if isinstance(value, int)}) > 1
    ]
    if {"p", "q"} <= {column.key for column in columns}:
        raise Refusal(
            "has columns P and Q, of which the workers are the product: add a column of it, or say which it is: "
            f"{quoted(named, '--workers-column')}"
        )
    if len(varying) < 2:
        return (varying or named)[0]
    by_size = sorted(
        varying, key=lambda column: max((v for v in map(count, column.cells) if isinstance(v, int)), default=0)
    )
    finest = by_size[-1]
    if all(_divides(column, finest) for column in by_size[:-1]):
        return finest
    raise Refusal(
        f"has {len(varying)} columns that may count the workers: choose: {quoted(varying, '--workers-column')}"
    )


def _divides(column: Column, finest: Column) -> bool:
    """Return whether a column counts larger units of what ``finest`` counts; if these are of threads, equal ones."""
    pairs = [
        (one, all_)
        for one, all_ in zip(map(count, column.cells), map(count, finest.cells))
        if isinstance(one, int) and isinstance(all_, int)
    ]
    ratios = {all_ / one for one, all_ in pairs}
    if len(ratios) == 1:
        return True
    apart = {column.heading.worker, finest.heading.worker} & {
        "thread"
    } and column.heading.worker != finest.heading.worker
    return not apart and all(ratio >= 1 and ratio.is_integer() for ratio in ratios)


def _measured(
    rest: Sequence[Column], all_columns: Sequence[Column], asked: Asked, workers: Column
) -> tuple[Meaning, list[Column], bool, bool]:
    if asked.time_column and asked.throughput_column:
        raise Refusal("--time-column and --throughput-column are given: a table is read by one of the two")
    if asked.time_column or asked.throughput_column:
        meaning, option = ("time", "--time-column") if asked.time_column else ("throughput", "--throughput-column")
        chosen = [find(name, all_columns, option) for name in asked.time_column or asked.throughput_column]
        return meaning, chosen, len(chosen) > 1 and _are_repeats(chosen) and meaning == "time", True
    # Documented names count before all others.
    exact = [column for column in rest if column.key == "throughput"]
    if exact:
        if len(exact) > 1:
            raise Refusal(
                f"has {len(exact)} columns 'throughput': choose one by its number: "
                f"{numbered(exact, '--throughput-column')}"
            )
        return "throughput", exact, False, False
    tiers: list[tuple[Meaning, float, float]] = [
        ("throughput", 0, 1), ("time", 0, UNLIKELY - 1), ("rate of one", 0, UNLIKELY - 1),
        ("throughput", 2, UNLIKELY - 1), ("actual", 0, 99), ("time", UNLIKELY, 99),
        ("throughput", UNLIKELY, 99), ("speed-up", 0, 99), ("efficiency", 0, 99),
    ]  # fmt: skip
    for meaning, least, most in tiers:
        found = [
            column
            for column in rest
            if column.heading.meaning == meaning
            and least <= column.heading.rank <= most
            and not column.is_text
            and _any_number(column)
        ]
        if not found:
            continue
        best = [column for column in found if column.heading.rank == min(each.heading.rank for each in found)]
        if len(best) > 1 and meaning in ("time", "throughput", "rate of one"):
            if _are_repeats(best):
                return meaning, best, True, False
            alike = [
                column for column in best if len({c.name for c in best}) == len(best) and _proportional(column, best[0])
            ]
            if len(alike) < len(best):
                option = "--time-column" if meaning == "time" else "--throughput-column"
                several = f", or several of them as series ({option} twice)" if meaning == "time" else ""
                raise Refusal(f"has {len(best)} columns of {meaning}: choose: {quoted(best, option)}{several}")
        if meaning == "actual":
            return _by_ideal(best[0], rest, workers), [best[0]], False, False
        return meaning, [best[0]], False, False
    numeric = [
        column
        for column in rest
        if _any_number(column) and not column.is_text and column.heading.meaning not in ("repeat", "spread")
    ]
    empty_one = next((column for column in rest if column.heading.meaning in ("time", "throughput")), None)
    if empty_one:
        return empty_one.heading.meaning, [empty_one], False, False
    choices = (
        f"say which it is: {quoted(numeric[:3], '--time-column')}, or {quoted(numeric[:3], '--throughput-column')}"
        if numeric
        else NEEDED
    )
    raise Refusal(f"has no column throughput, nor one of times (its columns: {listed(all_columns)}): {choices}")


def _any_number(column: Column) -> bool:
    return any(value is not None for value in column.values())


def _are_repeats(columns: Sequence[Column]) -> bool:
    """Return whether columns differ only by a number at the end: time_1, time_2, time_3."""
    found = [re.fullmatch(r"(.*?)[\s_]*(\d+)\D{0,6}", column.heading.text) for column in columns]
    stems = {match[1] for match in found if match}
    counted = sorted(int(match[2]) for match in found if match)
    return all(found) and len(stems) == 1 and counted in (list(range(len(found))), list(range(1, len(found) + 1)))


def _proportional(one: Column, other: Column) -> bool:
    ratios = [a / b for a, b in zip(one.values(), other.values()) if a and b]
    return bool(ratios) and max(ratios) <= min(ratios) * (1 + SAME)


def _by_ideal(column: Column, rest: Sequence[Column], workers: Column) -> Meaning:
    """Decide whether a column beside an ideal one is a rate or a time: the ideal rises with the workers, or falls."""
    ideal = next((other for other in rest if other.heading.meaning == "ideal" and _any_number(other)), None)
    counted = [
        (n, value)
        for n, value in zip(map(count, workers.cells), ideal.values() if ideal else [])
        if isinstance(n, int) and value
    ]
    products = [value / n for n, value in counted]
    inverse = [value * n for n, value in counted]
    if len(counted) > 1 and max(products) <= 1.1 * min(products):
        return "throughput"
    if len(counted) > 1 and max(inverse) <= 1.1 * min(inverse):
        return "time"
    raise Refusal(
        f"does not say what {column.name} is: say it: {quoted([column], '--time-column')} or "
        f"{quoted([column], '--throughput-column')}"
    )
