"""The rows of a grid that were measured, with their values; the others are left out by name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from launch.errors import Refusal
from profiling import text
from profiling.tables import names
from profiling.tables.cells import numbers
from profiling.tables.cells.counts import workers as numbers_of_workers
from profiling.tables.cells.numbers import Number
from profiling.tables.choice import Chosen
from profiling.tables.columns import Asked, Column
from profiling.tables.grid import Grid, empty

_STATISTIC = re.compile(
    r"(avg|average|mean|geomean|med|median|std\.?|std ?dev|sd|var|variance|min|max|minimum|maximum|sum|total)\b.*",
    re.IGNORECASE,
)
"""What stands in the column of repeats in lines that are of all of them."""


@dataclass(frozen=True)
class Row:
    """A row of a grid, with its workers and what was measured."""

    where: str
    cells: tuple[Any, ...]
    workers: int
    value: Number
    kind: str
    unit: str
    measured: Column

    def number(self, column: Column) -> float | None:
        """Return the number in one of the row's columns; None if there is none."""
        value = numbers.column([self.cells[column.place]], column.comma or "thousands")[0]
        return value.value if isinstance(value, Number) else None


def measured(grid: Grid, chosen: Chosen, asked: Asked, notes: list[str]) -> list[Row]:
    """Return the rows that were measured; add a note on each of the others."""
    counted = numbers_of_workers(chosen.workers)
    cells = {column.place: column.numbers(chosen.measure == "time") for column in chosen.measured}
    rows: list[Row] = []
    for place, row in enumerate(grid.rows):
        workers = counted[place]
        if of_all := _of_all(row.cells, chosen, grid):
            notes.append(f"left out: {row.where}: {of_all.name} is {shown(row.cells[of_all.place])}")
            continue
        for column in chosen.measured:
            value, cell = cells[column.place][place], row.cells[column.place]
            unit = "" if chosen.unit is None else str(row.cells[chosen.unit.place] or "").strip()
            if not isinstance(workers, int):
                counts = row.cells[chosen.workers.place]
                if workers is None or numbers.UNCOUNTED.fullmatch(names.plain(counts)) or value is None:
                    notes.append(f"left out: {row.where}: {chosen.workers.name} is {shown(counts)}")
                    break
                raise Refusal(
                    f"{row.where}: {chosen.workers.name} is {as_given(counts)}; give a whole number, 1 or more"
                )
            if value is None or chosen.measure == "time" and isinstance(value, Number) and value.value <= 0:
                notes.append(
                    f"left out: {row.where} ({text.plural(workers, 'worker')}): {column.name} is {shown(cell)}"
                )
                continue
            if isinstance(value, str) or not 0 < value.value < float("inf"):
                clock = chosen.measure == "time" and isinstance(cell, str) and re.fullmatch(r"\s*\d+:\d\d\s*", cell)
                advice = "say which these are, as in 0:10:30" if clock else "give a finite number above 0"
                raise Refusal(f"{row.where}: {column.name} is {as_given(cell)}; {advice}")
            kind = "" if chosen.kind is None or asked.kind else _kind_of(row.where, row.cells[chosen.kind.place])
            rows.append(Row(row.where, row.cells, workers, value, kind, unit, column))
    if labelled := next((row for row in rows if re.match(r"\d+\s*\(", _counts(row, chosen))), None):
        notes.append(
            f"{chosen.workers.name} is {_counts(labelled, chosen)} in {labelled.where}: read as {labelled.workers}"
        )
    if any(row.value.spread for row in rows):
        notes.append("what stands behind ± in the table is not used: intervals rest on repeats")
    if remark := next((row for row in rows if row.value.remark), None):
        cell = shown(remark.cells[remark.measured.place])
        notes.append(f"what stands in brackets behind a number, as in {cell}, is not used")
    if not rows:
        raise Refusal(f"has no row that was measured ({'; '.join(notes[:3])})")
    return rows


def _counts(row: Row, chosen: Chosen) -> str:
    return str(row.cells[chosen.workers.place]).strip()


def _of_all(cells: Sequence[Any], chosen: Chosen, grid: Grid) -> Column | None:
    """Return the column of repeats by which a row is not one of them, but a mean or another number of them all."""
    for column in chosen.of("repeat"):
        if _STATISTIC.fullmatch(str(cells[column.place] or "").strip()):
            if not all(_STATISTIC.fullmatch(str(row.cells[column.place] or "").strip()) for row in grid.rows):
                return column
    return None


def _kind_of(where: str, cell: Any) -> str:
    # A kind may carry a remark, as in "strong (labelled weak by its source)": its first word counts.
    found = re.match(r"\s*(weak|strong)\b", str(cell or ""), re.IGNORECASE)
    if not found:
        said = "has no kind" if empty(cell) else f"kind is {as_given(cell)}"
        raise Refusal(f"{where}: {said}; give weak (the work per worker held) or strong (the work of all held)")
    return found[1].lower()


def shown(cell: Any) -> str:
    """Return what stands in a cell, for a line to the reader."""
    return "empty" if empty(cell) else str(cell).strip()


def as_given(cell: Any) -> str:
    """Return what stands in a cell, as a refusal quotes it."""
    return repr(cell.strip()) if isinstance(cell, str) else str(cell)


def whole(group: Sequence[Row], column: Column) -> list[float] | None:
    """Return the numbers above 0 of a column in all rows of a series; None if a row has none."""
    cells = numbers.column(
        [row.cells[column.place] for row in group], column.comma or "thousands", column.heading.meaning == "time"
    )
    values = [
        cell.value * names.SECONDS.get(cell.unit.lower(), 1.0) if isinstance(cell, Number) else None for cell in cells
    ]
    there = [value for value in values if value is not None and value > 0]
    return there if len(there) == len(values) else None


def ratio(row: Row, column: Column) -> float | None:
    """Return a speed-up or an efficiency of a row; None if the cell is not a number."""
    found = numbers.column([row.cells[column.place]], column.comma or "thousands")[0]
    if not isinstance(found, Number):
        return None
    return found.value / 100 if found.unit == "%" else found.value
