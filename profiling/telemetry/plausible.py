"""Values that no GPU has, such as all bits set: drivers answer so where they have none, and readings leave them out."""

IMPOSSIBLE = -1
"""Replaces the return code of a driver that reported success with such a value."""
REASON = "a value that cannot be, left out"

_ALL_BITS = {2**32 - 1, 2**63 - 1, 2**64 - 1}
_PER_MILLE = (0, 1000)
_POWER_MW = (1, 20_000_000)  # a card that answers draws some
_RANGES = {
    "gpu_utilization": (0, 100),
    "memory_utilization": (0, 100),
    "sm_activity": _PER_MILLE,
    "sm_occupancy": _PER_MILLE,
    "tensor_activity": _PER_MILLE,
    "dram_activity": _PER_MILLE,
    "memory_bytes": (0, 2**44),
    "power_mw": _POWER_MW,
    "power_average_mw": _POWER_MW,
    "power_usage_mw": _POWER_MW,
    "module_power_mw": _POWER_MW,
    "temperature_c": (-100, 200),
    "memory_temperature_c": (-100, 200),
    "sm_clock_mhz": (0, 20_000),
    "memory_clock_mhz": (0, 20_000),
}


def possible(name: str, value: int) -> bool:
    """Return whether a GPU can have this value.

    Parameters
    ----------
    name : str
        A column of `profiling.telemetry.reading_lines.READING`.
    value : int
        Value in the unit of the column; for a counter, also as the driver gives it.
    """
    least, most = _RANGES.get(name, (0, 2**63 - 1))
    return least <= value <= most and value not in _ALL_BITS
