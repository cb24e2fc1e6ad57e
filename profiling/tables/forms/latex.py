"""Tables of LaTeX: tabular, tabularx, longtable and others with & and \\\\ -> grids, with the caption of each."""

import re

from launch.errors import Refusal
from profiling.tables import names
from profiling.tables.grid import Grid, Row

_TABLE = re.compile(
    r"\\begin\{(tabular[xy]?\*?|tabu|longtable|array|tblr)\}(.*?)\\end\{\1\}|\\caption\*?\{([^{}]*)\}", re.DOTALL
)
_CAPTION = re.compile(r"\\caption\*?\{([^{}]*)\}")
_RULE = re.compile(
    r"\\(?:hline|toprule|midrule|bottomrule|endhead|endfoot|endfirsthead|endlastfoot|(?:cmidrule|cline|addlinespace|"
    r"specialrule)(?:\([^()]*\))?(?:\[[^\[\]]*\])?(?:\{[^{}]*\})*)(?![A-Za-z])(?:\[[^\[\]]*\])?"
)
_SEVERAL = re.compile(r"\\multicolumn\s*\{(\d+)\}\s*\{(?:[^{}]|\{[^{}]*\})*\}\s*(\{.*)", re.DOTALL)
_QUANTITY = re.compile(
    r"\\(?:(?:SI|qty)\s*(?:\[[^\[\]]*\])?\s*\{(?P<value>[^{}]*)\}|(?:si|unit)\s*(?:\[[^\[\]]*\])?)"
    r"\s*\{(?P<unit>(?:[^{}]|\{[^{}]*\})*)\}"
)
"""A number with its unit, or a unit, as siunitx has them."""
_UNITS = {"second": "s", "minute": "min", "hour": "h", "day": "d", "percent": "%", "per": "/"}
_PREFIXES = {"nano": "n", "micro": "µ", "milli": "m", "kilo": "k", "mega": "M", "giga": "G", "tera": "T", "peta": "P"}
_SIGNS = {r"\pm": "±", r"\times": "×", r"\cdot": "·", r"\sim": "~", r"\approx": "~", r"\,": "", r"\;": "", r"\!": ""}


def grids(text: str) -> list[Grid]:
    """Return the tables of a text, in their order.

    Raises
    ------
    Refusal
        If the unit of a column of times is given by an unknown macro.
    """
    found: list[Grid] = []
    caption = ""
    text = re.sub(r"(?<!\\)%[^\n]*", "", text)  # a comment; lines keep their numbers
    for table in _TABLE.finditer(text):
        if table[3] is not None:
            caption = _bare(table[3])
            continue
        if named := _CAPTION.search(table[2]):
            caption = _bare(named[1])
        line = text.count("\n", 0, table.start(2)) + 1
        rows: list[Row] = []
        first = ""
        for part in re.split(r"\\\\(?:\[[^\[\]]*\])?|\\tabularnewline", _without_columns(table[2])):
            bare = _CAPTION.sub("", _RULE.sub("", part))
            begin = len(part) - len(part.lstrip())
            if bare.strip():
                first = first or bare
                rows.append(Row(f"line {line + part.count(chr(10), 0, begin)}", tuple(_cells(bare))))
            line += part.count("\n")
        if rows and len(rows[0].cells) > 1:
            header = tuple(str(cell) for cell in rows[0].cells)
            _check(first)
            found.append(Grid(header, tuple(rows[1:]), caption, caption))
    return found


def _check(header: str) -> None:
    for part in re.split(r"(?<!\\)&", header):
        heading, unit = names.heading(_bare(part)), _QUANTITY.search(part)
        if unit and heading.meaning == "time" and not heading.unit:
            raise Refusal(
                f"column {heading.text!r}: {unit[0]} is no known unit of time: give \\second, \\minute, \\hour or \\day"
            )


def _unit(macros: str) -> str:
    """Return the sign of a unit that is given by macros, such as ms; an unknown macro stands for its name."""
    unit = re.sub(r"\\([A-Za-z]+)\s*", lambda found: {**_UNITS, **_PREFIXES}.get(found[1], f"{found[1]} "), macros)
    return re.sub(r"\s*/\s*", "/", re.sub(r"[{}]", "", unit)).strip()


def _without_columns(inner: str) -> str:
    """Return what stands between begin and end, without the description of the columns."""
    depth = 0
    for place, sign in enumerate(inner):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(sign, 0)
        if depth == 0 and not re.match(r"\s*[{\[]", inner[place + 1 :]):
            return inner[place + 1 :] if sign in "}]" else inner[place:]
    return inner


def _cells(row: str) -> list[str]:
    cells: list[str] = []
    for part in re.split(r"(?<!\\)&", row):
        several = _SEVERAL.match(part.strip())
        cells += [_bare(several[2] if several else part)] + [""] * (int(several[1]) - 1 if several else 0)
    return cells


def _bare(cell: str) -> str:
    """Return the text of a cell without its commands, whose last argument is kept."""
    cell = _QUANTITY.sub(lambda found: f"{found['value'] or ''} {_unit(found['unit'])}".strip(), cell)
    for sign, meant in _SIGNS.items():
        cell = re.sub(re.escape(sign) + r"(?![A-Za-z])" * sign[1].isalpha(), meant, cell)
    cell = cell.replace("{,}", ",").replace("~", " ")
    cell = re.sub(r"\\multirow\s*\{[^{}]*\}\s*\{[^{}]*\}", "", cell)
    cell = re.sub(r"\\[A-Za-z]+\*?\s*(?:\[[^\[\]]*\])?", "", cell)
    return " ".join(re.sub(r"\\([%&#_$])", r"\1", re.sub(r"[{}]|(?<!\\)\$", "", cell)).split())
