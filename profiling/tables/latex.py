"""Tables of LaTeX: tabular, tabularx, longtable and others with & and \\\\ -> grids, with the caption of each."""

import re

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
_SIGNS = {r"\pm": "±", r"\times": "×", r"\cdot": "·", r"\sim": "~", r"\approx": "~", r"\,": "", r"\;": "", r"\!": ""}


def grids(text: str) -> list[Grid]:
    """Return the tables of a text, in their order."""
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
        for part in re.split(r"\\\\(?:\[[^\[\]]*\])?|\\tabularnewline", _without_columns(table[2])):
            bare = _CAPTION.sub("", _RULE.sub("", part))
            begin = len(part) - len(part.lstrip())
            if bare.strip():
                rows.append(Row(f"line {line + part.count(chr(10), 0, begin)}", tuple(_cells(bare))))
            line += part.count("\n")
        if rows and len(rows[0].cells) > 1:
            header = tuple(str(cell) for cell in rows[0].cells)
            found.append(Grid(header, tuple(rows[1:]), caption, caption))
    return found


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
    for sign, meant in _SIGNS.items():
        cell = re.sub(re.escape(sign) + r"(?![A-Za-z])" * sign[1].isalpha(), meant, cell)
    cell = cell.replace("{,}", ",").replace("~", " ")
    cell = re.sub(r"\\multirow\s*\{[^{}]*\}\s*\{[^{}]*\}", "", cell)
    cell = re.sub(r"\\(?:SI|qty)\s*\{([^{}]*)\}", r"\1 ", cell)
    cell = re.sub(r"\\[A-Za-z]+\*?\s*(?:\[[^\[\]]*\])?", "", cell)
    return " ".join(re.sub(r"\\([%&#_$])", r"\1", re.sub(r"[{}]|(?<!\\)\$", "", cell)).split())
