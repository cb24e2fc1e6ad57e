"""Columns that hold the repeats of a measurement, told by their names: run 1, time_2, trial 3 (s)."""

import re
from collections.abc import Sequence

from profiling.tables import names

_WORDS = frozenset("run runs rep reps repeat repeats repetition trial seed attempt try measurement #".split())


def of(name: str) -> tuple[int, str] | None:
    """Return the number in a name, and what is measured ("" or, for example, "wall time"); None for other names.

    A name with other words in it, such as Method 1 or time stage 1, is not that of a repeat.
    """
    bare = re.sub(r"[(\[].*?[)\]]", " ", name).lower()
    words = [word for word in re.findall(r"[^\W\d_]+|\d+|#", bare) if not names.is_time(word) and word not in _WORDS]
    counts = [int(word) for word in words if word.isdecimal()]
    what = " ".join(word for word in words if not word.isdecimal())
    return (counts[0], what) if len(counts) == 1 and (not what or names.known(what) in ("time", "throughput")) else None


def says_so(name: str) -> bool:
    """Return whether a name has a word for repeats, such as run; t1 and t2 may as well be two quantities."""
    return any(word in _WORDS for word in re.findall(r"[^\W\d_]+|#", name.lower()))


def are_counted(named: Sequence[str]) -> bool:
    """Return whether names are those of repeats, which are counted from 0 or 1."""
    found = list(map(of, named))
    counts = sorted(each[0] for each in found if each)
    return len(counts) == len(found) > 1 and counts in (list(range(len(counts))), list(range(1, len(counts) + 1)))
