"""The letters of textbooks: p workers take the time T, and have the speed-up S and the efficiency E."""

import re
from collections.abc import Sequence

from profiling.tables import names
from profiling.tables.names import Meaning

_MEANINGS: dict[str, Meaning] = {"s": "speed-up", "e": "efficiency"}


def meaning(name: str, header: Sequence[str]) -> Meaning | None:
    """Return what the letter S or E means beside others; None if it is no such letter.

    Beside p and another of the letters S is a speed-up, and not seconds; a capital S is one everywhere.
    """
    letter = _letter(name)
    beside = {_letter(other).lower() for other in header} - {letter.lower()}
    if letter == "S" or "p" in beside and beside & {"t", "s", "e"}:
        return _MEANINGS.get(letter.lower())
    return None


def _letter(name: str) -> str:
    bare = re.sub(r"[_\s]*[(\[]?[pPnN]?[)\]]?$", "", names.plain(name)) or names.plain(name)  # S(p), S_p
    return bare if len(bare) == 1 else ""
