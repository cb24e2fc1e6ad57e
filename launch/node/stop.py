"""Signals that mean "save and leave": they set one flag, which the training loop asks for."""

import contextlib
import os
import signal

from launch.record.rundir import RunDir

# EX_TEMPFAIL of sysexits.h: not done, but what there is has been saved, so start it again.
STOPPED = 75

AGAIN_HERE = 76
"""Exit status of ``launch.node.attempt end`` after which the script makes the next attempt, in its allocation."""

PR_SET_PDEATHSIG = 1
"""Of linux/prctl.h: the signal that a process gets when its parent dies."""

_received: list[int] = []


def install(note: bool = True) -> None:
    """From now on SIGTERM (preemption, scancel, our launcher) and SIGUSR2 (time limit) only set the flag.

    Parameters
    ----------
    note : bool
        Whether rank 0 notes in its run that the program handles them: from then on it is asked to leave before it is
        ended, and an exit status of `STOPPED` says that it has saved.
    """
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda received, frame: _received.append(received))
    if note and "LAUNCH_RUN" in os.environ and os.environ.get("LAUNCH_RANK", "0") == "0":
        with contextlib.suppress(OSError):  # it is ended as any other program then
            RunDir(os.environ["LAUNCH_RUN"]).handles_warning.touch()


def requested() -> bool:
    """True once one of the signals has come."""
    return bool(_received)


def reason() -> str:
    """The name of the first signal that came, or an empty string."""
    return signal.Signals(_received[0]).name if _received else ""


def die_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Be sent a signal when the parent process dies, however suddenly, so that no orphan is left.

    Parameters
    ----------
    parent : int
        Its process id; if it is the parent no longer, it has died already.
    number : int
        The signal.
    """
    import ctypes  # takes milliseconds, which a dry run need not wait for

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
