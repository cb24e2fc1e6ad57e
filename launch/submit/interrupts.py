"""Signals that end what the launcher waits for, and what the user is told meanwhile."""

import contextlib
import signal
import threading
from collections.abc import Iterator

_PATIENCE_S = 2.0  # time until a user who has pressed Ctrl-C gets an explanation


@contextlib.contextmanager
def told_how_to_end_at_once() -> Iterator[None]:
    """Say what the end waits for, if it takes long: ranks may be saving, or ignore the request to end."""
    words = "asked the ranks to end: they are given up to a minute to save; Ctrl-C ends them at once"
    timer = threading.Timer(_PATIENCE_S, print, [words], {"flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def ended_by_signals(local: bool) -> Iterator[None]:
    """Let SIGTERM and SIGHUP end jobs of this machine as Ctrl-C does; a signal that is ignored, as under nohup, stays
    ignored."""
    numbers = [
        number for number in (signal.SIGTERM, signal.SIGHUP) if local and signal.getsignal(number) == signal.SIG_DFL
    ]
    try:
        for number in numbers:
            signal.signal(number, signal.default_int_handler)
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
