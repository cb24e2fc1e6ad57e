"""How far the making of a data set is, as lines of text."""

import math
import sys
import time
from collections.abc import Callable


class Live:
    """Lines of text on standard error: one live line on a terminal."""

    def __call__(self, line: str) -> None:
        terminal = sys.stderr.isatty()
        print(f"\r\x1b[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)


class News:
    """Turns counts into a line of text: at once, then every second on a terminal and once a minute elsewhere.

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
        left = ""
        if done > before:
            seconds_each = (now - since) / (done - before)
            left = f", {_rate(seconds_each)}, about {_length((total - done) * seconds_each)} left"
        who = "" if making else ", made by other processes: waiting for them"
        self._progress(f"{self._what}: {done} of {total}{left}{who}")


def _rate(seconds_each: float) -> str:
    """How many are made, in the unit of time that makes it more than one.

    >>> _rate(0.05), _rate(3), _rate(300)
    ('20 a second', '20 a minute', '12 an hour')
    """
    units = ((1, "a second"), (60, "a minute"), (3600, "an hour"))
    seconds, unit = next((each for each in units if each[0] >= seconds_each), units[-1])
    return f"{seconds / max(seconds_each, 1e-9):.3g} {unit}"


def _length(seconds: float) -> str:
    """A time to wait, as exactly as it is worth knowing.

    >>> _length(42.3), _length(600), _length(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
