"""The progress of making a data set, as lines of text."""

import math
import sys
import time
from collections.abc import Callable

from profiling.text import pace


class Live:
    """Writes lines of text to standard error; on a terminal, each replaces the one before."""

    def __call__(self, line: str) -> None:
        terminal = sys.stderr.isatty()
        print(f"\r\x1b[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)


class News:
    """Reports counts as a line of text: at once, then every second on a terminal and once a minute elsewhere.

    >>> news = News(print, "flows")
    >>> news(0, 100, making=True)
    flows: 0 of 100
    """

    def __init__(self, progress: Callable[[str], None], what: str) -> None:
        self._progress, self._what = progress, what
        self._every = 1.0 if isinstance(progress, Live) and sys.stderr.isatty() else 60.0
        self._done = -1
        self._grown: list[tuple[float, int]] = []
        self._said = -math.inf

    def __call__(self, done: int, total: int, making: bool) -> None:
        now = time.monotonic()
        if self._done != done and len(self._grown) < 2:  # the first growth comes late, after the imports
            self._grown.append((now, done))
        self._done = done
        if now - self._said < self._every:
            return
        self._said = now
        since, before = self._grown[-1] if self._grown else (now, done)
        left = pace(done - before, total - done, now - since)
        who = "" if making else ", made by other processes: waiting for them"
        self._progress(f"{self._what}: {done} of {total}{left}{who}")
