"""Starts a process beside a rank that is not the rank's child, because a program that waits for its children, or ends
them, must not meet one that it did not start."""

import contextlib
import os
import select
from pathlib import Path


def start(command: list[str], descriptor: int, errors: Path, after_s: float = 0) -> None:
    """Start a process in a session of its own, with a descriptor as its input and output.

    Parameters
    ----------
    command : list of str
        Words of the command.
    descriptor : int
        An open file or socket.
    errors : Path
        File to which the process appends its errors.
    after_s : float
        Seconds to wait before the start, or less if there is something to read from the descriptor: the program of the
        rank, which is starting meanwhile, needs the cores itself.
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
        # Close what is inherited: the rank's output would stay open for as long as any process holds it. Only open
        # descriptors are closed, as a container may allow 2^30 of them.
        for number in map(int, os.listdir("/proc/self/fd")):
            if number > 2:
                with contextlib.suppress(OSError):  # the descriptor of the listing itself
                    os.close(number)
        if after_s:
            select.select([0], [], [], after_s)
        os.execv(command[0], command)
    finally:
        os._exit(1)
