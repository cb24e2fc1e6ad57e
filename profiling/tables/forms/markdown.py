"""Tables of Markdown, of Org and of programs that draw boxes with | and + -> grids, with the heading above each."""

import re
from collections import Counter
from dataclasses import replace

from profiling.tables import names
from profiling.tables.grid import Grid, Row

_RULE = re.compile(r"\s*(?:[|+]\s*:?[-=]+|:?[-=]{2,}|:?-:?(?=\s*[|])):?\s*([|+]\s*:?[-=]+:?\s*)*[|+]?\s*")


def grids(text: str) -> list[Grid]:
    """Return the tables of a text, in their order."""
    found: list[Grid] = []
    above: list[str] = []  # the line above each table, which tells tables below one heading apart
    title, around, lines = "", [], text.splitlines()
    place = 0
    while place < len(lines):
        line = lines[place]
        if heading := re.match(r"\s*(?:#+|\*+)\s+(.*?)\s*#*$|\s*\*\*(.+?)\*\*:?\s*$", line):
            title, around = names.plain(heading[1] or heading[2]), []
        is_header = "|" in line and not _RULE.fullmatch(line) and _below(lines, place)
        if not is_header:
            if line.strip() and not _RULE.fullmatch(line):
                around.append(line.strip())
            place += 1
            continue
        header, rows = _cells(line), []
        place += 1
        while place < len(lines) and ("|" in lines[place] or _RULE.fullmatch(lines[place]) and lines[place].strip()):
            if not _RULE.fullmatch(lines[place]):
                rows.append(Row(f"line {place + 1}", tuple(_cells(lines[place]))))
            place += 1
        found.append(Grid(tuple(header), tuple(rows), title, " ".join([title, *around])))
        above.append(names.plain(around[-1]) if around else "")
        around = []
    titles = Counter(grid.title for grid in found)
    return [
        replace(grid, title=": ".join(filter(None, (grid.title, line)))) if titles[grid.title] > 1 else grid
        for grid, line in zip(found, above)
    ]


def _below(lines: list[str], place: int) -> bool:
    """Return whether the rule of a table stands below a line, and not one of another kind of text."""
    following = lines[place + 1] if place + 1 < len(lines) else ""
    return bool(_RULE.fullmatch(following)) and ("|" in following or "+" in following) and len(_cells(lines[place])) > 1


def _cells(line: str) -> list[str]:
    inner = line.strip()
    inner = inner[1:] if inner.startswith("|") else inner
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    return [cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", inner)]
