"""Signals that mean "save and leave": they set one flag, which the training loop checks."""

import contextlib
import os
import signal

from launch.record.rundir import RunDir

# EX_TEMPFAIL of sysexits.h: not done, but saved, so start it again.
STOPPED = 75

AGAIN_HERE = 76
"""Exit status of ``launch.node.attempt end`` after which the script makes the next attempt in the same allocation."""

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: sets the signal that a process gets when its parent dies."""

_received: list[int] = []


def install(note: bool = True) -> None:
    """Let SIGTERM (preemption, scancel, our launcher) and SIGUSR2 (time limit) only set the flag from now on.

    Parameters
    ----------
    note : bool
        Whether rank 0 records in its run that the program handles them. From then on the program is asked to leave
        before it is ended, and its exit status `STOPPED` means that it has saved.
    """
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda received, frame: _received.append(received))
    if note and "LAUNCH_RUN" in os.environ and os.environ.get("LAUNCH_RANK", "0") == "0":
        with contextlib.suppress(OSError):  # then it is ended like any other program
            RunDir(os.environ["LAUNCH_RUN"]).handles_warning.touch()


def requested() -> bool:
    """Return whether one of the signals has come."""
    return bool(_received)


def reason() -> str:
    """Return the name of the first signal that came, or an empty string."""
    return signal.Signals(_received[0]).name if _received else ""


def die_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent dies, however suddenly, so that no orphan is left.

    Parameters
    ----------
    parent : int
        Process id of the parent; if it is no longer the parent, it has died already.
    number : int
        The signal.
    """
    import ctypes  # takes milliseconds, which a dry run need not spend

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def end_after(process: int) -> None:
    """Have this process end by SIGKILL when another one, which need not be its parent, has ended.

    Parameters
    ----------
    process : int
        Process id of the other process, which must be visible from here.
    """
    import select
    import threading

    try:
        other = os.pidfd_open(process)
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGKILL)
        return

    def wait() -> None:
        select.select([other], [], [])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
