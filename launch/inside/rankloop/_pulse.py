"""The pulse of a rank: what the watcher of hangs (launch/node/watch.py) sees of it, where --hang-timeout is given.

It is one line in memory that the rank shares with the watcher: step, count, strict, phase. The count grows with each
beat, and wherever a phase begins or ends. Where strict is 1, beats alone are signs of life; where it is 0, the use of
CPU, reading and writing, and what is printed are as well.
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
    """Written by one process at a time."""

    def __init__(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDWR)
        try:
            self._line = mmap.mmap(descriptor, SIZE)
        finally:
            os.close(descriptor)
        self._step, self._count, self._strict, self._phase = 0, 0, False, ""

    def beat(self, step: int | None = None) -> None:
        """Something was done; from now on, to the end of the phase, only beats are signs of life."""
        if step is not None:
            self._step = step
        self._strict = True
        self._write()

    def enter(self, phase: str, strict: bool = False) -> None:
        """Begin a phase, in which other signs of life than beats count until the first of them, unless it is strict."""
        self._phase, self._strict = phase, strict
        self._write()

    @contextlib.contextmanager
    def during(self, phase: str, strict: bool = False) -> Iterator[None]:
        """A phase within another."""
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


_current = None  # type: Pulse | bool | None  # None: not asked for yet; False: there is none


def current() -> Pulse | None:
    """The pulse of this process, or None."""
    global _current
    if _current is None:
        path, _current = os.environ.get("LAUNCH_PULSE"), False
        if path:
            with contextlib.suppress(OSError, ValueError):  # what watches has the CPU and the output then
                _current = Pulse(path)
    return _current or None  # type: ignore[return-value]


def phase(name: str, strict: bool = False) -> contextlib.AbstractContextManager[None]:
    """A phase of this process, where it has a pulse."""
    pulse = current()
    return pulse.during(name, strict) if pulse else contextlib.nullcontext()


_waited = set()  # type: set[str]


def waiting(by: str) -> contextlib.AbstractContextManager[None]:
    """For what only waits for the other ranks, by a function of that name: that it uses CPU is no sign of life, but the
    first time, when the framework makes ready what it calls."""
    first = by not in _waited
    _waited.add(by)
    return phase("waiting for other ranks", strict=not first)


def _forget() -> None:
    global _current
    _current = False  # a process that was forked is not the rank


os.register_at_fork(after_in_child=_forget)
