"""A process beside a rank that is nobody's child: a program that waits for its children, or ends them, must not meet
one that it did not start."""

import os
import subprocess
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
        # The rank's own output would stay open for as long as any process holds it. Popen closes all else, by what is
        # open and not by all numbers that there might be: of those a container may have 2^30.
        log = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        subprocess.Popen(command, stdin=descriptor, stdout=descriptor, stderr=log, start_new_session=True)
    finally:
        os._exit(0)
