"""By which columns the rows of a table are told apart into series, and what those are called."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from launch.errors import Refusal
from profiling import text
from profiling.tables import columns, names
from profiling.tables.choice import Chosen
from profiling.tables.columns import Asked, Column
from profiling.tables.grid import empty
from profiling.tables.rows import Row


@dataclass(frozen=True)
class Keys:
    """The columns by which series differ."""

    columns: tuple[Column, ...]
    of_one: Column | None = None  # size whose part per worker tells series apart
    parameter: Column | None = None


def name(row: Row, keys: Keys, chosen: Chosen, title: str) -> str:
    """Return what the series of a row is called: by the values by which it differs, else by the title of the table."""
    parts = []
    for column in keys.columns:
        cell = names.plain("" if empty(row.cells[column.place]) else row.cells[column.place])
        if column is keys.of_one and (value := row.number(column)) is not None:
            parts.append(f"{column.name}={text.number(value / row.workers)} per worker")
        elif column.key == "name" or len(keys.columns) == 1 and column.is_text:
            parts.append(cell)
        else:
            parts.append(f"{column.name}={cell}")
    if len(chosen.measured) > 1 and not chosen.repeats:
        parts.append(row.measured.name)
    return ", ".join(part for part in parts if part) or title


def told_apart(chosen: Chosen, rows: Sequence[Row], asked: Asked) -> Keys:
    """Return the columns by which the rows are told apart into series."""
    if asked.series_column:
        if asked.series_column == ("none",):
            return Keys(())
        among = [
            chosen.workers,
            *chosen.others,
            *(column for column in (chosen.name, chosen.unit, chosen.kind) if column),
        ]
        return Keys(tuple(columns.find(name, among, "--series-column") for name in asked.series_column))
    keys: list[Column] = [chosen.name] if chosen.name else []
    if not keys:
        keys = [
            column
            for column in chosen.others
            if column.is_text and column.heading.meaning not in ("passed over", "repeat", "spread")
        ]
        keys = [column for column in keys if _varies(column, rows)]
        while keys and not any(len({row.workers for row in group}) > 1 for group in groups(rows, keys).values()):
            keys.remove(max(keys, key=lambda column: len({str(row.cells[column.place]) for row in rows})))
    if chosen.kind and len({row.kind for row in rows}) > 1 and not chosen.name and not _documented(chosen):
        keys.append(chosen.kind)
    sizes, of_one = _by_numbers(chosen, rows, keys)
    keys += sizes
    parameter = next((each for each in sizes if each.heading.meaning in ("size", "count", "count of one")), None)
    if not chosen.name:
        for column in chosen.of("unknown", "passed over"):
            if column.is_text or not _varies(column, rows):
                continue
            values = [row.number(column) for row in rows]
            few = len(set(values)) <= len(rows) / 2
            pair = _clash(rows, keys, lambda row, column=column: row.number(column))
            if few and pair and _spans(rows, keys, lambda row, column=column: row.number(column)) >= 2:
                one, other = pair
                raise Refusal(
                    f"{one.where} and {other.where} have {text.plural(one.workers, 'worker')} "
                    f"and another {column.name}: are they repeats? say "
                    f"--series-column {column.name!r}, or --series-column none"
                )
    return Keys(tuple(keys), of_one, parameter)


def _by_numbers(chosen: Chosen, rows: Sequence[Row], keys: Sequence[Column]) -> tuple[list[Column], Column | None]:
    """Return the columns of sizes and workers by which rows of one number of workers differ, and which is by worker.

    Of several that tell such rows apart, the one whose values appear with the most numbers of workers is taken: only
    with two or more of them is it a series.
    """
    among = [column for column in chosen.of("shape", "size", "count", "workers", "count of one") if not column.is_text]
    among = [column for column in among if _varies(column, rows)]
    among.sort(key=lambda column: (column.heading.meaning == "workers", column.place))
    found: list[Column] = []
    of_one = None
    while True:
        spans: list[tuple[float, Column, bool]] = []
        known = [*keys, *found]
        for column in among:
            clash = _clash(rows, known, lambda row, column=column: row.number(column))
            whole, one = (
                _spans(rows, known, lambda row, column=column, by=by: _part(row, column, by)) for by in (False, True)
            )
            # Rows of another size are another series even where they have other numbers of workers.
            splits = len(groups(rows, [*known, column])) > len(groups(rows, known))
            if not clash and not (column.heading.meaning == "size" and whole >= 2 and splits):
                continue
            by_worker = column.heading.meaning in ("size", "count") and one > whole
            spans.append((one if by_worker else whole, column, by_worker))
        if not spans:
            return sorted(found, key=lambda column: column.place), of_one
        _, best, by_worker = max(spans, key=lambda each: each[0])
        found.append(best)
        of_one = best if by_worker else of_one


def _documented(chosen: Chosen) -> bool:
    """Return whether a table has the documented form, in which a series that mixes kinds is refused, and not split."""
    return (chosen.workers.key, chosen.measured[0].key) == ("workers", "throughput")


def _part(row: Row, column: Column, by_worker: bool) -> float | None:
    value = row.number(column)
    return None if value is None else round(value / row.workers, 6) if by_worker else value


def _varies(column: Column, rows: Sequence[Row]) -> bool:
    return len({str(row.cells[column.place]).strip() for row in rows}) > 1


def groups(rows: Sequence[Row], keys: Sequence[Column]) -> dict[tuple[str, ...], list[Row]]:
    """Group the rows by their cells in some columns, in their order."""
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(str(row.cells[column.place]) for column in keys)].append(row)
    return groups


def _clash(rows: Sequence[Row], keys: Sequence[Column], value: Any) -> tuple[Row, Row] | None:
    """Return two rows of one series and number of workers that differ by a value; None if there are none."""
    seen: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = (row.workers, row.measured.place, *(str(row.cells[column.place]) for column in keys))
        before = seen.setdefault(key, row)
        if value(before) is not None and value(row) is not None and value(before) != value(row):
            return before, row
    return None


def _spans(rows: Sequence[Row], keys: Sequence[Column], value: Any) -> float:
    """Return with how many numbers of workers a value appears on average: the more, the more it is a series."""
    seen: dict[tuple[Any, ...], set[int]] = defaultdict(set)
    for row in rows:
        seen[(value(row), *(str(row.cells[column.place]) for column in keys))].add(row.workers)
    return sum(map(len, seen.values())) / len(seen)
