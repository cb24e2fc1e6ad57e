"""A table as a grid of cells, whatever the form that it was kept in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from launch.errors import Refusal
from profiling.tables import names


@dataclass(frozen=True)
class Row:
    """A line of a table; cells that it does not have are None."""

    where: str  # "line 3", "row 2": what a refusal calls it
    cells: tuple[Any, ...]


@dataclass(frozen=True)
class Grid:
    """Named columns and rows; a table without names has those that are empty."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    title: str = ""  # the heading above it, the key under which it stands
    remarks: str = ""  # comments, the words around it
    comma: str = ""  # "decimal" where its form tells that a comma is one: its columns are separated by semicolons


def checked(grid: Grid) -> Grid:
    """A grid whose rows all fit its header, without rows and columns that are empty.

    Raises
    ------
    Refusal
        If a row has more cells than the header, as one has in which a comma of a number separates.
    """
    width, rows = len(grid.header), []
    for row in grid.rows:
        cells = list(row.cells)
        while len(cells) > width and empty(cells[-1]):
            cells.pop()
        if len(cells) > width:
            shown = ", ".join(str(cell) for cell in cells)
            raise Refusal(
                f"{row.where} has {len(cells)} cells and the header {width} ({shown}): quote numbers with a comma in "
                "them, or separate the columns by semicolons or tabs"
            )
        cells += [None] * (width - len(cells))
        if not all(map(empty, cells)):
            rows.append(Row(row.where, tuple(cells)))
    kept = [place for place in range(width) if grid.header[place] or not all(empty(row.cells[place]) for row in rows)]
    return replace(
        grid,
        header=tuple(grid.header[place] for place in kept),
        rows=tuple(Row(row.where, tuple(row.cells[place] for place in kept)) for row in rows),
    )


def empty(cell: Any) -> bool:
    """Whether nothing stands in a cell."""
    return cell is None or isinstance(cell, str) and not cell.strip()


def upright(grid: Grid) -> Grid:
    """A table whose columns are its points ("Time | 1 node | 2 nodes") turned, so that its rows are."""
    if not grid.header:
        return grid
    first, *others = grid.header
    counted = [re.fullmatch(r"(\d+)\s*([^\W\d]*)", names.plain(cell)) for cell in others]
    if len(others) < 2 or not all(counted) or not grid.rows:
        return grid
    what = {names.worker(found[2]) or found[2].lower() for found in counted if found}
    called = names.heading(first).meaning == "workers"
    if not (called and what == {""} or len(what) == 1 and all(names.worker(found[2]) for found in counted if found)):
        return grid
    label = first if called else f"{next(iter(what))}s"
    header = (label, *(str(row.cells[0] or "") for row in grid.rows))
    rows = tuple(
        Row(f"column {other!r}", (found[1] if found else None, *(row.cells[place] for row in grid.rows)))
        for place, (other, found) in enumerate(zip(others, counted), 1)
    )
    return replace(grid, header=header, rows=rows)


def words(lines: Sequence[str]) -> str:
    """Remarks, as one text."""
    return " ".join(line.strip().lstrip("#%/!").strip() for line in lines).strip()
