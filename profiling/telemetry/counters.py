"""Counters that only grow: counters that wrap or restart are added up; energy without a counter is integrated."""

import time

_MOST_A_SECOND = {"energy_mj": 20_000_000}
"""How much a counter may grow in a second: 20 kW. Otherwise one that steps back a little would be added in full."""


class Sums:
    """The sums of counters that wrap at 32 bits, or restart when a driver is reset."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int, float]] = {}  # name -> its last value, its sum, and when

    def add(self, name: str, value: int, of_32_bits: bool = False) -> int | None:
        """Add a counter's value and return its sum; None if it cannot have grown so much, which is not added."""
        now = time.monotonic()
        last, total, then = self._known.get(name, (value, value, now))
        grown = value - last if value >= last else value - last + 2**32 if of_32_bits else value
        fits = grown <= _MOST_A_SECOND.get(name, grown) * max(1.0, now - then)
        self._known[name] = value, total + grown * fits, now
        return total + grown if fits else None


class Energy:
    """Energy of a card that does not count it, by the trapezoidal rule between its readings of power.

    The rule also spans gaps of failed readings, so that energy and time are of the same span.
    """

    def __init__(self) -> None:
        self._sum_mj = 0.0
        self._last: tuple[float, int] | None = None  # time, and power

    def add(self, values: dict[str, int]) -> None:
        """Add ``integrated_energy_mj`` to a reading that has a power."""
        now = time.monotonic()
        found = [values[name] for name in ("power_average_mw", "power_mw", "power_usage_mw") if name in values]
        power = (now, found[0]) if found else None
        if power and self._last:
            self._sum_mj += (power[0] - self._last[0]) * (power[1] + self._last[1]) / 2
        if power:
            values["integrated_energy_mj"] = round(self._sum_mj)
            self._last = power
