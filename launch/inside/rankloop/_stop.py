"""Whether a program is to save and leave: by a signal, or because its time limit is near."""

from __future__ import annotations

import os
import time

from rankloop import _recorder

TYPE_CHECKING = False  # importing what only annotations need takes time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_asked = None  # type: list[int] | None  # PyPy takes no annotation of what is global elsewhere
_LEAVE_AT = float(os.environ.get("LAUNCH_LEAVE_AT") or "inf")  # Unix seconds


def requested(rank: int) -> bool:
    """Return whether the program is to save and leave; the first call begins to listen."""
    global _asked
    if _asked is None:
        _asked = _listen(rank)
    return bool(_asked) or time.time() >= _LEAVE_AT


def _listen(rank: int) -> list[int]:
    """Let the signals only add to the returned list; handlers of the program are still called."""
    received: list[int] = []
    if "LAUNCH_RUN" not in os.environ:
        return received
    import atexit
    import signal

    try:
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, _noting(received, signal.getsignal(number)))
        # While Python ends, it restores the default meaning of signals: a request that comes then is too late.
        atexit.register(signal.signal, signal.SIGUSR2, signal.SIG_IGN)
        if rank == 0:
            with open(os.path.join(os.environ["LAUNCH_RUN"], "meeting", "handles_warning"), "ab"):
                pass
    except ValueError:
        _recorder.warn("stop_requested() is first to be called in the main thread: it hears no signals")
    except OSError:
        pass  # the launcher ends it like any other program
    return received


def _noting(received: list[int], before: Any) -> Callable[[int, Any], None]:
    def note(number: int, frame: Any) -> None:
        received.append(number)
        if callable(before):
            before(number, frame)

    return note
