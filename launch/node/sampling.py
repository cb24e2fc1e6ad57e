"""Starts the sampler of a node beside the node's first rank. The sampler reads the node's GPUs and processes.

The sampler is not a child of the rank: a program that waits for its children, or ends them, must not meet one that it
did not start. A socket connects the two. When it closes, the sampler knows that the rank's program is over, however it
ended.
"""

import atexit
import contextlib
import json
import os
import socket
import sys
from typing import Any

from launch import own_command
from launch.node import detached
from launch.node.rank import Rank
from launch.plan.plan import Plan
from launch.record.rundir import RunDir

SAMPLER = "profiling.telemetry.sampler"  # started by name, as a workload is

_AFTER_S = 0.3  # head start of the rank's program, which the sampler's own start (0.1 s of a core) would delay
_OTHERS_S = 2.0  # wait for the node's other ranks to end; not longer, as one of them may be waiting for this process
_COMPACTING_S = 60.0


# The process that has started a sampler, and the socket between them: a descriptor, because Python warns of a socket
# that is still open when a process ends, as in those that the program forks.
_joined: tuple[int, int] | None = None


def beside(run: RunDir, plan: Plan, rank: Rank, attempt: int, here: list[dict[str, Any]]) -> None:
    """Have the node sampled until this process ends, if this is the node's first rank and the plan asks for it.

    Parameters
    ----------
    run : RunDir
        The run.
    plan : Plan
        Plan of the run; its ``sample_hz`` says how often to sample, 0 for never.
    rank : Rank
        The rank of this process.
    attempt : int
        Number of the attempt.
    here : list of dict
        The ranks of this node: rank, pid, and the GPUs that it holds.
    """
    global _joined
    if rank.local_rank or not plan.sample_hz:
        return
    run.readings.mkdir(exist_ok=True)
    ours, theirs = socket.socketpair()
    with theirs:
        words = [str(run.path), str(rank.node), str(attempt), str(plan.sample_hz), json.dumps(here)]
        command, errors = own_command(sys.executable, SAMPLER, *words), run.sampler_errors
        detached.start(command, theirs.fileno(), errors, _AFTER_S)
    _joined = os.getpid(), ours.detach()
    atexit.register(leave)  # runs last: after the program's threads have ended, and after its own exit handlers


def leave(wait: bool = True) -> None:
    """End the sampler, if there is one.

    After the program has ended well, ``wait`` until the sampler has put its file in order: Slurm would cut that short,
    because it kills what is left on a node when the last rank has ended. After a failure do not wait; the readings are
    complete all the same.
    """
    global _joined
    if _joined is None or _joined[0] != os.getpid():  # this is a process that the program has forked
        return
    descriptor, _joined = _joined[1], None
    with contextlib.suppress(OSError), socket.socket(fileno=descriptor) as ours:  # it has ended: errors.log says why
        # Closing it would not be enough: processes that the program has forked hold the socket too.
        ours.shutdown(socket.SHUT_WR)
        if wait:
            _settle(ours)


def _settle(ours: socket.socket) -> None:
    with contextlib.suppress(TimeoutError):
        ours.settimeout(_OTHERS_S)
        if ours.recv(1):  # all ranks of the node have ended
            ours.settimeout(_COMPACTING_S)
            ours.recv(1)
