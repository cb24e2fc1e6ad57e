"""The pulse of a rank: what the watcher for hangs (launch/node/hang/watch.py) sees of it, if --hang-timeout is given.

It is one line in memory that the rank shares with the watcher: step, count, strict, phase. The count grows with each
beat, and when a phase begins or ends. If strict is 1, only beats are signs of life. If it is 0, so are CPU use,
reading, writing and output.
"""

from __future__ import annotations

import contextlib
import mmap
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 128
"""Bytes of the line, with the spaces that fill it."""


class Pulse:
    """The pulse of a rank, which one process at a time writes."""

    def __init__(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDWR)
        try:
            self._line = mmap.mmap(descriptor, SIZE)
        finally:
            os.close(descriptor)
        self._step, self._count, self._strict, self._phase = 0, 0, False, ""

    def beat(self, step: int | None = None) -> None:
        """Record that something was done. Until the end of the phase, only beats are then signs of life."""
        if step is not None:
            self._step = step
        self._strict = True
        self._write()

    def enter(self, phase: str, strict: bool = False) -> None:
        """Begin a phase. Unless it is strict, other signs of life count until its first beat."""
        self._phase, self._strict = phase, strict
        self._write()

    @contextlib.contextmanager
    def during(self, phase: str, strict: bool = False) -> Iterator[None]:
        """Mark a block as a phase within another phase."""
        before = self._phase, self._strict
        self.enter(phase, strict)
        try:
            yield
        finally:
            self.enter(*before)

    def _write(self) -> None:
        self._count += 1
        text = f"{self._step} {self._count} {self._strict:d} {self._phase:.40}"
        self._line[:] = text.encode()[: SIZE - 1].ljust(SIZE)


_current = None  # type: Pulse | bool | None  # None: not looked for yet; False: there is none


def current() -> Pulse | None:
    """Return the pulse of this process, or None."""
    global _current
    if _current is None:
        path, _current = os.environ.get("LAUNCH_PULSE"), False
        if path:
            with contextlib.suppress(OSError, ValueError):  # the watcher then judges by CPU use and output
                _current = Pulse(path)
    return _current or None  # type: ignore[return-value]


def phase(name: str, strict: bool = False) -> contextlib.AbstractContextManager[None]:
    """Mark a block as a phase of this process, if it has a pulse."""
    pulse = current()
    return pulse.during(name, strict) if pulse else contextlib.nullcontext()


_waited = set()  # type: set[str]


def waiting(by: str) -> contextlib.AbstractContextManager[None]:
    """Mark a block as a phase that only waits for other ranks, in a function of that name. CPU use is then not a sign
    of life, except the first time, when the framework prepares what it calls."""
    first = by not in _waited
    _waited.add(by)
    return phase("waiting for other ranks", strict=not first)


def _forget() -> None:
    global _current
    _current = False  # a process that was forked is not the rank


os.register_at_fork(after_in_child=_forget)
