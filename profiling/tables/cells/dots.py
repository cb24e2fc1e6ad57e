"""What the dots in a table are: those of decimals, or of thousands."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from profiling.tables.cells import numbers

_THREE = re.compile(r"[1-9]\d{0,2}(\.\d{3})+")  # 1.940, of which the form does not tell what its dot is
_DECIMALS = re.compile(r"\d+\.\d+")


@dataclass(frozen=True)
class Dots:
    """What the cells of a table show."""

    shown: str  # what commas are, as `numbers.shown` returns it; empty if none shows it, or they differ
    thousands: str  # a cell whose dots can only be those of thousands; empty if there is none
    decimals: str  # a cell whose dot can only be that of decimals; empty if there is none
    fixed: bool  # whether all numbers have three decimals, as a program writes them

    def doubt(self, cells: Sequence[Any]) -> tuple[str, str]:
        """Return a cell whose dot may be either, and one elsewhere whose dot is the other; empty if there is none."""
        bare = _texts(cells)
        three = next((text for text in bare if _THREE.fullmatch(text)), "")
        if not three or self.shown == "thousands" or any(map(_only_decimals, bare)):
            return "", ""
        if numbers.dots_group(cells):
            return (three, self.decimals) if self.decimals else ("", "")
        if self.thousands and not self.decimals:
            return three, self.thousands
        return "" if self.shown or self.decimals or self.fixed else three, ""


def of_table(columns: Sequence[Sequence[Any]], semicolons: bool) -> Dots:
    """Return what the columns of a table show; where ``semicolons`` separate them, a comma may be that of decimals."""
    texts = _texts(list(chain(*columns)))
    shown = {found for cells in columns if (found := numbers.shown(cells))}
    return Dots(
        shown=shown.pop() if len(shown) == 1 else "",
        thousands=next(
            (text for cells in columns if numbers.dots_group(cells) for text in _texts(cells) if "." in text), ""
        ),
        decimals=next(filter(_only_decimals, texts), ""),
        fixed=not semicolons and all(re.fullmatch(r"\d+\.\d{3}", text) for text in texts),
    )


def _texts(cells: Sequence[Any]) -> list[str]:
    """Return the numbers of some cells as they are written, without the units behind them."""
    found = [re.fullmatch(r"\s*(\d[\d.,]*)\s*\D*", cell) for cell in cells if isinstance(cell, str)]
    return [match[1] for match in found if match]


def _only_decimals(text: str) -> bool:
    return bool(_DECIMALS.fullmatch(text)) and not _THREE.fullmatch(text)
