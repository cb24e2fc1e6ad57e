"""A table as a grid of cells, whatever the form that it was kept in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from launch.errors import Refusal
from profiling.tables import names

MEASURED = {"time", "throughput", "rate of one", "speed-up", "efficiency"}


@dataclass(frozen=True)
class Row:
    """A line of a table; cells that it does not have are None."""

    where: str  # "line 3", "row 2": what a refusal calls it
    cells: tuple[Any, ...]


@dataclass(frozen=True)
class Grid:
    """Named columns and rows; in a table without names these are empty."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    title: str = ""  # the heading above the table, or the key that holds it
    remarks: str = ""  # comments, and other words around the table
    comma: str = ""  # "decimal" if its form shows commas to be decimal: semicolons separate its columns
    notes: tuple[str, ...] = ()  # which rows are left out


def checked(grid: Grid) -> Grid:
    """Return a grid whose rows all fit its header, without rows and columns that are empty.

    Raises
    ------
    Refusal
        If a row has more cells than the header, for example because the comma of a number separates cells.
    """
    grid = _merged(grid)
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
    rows = _filled(grid.header, rows)
    kept = [place for place in range(width) if grid.header[place] or not all(empty(row.cells[place]) for row in rows)]
    return replace(
        grid,
        header=tuple(grid.header[place] for place in kept),
        rows=tuple(Row(row.where, tuple(row.cells[place] for place in kept)) for row in rows),
    )


def are_units(cells: Sequence[Any]) -> bool:
    """Return whether a line below the names has units: a cell is one of times or rates, none a number or workers."""
    bare = [str(cell).strip().strip("[]()").lower() for cell in cells if not empty(cell)]
    units = [cell for cell in bare if names.is_time(cell) or any(map(names.is_time, cell.split("/")[1:]))]
    named = any(re.search(r"\d", cell) or names.heading(cell).meaning == "workers" for cell in bare)
    return bool(units) and not named


def with_units(header: Sequence[str], units: Sequence[Any]) -> tuple[str, ...]:
    """Return names with the units that stand below them; a sign in the place of one says that there is none."""
    found = ["" if empty(unit) else str(unit).strip().strip("[]()").strip() for unit in units]
    found += [""] * (len(header) - len(found))
    return tuple(f"{name} [{unit}]" if re.search(r"\w|%", unit) else name for name, unit in zip(header, found))


def _merged(grid: Grid) -> Grid:
    """Merge a second line of names or units, which stand below those of the first, into one header."""
    below = grid.rows[0].cells if grid.rows else ()
    if len(below) <= len(grid.header) and are_units(below):
        return replace(grid, header=with_units(grid.header, below), rows=grid.rows[1:])
    own = ["" if place >= len(below) or empty(below[place]) else str(below[place]) for place in range(len(grid.header))]
    meanings = [{names.heading(name).meaning for name in line if name} for line in (grid.header, own)]
    known = "workers" in meanings[1] or "workers" in meanings[0] and not own[0] and meanings[1] & MEASURED
    if not known or len(below) > len(own) or any(re.match(r"\s*[-+]?\.?\d", name) for name in own):
        return grid
    group, header = "", []
    for above, name in zip(grid.header, own):
        group = above or group
        header.append(
            name and group and (f"{group} {name}" if name[0] in "([" else f"{name} ({group})") or name or above
        )
    return replace(grid, header=tuple(header), rows=grid.rows[1:])


def _filled(header: Sequence[str], rows: list[Row]) -> list[Row]:
    """Fill empty first cells with the one above them, which merged cells share, such as the name of a series."""
    unnamed = ("unknown", "size", "count", "count of one", "shape")
    if not rows or empty(rows[0].cells[0]) or not header[0]:
        return rows
    meaning = names.heading(header[0]).meaning
    named = meaning == "workers" and not any(re.search(r"^\W*\d", str(row.cells[0] or "")) for row in rows)
    if not named and meaning not in unnamed:  # a column of workers with names in it is of machines, not of their number
        return rows
    filled, above = [], None
    for row in rows:
        above = above if empty(row.cells[0]) else row.cells[0]
        filled.append(Row(row.where, (above, *row.cells[1:])))
    return filled


def empty(cell: Any) -> bool:
    """Return whether nothing stands in a cell."""
    return cell is None or isinstance(cell, str) and not cell.strip()


def upright(grid: Grid) -> Grid:
    """Turn a table whose columns are its points ("Time | 1 node | 2 nodes"), so that its rows are."""
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
    """Join remarks into one text."""
    return " ".join(line.strip().lstrip("#%/!").strip() for line in lines).strip()
