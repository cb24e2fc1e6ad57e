"""Columns separated by commas, semicolons, tabs, bars or blanks -> a grid; with comments, and a header in one."""

import csv
import re
from collections.abc import Sequence
from dataclasses import replace

from launch.errors import Refusal
from profiling.tables import names
from profiling.tables.grid import Grid, Row, words

_COMMENT = re.compile(r"\s*(#|%|//|!)")
_RULE = re.compile(r"[\s=+\-_*~]*")  # a line that only rules off others, such as ----

Line = tuple[int, str]


def grids(text: str) -> list[Grid]:
    """Return the tables in a text: one, or the blocks of gnuplot's files, which two empty lines divide.

    A block without names takes those of the first; its title is the comment above it, or its last name.

    Raises
    ------
    Refusal
        Raised as by `grid`.
    """
    lines = text.splitlines()
    data = [place for place, line in enumerate(lines) if line.strip() and not _COMMENT.match(line)]
    bounds = [
        later for before, later in zip(data, data[1:]) if sum(not line.strip() for line in lines[before:later]) > 1
    ]
    if not bounds or _separator([lines[place] for place in data]) != " ":
        return [grid(text)]
    starts = [0, *(max(place for place in data if place < bound) + 1 for bound in bounds)]
    found: list[Grid] = []
    for start, end in zip(starts, [*starts[1:], len(lines)]):
        # Empty lines stand for those before the block, so that its lines keep their numbers.
        block = grid("\n" * start + "\n".join(lines[start:end]))
        if found and not any(block.header) and len(block.header) == len(found[0].header):
            block = replace(block, header=found[0].header)
        comments = [line.strip("#%! ") for line in lines[start:end] if _COMMENT.match(line)]
        title = comments[-1] if comments else block.header[-1] if any(block.header) else f"block {len(found) + 1}"
        found.append(replace(block, title=title))
    return found


def grid(text: str) -> Grid:
    """Return the table in a text.

    Raises
    ------
    Refusal
        If it is unclear which cells of a line are empty, or two tables follow each other.
    """
    lines = [(number, line) for number, line in _lines(text) if line.strip()]
    body = [(number, line) for number, line in lines if not _COMMENT.match(line) and not _RULE.fullmatch(line)]
    comments = [(number, line) for number, line in lines if _COMMENT.match(line)]
    if not body:
        return Grid((), ())
    separator = _separator([line for _, line in body])
    if separator == "\t" and not _empty_cells([line for _, line in body]):
        separator = "\t+"
    remarks = words([line for _, line in comments])
    comma = "decimal" if separator == ";" else ""
    first = _split(_without_comment(body[0][1], separator), separator)
    header: list[str] | None = None
    above_rows = ""  # the line of names, unless it is a comment
    if _is_data(body[0][1]):
        above = [line for number, line in comments if number < body[0][0]]
        header = next((found for line in reversed(above) if (found := _header(line, separator, len(first)))), None)
    else:
        separator, header = _named(body, separator)
        above_rows = body[0][1]
        body = body[1:]
    rows = [
        Row(f"line {number}", tuple(_split(_without_comment(line, separator), separator)))
        for number, line in body
        if _split(line, separator) != header  # headers of tables that were written one behind the other
    ]
    if header and above_rows and separator in (" ", "  ") and any(len(row.cells) < len(header) for row in rows):
        rows = _in_place(header, above_rows, rows, {f"line {number}": line for number, line in body})
    if header and separator == " " and _numbered(rows, len(header)):
        rows = [Row(row.where, row.cells[1:]) for row in rows]
    if header is None:
        header = [""] * max(len(row.cells) for row in rows)
    again = next((row for row in rows if header[0] and row.cells[0] == header[0]), None)
    if again:
        raise Refusal(f"{again.where} begins another table ({', '.join(map(str, again.cells))}): give a file for each")
    return Grid(tuple(header), tuple(rows), remarks=remarks, comma=comma)


def _numbered(rows: Sequence[Row], width: int) -> bool:
    """Return whether all rows begin with a cell more than there are names: their number, as pandas prints it."""
    return all(len(row.cells) == width + 1 and row.cells[0] == str(place) for place, row in enumerate(rows))


def _lines(text: str) -> list[Line]:
    """Return the lines of a text by their numbers; lines over which a quoted cell extends are joined."""
    lines: list[Line] = []
    physical = text.splitlines()
    place = 0
    while place < len(physical):
        line, end = physical[place], place + 1
        if re.search(r"(?:^|[,;\t])\s*\"", line) and line.count('"') % 2:
            closing = next((at for at in range(end, len(physical)) if physical[at].count('"') % 2), None)
            end = end if closing is None else closing + 1
        lines.append((place + 1, " ".join([line, *physical[place + 1 : end]])))
        place = end
    return lines


def _separator(lines: Sequence[str]) -> str:
    """Return the separator of the columns: a sign in the first line and in most of the lines, else blanks."""
    for sign in "\t;|,":
        having = sum(sign in line for line in lines)
        if sign in lines[0] and having > len(lines) / 2 and not (sign == "\t" and _by_blanks(lines)):
            return sign
    return " "


def _by_blanks(lines: Sequence[str]) -> bool:
    """Return whether the lines have equally many cells if blanks separate them, but not if tabs do."""
    tabs, blanks = ({len(_split(_without_comment(line, sign), sign)) for line in lines} for sign in "\t ")
    return len(tabs) > 1 and len(blanks) == 1


def _empty_cells(lines: Sequence[str]) -> bool:
    """Return whether two tabs have an empty cell between them: there is a header, with as many cells as the longest
    line, and none of its own is empty. Otherwise the tabs align columns."""
    header, longest = lines[0].count("\t"), max(line.rstrip("\t").count("\t") for line in lines)
    return not _is_data(lines[0]) and "\t\t" not in lines[0] and header == longest


def _in_place(header: Sequence[str], header_line: str, rows: Sequence[Row], lines: dict[str, str]) -> list[Row]:
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


def _split(line: str, separator: str) -> list[str]:
    if separator == " ":
        return [
            cell.strip() for cell in next(csv.reader([" ".join(line.split())], delimiter=" ", skipinitialspace=True))
        ]
    if separator == "  ":  # names and values may have blanks in them
        return _parts(line, r"\s{2,}|\t")
    if separator == "\t+":
        line, separator = re.sub(r"\t+", "\t", line.strip("\t")) if "\t\t" in line else line, "\t"
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]


def _named(body: Sequence[Line], separator: str) -> tuple[str, list[str]]:
    """Return the separator and the names in the first line; if names have blanks, it may be two blanks or a tab."""
    header = _split(body[0][1], separator)
    if separator in (" ", "\t+") and len(body) > 1:
        width = len(_split(_without_comment(body[1][1], " "), " "))
        for sign in (r"\t+", r"\s{2,}|\t", r"\s+#", r"\s+"):
            if len(found := _parts(body[0][1], sign)) == width:
                return " ", found
        wide = _parts(body[0][1], r"\s{2,}|\t")
        if len(wide) > 1 and all(len(_parts(line, r"\s{2,}|\t")) == len(wide) for _, line in body[1:]):
            return "  ", wide
    return separator, header


def _header(comment: str, separator: str, width: int) -> list[str] | None:
    """Return the names in a comment, if they are as many as the data have columns and one is known; else None."""
    bare = _COMMENT.sub("", comment, count=1)
    signs = [re.escape(separator)] if separator != " " else []
    for sign in [*signs, r"\s*#", r"\t+", r"\s{2,}|\t", r",", r"\s+"]:
        found = _parts(bare, sign)
        if len(found) == width and any(
            names.heading(name).meaning in ("workers", "time", "throughput") for name in found
        ):
            return found
    return None


def _parts(line: str, sign: str) -> list[str]:
    return [part.strip().strip('"') for part in re.split(sign, line.strip()) if part.strip()]


def _without_comment(line: str, separator: str) -> str:
    return re.sub(r"\s#.*$", "", line) if separator in (" ", "  ", "\t", "\t+") else line


def _is_data(line: str) -> bool:
    """Return whether a line begins with a number."""
    return bool(re.match(r"[\s\"']*[+-]?\.?\d[\d.,eE+-]*(?:[\s,;|\"']|$)", line))
