"""Columns separated by commas, semicolons, tabs, bars or blanks -> a grid; with comments, and a header in one."""

import csv
import re
from collections.abc import Sequence
from dataclasses import replace

from launch.errors import Refusal
from profiling.tables import names
from profiling.tables.forms import places
from profiling.tables.grid import MEASURED, Grid, Row, are_units, with_units, words

_COMMENT = re.compile(r"\s*(#|%|//|!)")
_RULE = re.compile(r"[\s=+\-_*~]*")  # a line that only rules off others, such as ----
_SPAN = re.compile(
    r"(?<!\S)(\d+\s+days?,?\s+\d+:\d\d:\d\d\S*|\d[\d.]*\s?(?:d|h|m|min)(?:\s+\d[\d.]*\s?(?:h|m|min|s|sec))+)(?!\S)"
)
"""A time with blanks in it: 26m 3.1s, 0 days 01:23:04"""

Line = tuple[int, str]


def grids(text: str) -> list[Grid]:
    """Return the tables in a text: one, or the blocks of gnuplot's files, which two empty lines divide.

    A block without names takes those of the first; its title is the comment above it, or its last name.

    Raises
    ------
    Refusal
        Raised as by `grid`.
    """
    text = re.sub(r"\A\s*sep=.[ \t]*(?=\r?\n)", "", text)  # as Excel has it, which says what separates the columns
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
    titles = _titles(body)
    comments, body = [*body[:titles], *comments], body[titles:]
    separator = _separator([line for _, line in body])
    if separator == "\t" and not _empty_cells([line for _, line in body]):
        separator = "\t+"
    remarks = words([line for _, line in comments])
    comma = "decimal" if separator == ";" else ""
    first = _split(_without_comment(body[0][1], separator), separator)
    header: list[str] | None = None
    dashes = next((line for number, line in lines if number == body[0][0] + 1 and _RULE.fullmatch(line)), "")
    above_rows = ""  # the line of names, unless it is a comment
    if _is_data(body[0][1]):
        above = [line for number, line in comments if number < body[0][0]]
        named = [found for line in reversed(above) if (found := _header(line, separator, len(first)))]
        header = named[0] if named else None
        if len(named) > 1 and are_units(named[0]):
            header = list(with_units(named[1], named[0]))
    else:
        separator, header = _named(body, separator)
        above_rows = body[0][1]
        below = next((line for number, line in comments if number == body[0][0] + 1), "")
        body = body[1:]
        units = _split(below, separator) if below else []
        if len(units) == len(header) and are_units(units):  # "#,h" is no comment below "Nodes,Wall time"
            header = list(with_units(header, units))
    rows = [
        Row(f"line {number}", tuple(_split(_without_comment(line, separator), separator)))
        for number, line in body
        if _split(line, separator) != header  # headers of tables that were written one behind the other
    ]
    if header and separator in (" ", "  "):
        written = {f"line {number}": line for number, line in body}
        rows = [_fitted(row, written[row.where], len(header), dashes) for row in rows]
        if above_rows and any(len(row.cells) < len(header) for row in rows):
            rows = places.below_names(header, above_rows, rows, written)
    if header and separator == " " and _numbered(rows, len(header)):
        rows = [Row(row.where, row.cells[1:]) for row in rows]
    if header is None:
        header = [""] * max(len(row.cells) for row in rows)
    again = next((row for row in rows if header[0] and row.cells[0] == header[0]), None)
    if again:
        raise Refusal(f"{again.where} begins another table ({', '.join(map(str, again.cells))}): give a file for each")
    return Grid(tuple(header), tuple(rows), remarks=remarks, comma=comma)


def _titles(body: Sequence[Line]) -> int:
    """Return how many of the first lines are titles: the next one has all names, and as many cells as the one below."""
    for place in range(len(body) - 2):
        title, row = (_without_comment(body[at][1], " ") for at in (place, place + 2))
        if _is_data(title) or _is_data(body[place + 1][1]):
            return 0
        separator, named = _named(body[place + 1 :], _separator([line for _, line in body[place + 1 :]]))
        above = _split(title, separator)
        meanings = {names.heading(name).meaning for name in named}
        whole = "workers" in meanings and bool(meanings & MEASURED) and not are_units(named)
        known = len(above) == len(named) and "workers" in {names.heading(name).meaning for name in above}
        complete = len(named) == len(_split(row, separator)) and len({*named}) == len(named)
        if whole and complete and not known and "" not in above:
            return place + 1
    return 0


def _fitted(row: Row, line: str, width: int, dashes: str) -> Row:
    """Return a row with as many cells as there are names, if its line shows them: by dashes, or as spans of time."""
    if len(row.cells) == width:
        return row
    if dashes and (cells := places.below_dashes(dashes, line, width)):
        return Row(row.where, tuple(cells))
    whole = _split(_SPAN.sub(r'"\1"', _without_comment(line, " ")), " ")
    # pandas writes the number of a row, which has no name, before its cells.
    return Row(row.where, tuple(whole)) if len(row.cells) > len(whole) in (width, width + 1) else row


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
