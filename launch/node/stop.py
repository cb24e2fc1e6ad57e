"""Signals that mean "save and leave": they set one flag, which the training loop asks for."""

import os
import signal

# EX_TEMPFAIL of sysexits.h: not done, but what there is has been saved, so start it again.
STOPPED = 75

_received: list[int] = []


def install() -> None:
    """From now on SIGTERM (preemption, scancel, our launcher) and SIGUSR2 (time limit) only set the flag."""
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda received, frame: _received.append(received))


def requested() -> bool:
    """True once one of the signals has come."""
    return bool(_received)


def reason() -> str:
    """The name of the first signal that came, or an empty string."""
    return signal.Signals(_received[0]).name if _received else ""


def die_with(parent: int) -> None:
    """Be killed when the parent process dies, however suddenly, so that no orphan is left.

    Parameters
    ----------
    parent : int
        Its process id; if it is the parent no longer, it has died already.
    """
    import ctypes  # takes milliseconds, which a dry run need not wait for

    PR_SET_PDEATHSIG = 1  # linux/prctl.h
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
