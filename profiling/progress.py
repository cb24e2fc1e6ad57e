"""Progress of loops that take long, in a line on standard error."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from launch.screen import Screen, is_live
from profiling.text import pace

_FIRST_S, _LIVE_S, _LOG_S = 2.0, 0.5, 60.0  # s until the first line on a terminal, between its updates, between lines
Item = TypeVar("Item")


def through(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Iterate over items and show the progress: on a terminal in one line that is cleared at the end, elsewhere in a
    line per minute. Loops that end sooner show nothing.

    Parameters
    ----------
    items : sequence
        Items to iterate over.
    what : str
        What is counted, such as "runs read".
    """
    live = is_live(sys.stderr)
    screen, every = Screen(sys.stderr), _LIVE_S if live else _LOG_S
    began = time.monotonic()
    due, shown = began + (_FIRST_S if live else _LOG_S), False
    for done, item in enumerate(items):
        if (now := time.monotonic()) >= due:
            line = f"{what}: {done} of {len(items)}{pace(done, len(items) - done, now - began)}"
            if live:
                screen.draw([(line, None)])
            else:
                print(line, file=sys.stderr, flush=True)
            due, shown = now + every, live
        yield item
    if shown:
        screen.clear()
