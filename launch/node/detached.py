"""A process beside a rank that is nobody's child: a program that waits for its children, or ends them, must not meet
one that it did not start."""

import contextlib
import os
from pathlib import Path


def start(command: list[str], descriptor: int, errors: Path) -> None:
    """Start a process in a session of its own, with a descriptor as its input and output.

    Parameters
    ----------
    command : list of str
        Its words.
    descriptor : int
        An open file or socket.
    errors : Path
        Where it writes its errors; appended to.
    """
    if child := os.fork():
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        log = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number, own in enumerate((descriptor, descriptor, log)):
            os.dup2(own, number)
        # The rank's own output would stay open for as long as any process holds it. What is open, and not all numbers
        # that there might be: of those a container may have 2^30.
        for number in map(int, os.listdir("/proc/self/fd")):
            if number > 2:
                with contextlib.suppress(OSError):  # that of the list itself
                    os.close(number)
        os.execv(command[0], command)
    finally:
        os._exit(1)
