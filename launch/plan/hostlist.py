"""Lists of hosts as Slurm writes them: ``nid[001-003,007]`` -> nid001, nid002, nid003, nid007."""

import itertools
import re
from collections.abc import Iterable

from launch.errors import Refusal


def expand(text: str) -> list[str]:
    """The hosts of a list, in its order.

    Parameters
    ----------
    text : str
        Names, separated by commas, each with any number of ranges in brackets; leading zeros are kept.

    Raises
    ------
    Refusal
        If a bracket is not closed, or holds what is no range.
    """
    hosts = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\]?)+", text):
        pieces = re.split(r"\[([^\]]*)\]", part)  # text, ranges, text, ranges, ..., text
        if any("[" in piece or "]" in piece for piece in pieces):
            raise Refusal(f"{text!r} is no list of hosts: a bracket is not closed")
        choices = [_numbers(piece, text) if i % 2 else [piece] for i, piece in enumerate(pieces)]
        hosts += ["".join(name) for name in itertools.product(*choices)]
    return hosts


def _numbers(ranges: str, text: str) -> Iterable[str]:
    for one in ranges.split(","):
        span = re.fullmatch(r"(\d+)(?:-(\d+))?", one)
        if span is None:
            raise Refusal(f"{text!r} is no list of hosts: {one!r} is no range of numbers")
        first, last = span[1], span[2] or span[1]
        yield from (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
