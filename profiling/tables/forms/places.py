"""Cells of a table of blanks, told by where they stand in their lines: below their names, or below dashes."""

import re
from collections.abc import Sequence

from launch.errors import Refusal
from profiling.tables.grid import Row


def below_dashes(dashes: str, line: str, width: int) -> list[str] | None:
    """Return the cells of a line that stand below groups of dashes, as of sacct; None if there are not ``width``."""
    spans = [found.span() for found in re.finditer(r"[-=]+", dashes)]
    if len(spans) != width or "\t" in line:
        return None
    ends = [0, *(end for _, end in spans)]
    between = [line[end:begin] for end, (begin, _) in zip(ends, spans)]
    if any(text.strip() for text in between):
        return None
    return [line[begin : None if place == width - 1 else end].strip() for place, (begin, end) in enumerate(spans)]


def below_names(header: Sequence[str], header_line: str, rows: Sequence[Row], lines: dict[str, str]) -> list[Row]:
    """Place the cells of rows that lack some below the names that they stand under, if the cells of full rows do so.

    Raises
    ------
    Refusal
        If a row begins to the right of the first name, or two cells stand below one name.
    """
    names_at = _spans(header_line, header)
    placed = [_below(names_at, _spans(lines[row.where], [str(cell) for cell in row.cells])) for row in rows]
    full = [place for row, place in zip(rows, placed) if len(row.cells) == len(header)]
    if not full or any(place != list(range(len(header))) for place in full):
        return list(rows)
    found = []
    for row, place in zip(rows, placed):
        if len(row.cells) < len(header) and (place is None or place[0]):
            raise Refusal(
                f"{row.where} has {len(row.cells)} cells and the header {len(header)}, and it is not clear which are "
                "empty: write - for those"
            )
        cells = dict(zip(place or range(len(row.cells)), row.cells))
        found.append(Row(row.where, tuple(cells.get(at) for at in range(len(header)))))
    return found


def _spans(line: str, parts: Sequence[str]) -> list[tuple[int, int]]:
    """Return where parts of a line begin and end."""
    spans, end = [], 0
    for part in parts:
        begin = max(line.find(part, end), end)
        end = begin + len(part)
        spans.append((begin, end))
    return spans


def _below(names_at: Sequence[tuple[int, int]], cells: Sequence[tuple[int, int]]) -> list[int] | None:
    """Return the number of the nearest name for each cell; None if one name is nearest to two of them."""
    found = [
        min(
            range(len(names_at)),
            key=lambda at: (
                max(names_at[at][0] - end, begin - names_at[at][1], 0),
                abs(sum(names_at[at]) - begin - end),
            ),
        )
        for begin, end in cells
    ]
    return found if all(one < other for one, other in zip(found, found[1:])) else None
