"""The power of a GPU from what its driver reports: a counter of energy, an average, and readings of an instant.

All of them measure one quantity and are compared: a counter may stand still, or be that of half a card or of a module
with its processor.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

APART = 0.2
"""Relative difference between a counter and the readings of power above which the counter is not used. At a constant
load they differ by up to 5 %, as sensors do (Yang, Adamek & Armour 2023, arXiv 2312.02741)."""
FEWEST, SHORTEST_S = 5, 2.0  # number of readings, and seconds, below which they are not compared
_STILL_S = 1.0  # s after which a counter must have moved; some move ten times a second


class Power(NamedTuple):
    """Mean power over the time for which it is known."""

    watts: float | None
    way: str  # "counted"; "integrated", from readings; "read", the mean of readings
    doubt: str = ""  # what contradicts the counter, if anything does


def power(told: Mapping[str, float], seconds: float) -> Power | None:
    """Return the mean power of a GPU; None if its driver reports none.

    Parameters
    ----------
    told : mapping of str to float
        W, as far as known: ``counted`` and ``integrated`` energy over its time, means of ``average``, ``usage``,
        ``instant`` and ``module`` (the GPU with its processor), ``deviation`` of a single reading and how many
        ``readings`` of power there are.
    seconds : float
        Seconds over which the GPU was read.
    """
    shown = {name: told[name] for name in ("average", "usage", "instant") if name in told}
    read = next(iter(shown.values()), None)
    counted = told.get("counted")
    if counted is None:
        if (integrated := told.get("integrated")) is not None and seconds > 0:
            return Power(integrated, "integrated")
        return None if read is None else Power(read, "read")
    if counted <= 0 and seconds >= _STILL_S:
        if read is None:
            return Power(None, "", "its energy counter stands still, and it tells no power")
        return Power(read, "read", f"its energy counter stands still while it draws {read:.0f} W: not used")
    if read is None or told.get("readings", 0) < FEWEST or seconds < SHORTEST_S:
        return Power(counted, "counted")
    by_chance = 3 * told.get("deviation", 0.0) / math.sqrt(told["readings"])
    module = told.get("module", 0.0)
    if module > read + by_chance and abs(counted - module) < abs(counted - read):
        why = f"its energy counter says {counted:.0f} W, as its module with the processor draws {module:.0f} W"
        return Power(read, "read", f"{why}: not used, as {_all(shown)}")
    if any(abs(counted - each) <= APART * each + by_chance for each in shown.values()):
        return Power(counted, "counted")
    return Power(
        read, "read", f"its energy counter says {counted:.0f} W{_part(counted / read)}: not used, as {_all(shown)}"
    )


def _part(ratio: float) -> str:
    if ratio > 1:
        return ", more than the GPU, as one of a whole module or board does"
    return ", as one of half the card does" if 0.4 < ratio < 0.6 else ""


def _all(shown: Mapping[str, float]) -> str:
    words = {"average": "its average power is", "usage": "its power is", "instant": "its power at an instant"}
    return ", ".join(f"{words[name]} {watts:.0f} W" for name, watts in shown.items())
