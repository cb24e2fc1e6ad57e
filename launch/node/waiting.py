"""Waits for something that another process is about to do. The pause between two looks is short at first and then
grows, to spare the shared file system that thousands of ranks look at."""

import time
from collections.abc import Callable
from typing import TypeVar

_SHORTEST_S, _LONGEST_S = 0.001, 0.05
Found = TypeVar("Found")


def until(look: Callable[[], Found], seconds: float) -> Found:
    """Call a function until its result is true, for at most this many seconds; return its last result."""
    began = time.monotonic()
    while not (found := look()) and (passed := time.monotonic() - began) < seconds:
        time.sleep(min(max(_SHORTEST_S, passed / 20), _LONGEST_S))
    return found
