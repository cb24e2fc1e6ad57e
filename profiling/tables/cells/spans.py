"""Lengths of time as people and programs write them: 1:02:03, 2m 43s, 1h23m, 0 days 01:23:04 -> seconds."""

import re
from collections.abc import Sequence

_CLOCK = re.compile(r"(?:(\d+)(?:-|\s*days?,?\s+))?(\d+):(\d{2}):(\d{2}(?:[.,]\d+)?)")
_SPAN = re.compile(
    r"(\d+(?:\.\d+)?)\s*(days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?![a-z])\.?[,\s]*", re.IGNORECASE
)
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def seconds(texts: Sequence[str], short: bool = False) -> list[float | None]:
    """Return the seconds of the cells of a column that are spans of time, and None for the others.

    ``short`` says that 12:25 are minutes and seconds. It holds as well beside 1:02:00; alone 31:00 may be hours. In the
    same way 42m are minutes beside 1h23m; alone they may be metres.
    """
    short = short or any(_CLOCK.fullmatch(text) for text in texts)
    minutes = any(len(units) > 1 or units == ["h"] for units in map(_units, texts))
    return [_of_parts(text) if minutes and _units(text) == ["m"] else _span(text, short) for text in texts]


def _span(text: str, short: bool) -> float | None:
    if found := re.fullmatch(r"(\d+):(\d{2})([.,]\d+)?", text):
        return 60 * int(found[1]) + _number(found[2] + (found[3] or "")) if short or found[3] else None
    if clock := _CLOCK.fullmatch(text):
        days, hours, minutes, rest = (_number(part or "0") for part in clock.groups())
        return 86400 * days + 3600 * hours + 60 * minutes + rest
    if found := re.fullmatch(r"(\d+)\s*h\s*(\d{2})", text, re.IGNORECASE):  # 2h10
        return 3600.0 * int(found[1]) + 60 * int(found[2])
    return _of_parts(text) if len(_units(text)) > 1 else None


def _units(text: str) -> list[str]:
    """Return the units of a text that is nothing but numbers with units of time: d, h, m, s."""
    return [] if _SPAN.sub("", text).strip() else [unit[0].lower() for _, unit in _SPAN.findall(text)]


def _of_parts(text: str) -> float | None:
    units = _units(text)
    if units != sorted(units, key="dhms".index) or len(set(units)) < len(units):
        return None
    return sum(float(value) * _SECONDS[unit] for (value, _), unit in zip(_SPAN.findall(text), units))


def _number(text: str) -> float:
    return float(text.replace(",", "."))
