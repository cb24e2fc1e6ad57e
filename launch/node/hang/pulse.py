"""What a rank shows to the watcher of its node, if there is one: its pulse, and on request its stacks.

Both are in memory, not in files, so that nothing is left over, and a file system that hangs hides neither. The watcher
finds them among the descriptors of the rank. Processes that the rank starts find the pulse by LAUNCH_PULSE.
"""

import faulthandler
import os
import re
import signal
from typing import NamedTuple

PULSE, STACKS = "rankloop-pulse", "rankloop-stacks"

SIGNAL = signal.SIGRTMAX - 9
"""The signal at which a Python rank writes its stacks. Slurm, MPI, profilers and Python programs use other signals."""

_SIZE = 128  # as in launch/inside/rankloop/_pulse.py
_kept: list[int] = []


class Beat(NamedTuple):
    """A pulse, as read."""

    step: int
    count: int
    strict: bool
    phase: str


def show(python: bool) -> None:
    """Let this rank be watched. ``python`` says whether its program runs in this process."""
    descriptor = os.memfd_create(PULSE)
    os.ftruncate(descriptor, _SIZE)
    os.environ["LAUNCH_PULSE"] = f"/proc/{os.getpid()}/fd/{descriptor}"
    _kept.append(descriptor)
    if python:
        _kept.append(os.memfd_create(STACKS))
        faulthandler.register(SIGNAL, file=_kept[-1], all_threads=True)


def find(pid: int, name: str) -> str | None:
    """Return the path by which a process's descriptor of that name can be opened, or None."""
    folder = f"/proc/{pid}/fd"
    try:
        for entry in os.listdir(folder):
            if f"memfd:{name}" in os.readlink(f"{folder}/{entry}"):
                return f"{folder}/{entry}"
    except OSError:
        pass
    return None


def read(path: str) -> Beat | None:
    """Return a pulse; None if none has been written yet, or one is being written now."""
    try:
        with open(path, "rb") as file:
            text = file.read(_SIZE).decode(errors="replace")
    except OSError:
        return None
    match = re.fullmatch(r"(\d+) (\d+) ([01]) (.*?)[ \0]*", text)
    return Beat(int(match[1]), int(match[2]), match[3] == "1", match[4]) if match else None
