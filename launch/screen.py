"""A terminal: lines that stay in their place, bars, and colours if they are wanted.

It draws what the launcher needs in some ten lines; a library for it would be a further dependency of every environment
in which ranks run.
"""

import os
import sys
from collections.abc import Sequence
from typing import TextIO

COLOURS = {"green": 32, "yellow": 33, "blue": 34, "red": 31, "grey": 90}
OF_STATES = {
    "done": "green", "running": "blue", "failed": "red", "timeout": "red", "lost": "red", "refused": "red",
    "damaged": "red", "stopped": "yellow", "cancelled": "yellow", "queued": "grey", "planned": "grey",
}  # fmt: skip
"""The colour of each state of a run."""


def is_live(stream: TextIO) -> bool:
    """Return whether a stream is a terminal on which lines can be drawn again."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: str | None, stream: TextIO | None = None) -> str:
    """Return the text in a colour, if the stream (by default standard output) shows colours and NO_COLOR is not set."""
    if colour is None or os.environ.get("NO_COLOR") or not is_live(stream or sys.stdout):
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def bar(part: float, width: int = 20) -> str:
    """Return a bar of which a fraction, 0 to 1, is filled.

    >>> bar(0.5, 10)
    '[#####.....]'
    """
    filled = round(min(1.0, max(0.0, part)) * width)
    return f"[{'#' * filled}{'.' * (width - filled)}]"


class Screen:
    """Some lines at the bottom of a terminal that are drawn again and again.

    Parameters
    ----------
    stream : text file
        The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._drawn = stream, 0

    def draw(self, lines: Sequence[tuple[str, str | None]]) -> None:
        """Show lines, each with its colour or None, in place of those before. Lines that do not fit are cut, and the
        last ones left out."""
        width, height = self.size()
        shown = [coloured(line[: width - 1], colour, self._stream) for line, colour in lines[: height - 1]]
        self._stream.write(self._back() + "".join(f"{line}\n" for line in shown))
        self._stream.flush()
        self._drawn = len(shown)

    def clear(self) -> None:
        """Remove the lines."""
        self.draw([])

    def size(self) -> tuple[int, int]:
        """Return the columns and lines of the terminal."""
        try:
            return os.get_terminal_size(self._stream.fileno())
        except OSError:  # it was closed
            return 80, 24

    def _back(self) -> str:
        return f"\x1b[{self._drawn}A\r\x1b[J" if self._drawn else ""
