"""How far something is that takes long, in a line on standard error."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from launch.screen import Screen, is_live
from profiling.text import pace

_FIRST_S, _LIVE_S, _LOG_S = 2.0, 0.5, 60.0  # until the first line on a terminal, between its states, and between lines
Item = TypeVar("Item")


def through(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Go through things, and show how far that is: on a terminal in a line that stays in its place and goes in the
    end, elsewhere in a line per minute. Nothing is shown of what is over sooner.

    Parameters
    ----------
    items : sequence
        The things.
    what : str
        What is counted, as in "runs read".
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
