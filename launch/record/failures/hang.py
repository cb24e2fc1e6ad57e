"""Records about a run that hangs: what its watchers tell each other, and the verdict in stacks/."""

import contextlib
import json
import os
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from launch.errors import Refusal
from launch.record.contents import Hang
from launch.record.files import Unreadable, read_end, read_object
from launch.record.performance.steps import StepReader, of_rank0
from launch.record.rundir import RunDir

REASON = "hung"
"""The reason for which a hung attempt is ended."""

# What Horovod prints about tensors that some ranks wait for; this is not a sign of life.
_STALLED = re.compile(rb"stall_inspector|[Mm]issing ranks|^\d*:? *\S+ \[missing ranks|^\s*\d+: (Stalled ops|Missing)")

_MOST = 2**20  # bytes that are read at once


class NewLines:
    """The steps that are added to a file from now on.

    Parameters
    ----------
    path : Path
        The file, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0
        with contextlib.suppress(OSError):
            self._read = os.stat(path).st_size  # bytes of earlier attempts

    def steps(self) -> list[int]:
        """Return the numbers of the new steps."""
        with contextlib.suppress(OSError):
            if os.stat(self._path).st_size > self._read:
                with open(self._path, "rb") as file:
                    file.seek(self._read)
                    data = file.read(_MOST)
                whole = data.rfind(b"\n") + 1
                self._read += whole
                return [int(number) for number in re.findall(rb'"step"\s*:\s*(\d{1,15})', data[:whole])]
        return []


def says_more(run: RunDir, node: int, begin: int) -> bool:
    """Return whether the ranks of a node have printed anything but stall warnings, from byte ``begin`` of their log
    on."""
    try:
        with open(run.node_log(node), "rb") as file:
            file.seek(begin)
            return any(line.strip() and not _STALLED.search(line) for line in file.read(_MOST).splitlines())
    except OSError:
        return False


def report(path: Path) -> dict[str, Any] | None:
    """Return a watcher's last report, or None."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def order(path: Path, node: int, idle_s: float) -> None:
    """Order all watchers to end their ranks, unless another watcher already has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError), open(path, "x", encoding="utf-8") as file:
        file.write(json.dumps({"time": round(time.time(), 3), "idle_s": round(idle_s, 1), "by": node}))


def ordered_by(path: Path) -> int | None:
    """Return the node whose watcher has decided that the run hangs."""
    return (report(path) or {}).get("by")


def verdict(run: RunDir, attempt: int) -> Hang | None:
    """Return the verdict on an attempt that hung; None for any other."""
    try:
        return read_object(run.hang_json(attempt), Hang)
    except Unreadable:
        return None


def warn(run: RunDir, node: int, rank: int, idle_s: float, timeout_s: float) -> None:
    """Say in the log of a node that the timeout is short."""
    text = (
        f"{rank}: launch: rank {rank} was without a sign of life for {idle_s:.1f} s, and after {timeout_s:g} s it is "
        "taken to hang: give more --hang-timeout\n"
    )
    with contextlib.suppress(OSError):
        descriptor = os.open(run.node_log(node), os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, text.encode())
        os.close(descriptor)


class UsualStep(NamedTuple):
    """The median time of the last steps that a run has recorded."""

    run: RunDir
    nodes: int
    seconds: float


def usual_step(run: RunDir) -> UsualStep | None:
    """Return how long a step of a run takes; None if it has recorded none."""
    import statistics  # imported late, as it takes long and is rarely needed

    with contextlib.suppress(Refusal):
        reader = StepReader(run)
        for path in of_rank0(run):
            lines = read_end(path, 65536).split(b"\n")
            steps = [step["seconds"] for step in reader.steps(path, lines) if not step.get("compiled")]
            if steps:
                return UsualStep(run, run.record()["nodes"], statistics.median(steps))
    return None
