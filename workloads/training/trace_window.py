"""Which steps are traced, and on which ranks: what --trace and --trace-ranks say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from launch.errors import Refusal

if TYPE_CHECKING:
    from launch.node.rank import Rank


def steps(text: str) -> range:
    """Return the steps of ``20..30``, both ends included, or of ``20``; none for an empty text.

    Raises
    ------
    Refusal
        If the text is neither, begins before step 1, or ends before it begins.
    """
    if not text:
        return range(0)
    first, last = _bounds(text.removeprefix("steps="))
    if not 1 <= first <= last:
        raise Refusal(f"--trace {text} names no steps: give the first and the last, as in 20..30, counted from 1")
    return range(first, last + 1)


def includes(text: str, rank: Rank) -> bool:
    """Return whether a rank is one of ``0,4..7,first-of-node`` or of ``all``.

    Raises
    ------
    Refusal
        If a word names no rank of the run.
    """
    return any([_names(word.strip(), rank) for word in text.split(",")])  # a list, so that every word is checked


def _names(word: str, rank: Rank) -> bool:
    if word in ("all", "first-of-node"):
        return word == "all" or rank.local_rank == 0
    first, last = _bounds(word)
    if not 0 <= first <= last < rank.size:
        raise Refusal(
            f"--trace-ranks has {word!r}, and the ranks are 0..{rank.size - 1}: "
            "give numbers, a range, first-of-node, or all"
        )
    return first <= rank.rank <= last


def _bounds(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,15})(?:\.\.([0-9]{1,15}))?", text)
    return (int(match[1]), int(match[2] or match[1])) if match else (-1, -1)
