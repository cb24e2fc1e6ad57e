"""The names of a study's points, made from their values. Each is short, can name a folder, and reveals no secret."""

import functools
import re
from collections.abc import Mapping, Sequence

from launch.record.redact import HIDDEN, without_secrets

OF_AN_AXIS, OF_ALL = 48, 160
"""The most letters in a name: a file system allows 255 in all."""


def names(combinations: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a name for each combination of values, which include ``nodes``. Names that would be alike are numbered,
    except the first."""
    found: dict[str, None] = {}
    times: dict[str, int] = {}
    for combination in combinations:
        parts = [_label(axis, value) for axis, value in combination.items() if axis != "nodes"]
        name = label = f"n{int(combination['nodes'])}" + "".join(parts)[:OF_ALL]
        while name in found:
            times[label] = times.get(label, 1) + 1
            name = f"{label}-{times[label]}"
        found[name] = None
    return list(found)


@functools.cache
def shown(axis: str, value: str) -> str:
    """Return a value as written, without parts that look like a secret."""
    return without_secrets({axis: value})[axis]


def _label(axis: str, value: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9.+-]+", "_", axis + shown(axis, value).replace(HIDDEN, "_secret"))
    return f"-{safe[:OF_AN_AXIS].rstrip('_')}"
