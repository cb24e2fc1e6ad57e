"""Lists of hosts as Slurm writes them: ``nid[001-003,007]`` -> nid001, nid002, nid003, nid007."""

import itertools
import math
import re
from collections.abc import Iterable

from launch.errors import Refusal

MOST = 1_000_000
"""Most hosts in a list: a few damaged characters must not fill the memory."""


def expand(text: str) -> list[str]:
    """Return the hosts of a list, in order.

    Parameters
    ----------
    text : str
        Names, separated by commas, each with any number of ranges in brackets; leading zeros are kept.

    Raises
    ------
    Refusal
        If a bracket is not closed, or holds what is not a range.
    """
    hosts = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\]?)+", text):
        pieces = re.split(r"\[([^\]]*)\]", part)  # text, ranges, text, ranges, ..., text
        if any("[" in piece or "]" in piece for piece in pieces):
            raise Refusal(f"{text[:60]!r} is not a list of hosts: a bracket is not closed")
        choices = [list(_numbers(piece, text)) if i % 2 else [piece] for i, piece in enumerate(pieces)]
        if len(hosts) + math.prod(map(len, choices)) > MOST:
            raise Refusal(f"{text[:60]!r} is not a list of hosts: it has more than {MOST}")
        hosts += ["".join(name) for name in itertools.product(*choices)]
    return hosts


def _numbers(ranges: str, text: str) -> Iterable[str]:
    for one in ranges.split(","):
        span = re.fullmatch(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", one)
        first, last = (span[1], span[2] or span[1]) if span else ("0", str(MOST))
        if int(last) - int(first) >= MOST:
            raise Refusal(f"{text[:60]!r} is not a list of hosts: {one[:60]!r} is not a range of numbers")
        yield from (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
