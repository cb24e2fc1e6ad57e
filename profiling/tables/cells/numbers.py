"""A column of cells -> numbers with their units. A cell is read as a whole or not at all."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from profiling.tables import names
from profiling.tables.cells import spans

_FAILED = (
    "oom|deadline|boot fail|"
    "out[ -]of[ -]mem|fail|err(or)?\\b|crash|time[ -]?out|timed out|tle\\b|mem\\w* limit|killed|abort|hang|hung|"
    "segfault|segmentation|cancel|skip|missing|not (run|measured|tested|available|finished|enough)|did not|"
    "incomplete|invalid|no result|exceed|unsupported|not supported|node[ _]fail|insufficient|does ?n[o'’]t fit|"
    "do(es)? not fit|diverge|not converged|abgebrochen|abbruch|fehlgeschlagen|gescheitert"
)
FAILED = re.compile(f"({_FAILED}).*", re.IGNORECASE)
"""What says that a run did not finish."""
MISSING = re.compile(
    r"[-–—?.…/∞∅⋯\s]*|n\.?/?a\.?|n\.\s*d\.|k\.\s*a\.|nan|null|none|nil|tbd|todo|tba|dnf|dns|to|x{2,}|"
    rf"[>≥]\s*[\d.,].*|({_FAILED}).*",
    re.IGNORECASE,
)
"""What stands in the cell of a point that was not measured; a lower bound, as >3600, is no measurement."""
UNCOUNTED = re.compile(
    r"(seq|serial|sequential|baseline|average|avg|mean|total|sum|ideal|geomean|median|speed-?up|efficiency|\.\.\.|etc)\b.*|\.\.\..*|etc.*",
    re.IGNORECASE,
)
"""What stands in the column of workers in lines that are not points of a series."""

_BLANK = "['’ \u2009\u202f\u00a0]"  # what separates thousands beside dots and commas
_PLAIN = r"(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?"
_GROUPED = r"[1-9]\d{0,2}(?:[,'’ \u2009\u202f\u00a0_]\d{3})+(?:\.\d+)?"
_DECIMAL = r"\d+,\d+(?:[eE][+-]?\d+)?|[1-9]\d{0,2}(?:[. '’\u2009\u202f\u00a0]\d{3})+(?:,\d+)?"
_SPREAD = re.compile(
    r"\s*(?P<unit>[a-zA-Zµμ/%]*)\s*(?:±|\+/-|\+-|\\pm)\s*[\d.,eE+-]+\s*(?:(?P<percent>%)|(?P=unit))\s*"
)
_RAISED = "⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹"
_LINE = str.maketrans(_RAISED + "−", "+-0123456789-")
_POWER = re.compile(
    rf"(?<=\d)\s*(?:[x×·⋅*]|times)\s*10(?:\^\{{?(?=[+−-]?\d)|(?=[{_RAISED}]))([+−-]?\d+|[{_RAISED}]+)\}}?"
)
"""1.5 x 10^3, 1.5×10³"""
_SI = {"k": 3, "K": 3, "M": 6, "G": 9, "B": 9, "T": 12, "P": 15}  # powers of ten


@dataclass(frozen=True)
class Number:
    """A cell as a number."""

    value: float
    unit: str = ""  # unit in the cell
    spread: bool = False  # whether a spread stood behind it
    remark: bool = False  # whether something in brackets stood behind it


Cell = Number | None | str
"""None: not measured. A text: the cell, as it is not a number."""


class Ambiguous(Exception):
    """A comma in a column may separate decimals or thousands."""


def struck(cell: Any) -> bool:
    """Return whether a cell is struck out."""
    return isinstance(cell, str) and cell.strip().startswith("~~")


def missing(cell: Any) -> bool:
    """Return whether a cell says that nothing was measured."""
    if cell is None or isinstance(cell, float) and math.isnan(cell) or struck(cell):
        return True
    return isinstance(cell, str) and bool(MISSING.fullmatch(_bare(cell)))


def column(cells: Sequence[Any], comma: str = "", time: bool = False, short: bool = False) -> list[Cell]:
    """Return a column as numbers. ``comma`` is "decimal" or "thousands" if that is known, ``time`` says that it is of
    times, and ``short`` that 12:25 are minutes and seconds.

    Raises
    ------
    Ambiguous
        If the column does not show what its commas are, as 4,872 and 8,592 do not, and ``comma`` is empty.
    """
    if time:
        bare = [_remarked(_bare(cell)) if isinstance(cell, str) else ("", False) for cell in cells]
        found = spans.seconds([text for text, _ in bare], short)
        cells = [
            cell if value is None else Number(value, "s", remark=remark)
            for cell, value, (_, remark) in zip(cells, found, bare)
        ]
    comma = shown(cells) or comma
    if not comma and any(isinstance(cell, str) and "," in _bare(cell) and not missing(cell) for cell in cells):
        raise Ambiguous
    # In 1.93 ± 1 % the % is of the spread; beside 100 %, that in 95 ± 1 % is of both.
    percent = any(isinstance(cell, str) and re.match(r"[\d.,]+\s*%", _bare(cell)) for cell in cells)
    return [_read(cell, comma, time, percent) for cell in cells]


def shown(cells: Sequence[Any]) -> str:
    """Return what the commas in some cells are: "decimal", "thousands", or empty if the cells do not show it."""
    texts = [re.sub(rf"(?<=\d){_BLANK}(?=\d{{3}}(?!\d))", "", _bare(cell)) for cell in cells if isinstance(cell, str)]
    bare = [found[0] for text in texts if (found := re.search(r"[\d.,]*\d[\d.,]*", text))]
    commas = [text.strip(",.") for text in bare if "," in text.strip(",.")]
    grouped = [text for text in commas if re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+(\.\d+)?", text)]
    if len(grouped) < len(commas):
        whole = all(
            re.fullmatch(r"\d+,\d+|[1-9]\d{0,2}(\.\d{3})+(,\d+)?|\d+", text)
            for text in map(lambda text: text.strip(",."), bare)
        )
        return "decimal" if whole else "thousands"
    if any("." in text or text.count(",") > 1 for text in grouped):
        return "thousands"
    if commas and any(re.fullmatch(r"\d+\.\d+|\d{1,3}", text) for text in bare if "," not in text):
        return "thousands"  # 871 and 1,204; in a column of decimals, 871 would be 871,000
    return ""


def dots_group(cells: Sequence[Any]) -> bool:
    """Return whether the dots in some cells can only be those of thousands: in 1.204.871, and in 1.940 below 980, as no
    program writes three decimals of one value and none of another that is many times as large."""
    bare = [_bare(cell) for cell in cells if isinstance(cell, str) and not missing(cell)]
    dotted = [text for text in bare if "." in text]
    if not dotted or not all(re.fullmatch(r"[1-9]\d{0,2}(\.\d{3})+", text) for text in dotted):
        return False
    if any(text.count(".") > 1 for text in dotted):
        return True
    whole = [int(text) for text in bare if re.fullmatch(r"\d{1,3}", text)]
    return bool(whole) and len(whole) + len(dotted) == len(bare) and max(whole) > 30 * max(map(float, dotted))


def _bare(cell: str) -> str:
    """Return a cell without marks of Markdown, of footnotes and of approximation, and without pictures."""
    text = _POWER.sub(lambda found: f"e{found[1].translate(_LINE)}", names.plain(cell))
    text = re.sub(
        r"[\u2190-\u21ff\u2300-\u2bff\ufe0f\U0001f000-\U0001ffff]|[†‡§*]+$|[¹²³⁴⁵⁶⁷⁸⁹⁰]+$",
        "",
        text.replace("→", "\x00"),
    ).strip()
    return text.replace("\x00", "→").replace("−", "-").strip("*~≈ ").strip()


def _remarked(bare: str) -> tuple[str, bool]:
    """Return a number without what stands in brackets behind it, and whether something does: 12 (3), 2m 4s (mean)."""
    found = re.fullmatch(r"([^()]*\d[^()]*?)\s*\([^()]*\)", bare)
    return (found[1], True) if found else (bare, False)


def _read(cell: Any, comma: str, time: bool, percent: bool) -> Cell:
    if missing(cell):
        return None
    if isinstance(cell, Number):
        return cell
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, int | float):
        try:
            return Number(float(cell))
        except OverflowError:
            return str(cell)
    if not isinstance(cell, str):
        return str(cell)
    text, (bare, remark) = cell.strip(), _remarked(_bare(cell))
    spread = _SPREAD.search(bare)
    if spread:
        unit = spread["unit"] or percent and spread["percent"] or ""
        bare = f"{bare[: spread.start()]} {unit} {bare[spread.end() :]}".strip()
    form = _DECIMAL if comma == "decimal" else f"{_GROUPED}|{_PLAIN}"
    if comma == "decimal":
        form = f"{form}|\\d+(?:[eE][+-]?\\d+)?"
    found = re.fullmatch(rf"([+-]?)({form})\s*([^\d\s].*)?", bare)
    if not found or found[3] and re.search(r"\d", re.sub(r"[²³]", "", found[3])) and not time:
        return text
    tail = (found[3] or "").strip()
    tail = tail.rstrip(".") if time else tail  # 118.3 sec.
    if re.search(r"[(]", tail) or re.match(r"[-+/:,;.]", tail):
        return text
    digits = re.sub(r"[dD]", "e", _plain(found[2], comma))
    value = float(digits)
    if not math.isfinite(value):
        return text
    si = re.match(r"([kKMGBTP])(?:$|\s)", tail)
    if si and not time and (tail == si[1] or bare[: len(bare) - len(tail)] == bare[: len(bare) - len(tail)].rstrip()):
        # As decimals: 1.001 * 1e3 would be 1000.9999999999999.
        value, tail = float(Decimal(digits).scaleb(_SI[si[1]])), tail[1:].strip()
    return Number(-value if found[1] == "-" else value, tail, bool(spread), remark)


def _plain(text: str, comma: str) -> str:
    if comma == "decimal":
        return re.sub(r"[. '’\u2009\u202f\u00a0]", "", text).replace(",", ".")
    return re.sub(r"[,'’ \u2009\u202f\u00a0_]", "", text)
