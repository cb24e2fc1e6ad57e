"""Waiting for what another process is about to do: eagerly at first, then with a growing pause, which spares the shared
file system that thousands of ranks look at."""

import time
from collections.abc import Callable
from typing import TypeVar

_SHORTEST_S, _LONGEST_S = 0.001, 0.05
Found = TypeVar("Found")


def until(look: Callable[[], Found], seconds: float) -> Found:
    """What a function returns once that is true, or in the end what it returns after so many seconds."""
    began = time.monotonic()
    while not (found := look()) and (passed := time.monotonic() - began) < seconds:
        time.sleep(min(max(_SHORTEST_S, passed / 20), _LONGEST_S))
    return found
