"""The sampler of a node, which reads its GPUs and processes, beside the node's first rank.

It is no child of the rank: a program that waits for its children, or ends them, must not meet one that it did not
start. They are joined by a socket, whose end tells the sampler that the rank's program is over, however it ended.
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

_OTHERS_S = 2.0  # for the node's other ranks to end; one that waits for this very process must not be waited for
_COMPACTING_S = 60.0


_joined: tuple[int, socket.socket] | None = None  # the process that has started a sampler, and what joins them


def beside(run: RunDir, plan: Plan, rank: Rank, attempt: int, here: list[dict[str, Any]]) -> None:
    """Have the node read until this process ends, if it is the node's first rank and the plan says so.

    Parameters
    ----------
    run : RunDir
        Of the run.
    plan : Plan
        Its ``sample_hz`` says how often; 0 is never.
    rank : Rank
        Who this is.
    attempt : int
        Start of the run.
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
        detached.start(own_command(sys.executable, SAMPLER, *words), theirs.fileno(), run.readings / "errors.log")
    _joined = os.getpid(), ours
    atexit.register(leave)  # it runs last: after the program's threads have ended, and after its own exit handlers


def leave(wait: bool = True) -> None:
    """Have the sampler end, if there is one.

    After a good end of the program ``wait`` for it to put its file in order, which Slurm would cut short: it kills what
    is left on a node when the last rank has ended. After a bad one nothing is waited for; the readings are whole all
    the same.
    """
    global _joined
    if _joined is None or _joined[0] != os.getpid():  # in a process that the program has forked
        return
    ours, _joined = _joined[1], None
    # Not by closing it: processes that the program has forked hold the socket too.
    with contextlib.suppress(OSError):  # it has ended already, and errors.log says why
        ours.shutdown(socket.SHUT_WR)
        if wait:
            _settle(ours)


def _settle(ours: socket.socket) -> None:
    with contextlib.suppress(TimeoutError):
        ours.settimeout(_OTHERS_S)
        if ours.recv(1):  # all ranks of the node have ended
            ours.settimeout(_COMPACTING_S)
            ours.recv(1)
