"""Counters that only grow: counters that wrap or restart are added up; energy without a counter is integrated."""

import time


class Sums:
    """The sums of counters that wrap at 32 bits, or restart when a driver is reset."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}  # for each: its last value, and its sum

    def add(self, name: str, value: int, of_32_bits: bool = False) -> int:
        """The sum of a counter, given its current value."""
        last, total = self._known.get(name, (value, value))
        total += value - last if value >= last else value - last + 2**32 if of_32_bits else value
        self._known[name] = value, total
        return total


class Energy:
    """Energy of a card that does not count it, by the trapezoidal rule between its readings of power."""

    def __init__(self) -> None:
        self._sum_mj = 0.0
        self._last: tuple[float, int] | None = None  # time, and power

    def add(self, values: dict[str, int]) -> None:
        """Put ``integrated_energy_mj`` into a reading that has a power."""
        now = time.monotonic()
        found = [values[name] for name in ("power_average_mw", "power_mw", "power_usage_mw") if name in values]
        power = (now, found[0]) if found else None
        if power and self._last:
            self._sum_mj += (power[0] - self._last[0]) * (power[1] + self._last[1]) / 2
        if power:
            values["integrated_energy_mj"] = round(self._sum_mj)
        self._last = power
