"""Find out which network NCCL uses, while rank 0 runs:   launch.node.network RUN ATTEMPT PID BEGIN

NCCL names its network in its log at the level INFO. Only rank 0 is asked for that log, in a file, so that the logs of
the run stay as they are. A process beside the rank reads the file, so the rank's program is left alone. A wrong network
is reported, or ends the rank, within seconds of NCCL's start.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from launch import own_command
from launch.errors import Refusal
from launch.node import detached, failure
from launch.node.rank import Rank
from launch.plan.plan import Plan
from launch.record import environment, network
from launch.record.files import Unreadable, read_end, size_of
from launch.record.rundir import RunDir

_LOOK_S = 0.5
_MORE_S = 2.0  # wait after the line with the network, for lines about its provider and connections
_MOST = 2**24  # bytes of the log of a node that are read


def beside(run: RunDir, plan: Plan, rank: Rank, attempt: int) -> dict[str, str]:
    """Have NCCL log which network it uses, and start a process that reads it, on rank 0 of a run that asks for this.

    Returns
    -------
    dict of str to str
        Variables for the rank: none if the user has NCCL print its log already.

    Raises
    ------
    Refusal
        If the network must be known (``--require-network``) and variables that the user has set hide it.
    """
    if not rank.is_chief or not network.is_looked_for(plan):
        return {}
    if why := network.why_unseen(os.environ):
        if plan.require_network and plan.nodes > 1:
            raise Refusal(
                f"--require-network: which network NCCL uses cannot be found out: {why}; leave the option out"
            )
        run.append_event("network", attempt=attempt, reason=f"which network NCCL uses is not known: {why}")
        return {}
    own = "NCCL_DEBUG" in os.environ
    begin = size_of(run.node_log(0)) if own else -1
    words = [str(run.path), str(attempt), str(os.getpid()), str(begin)]
    nothing = os.open(os.devnull, os.O_RDWR)
    detached.start(own_command(sys.executable, "launch.node.network", *words), nothing, run.meeting / "network.log")
    os.close(nothing)
    if own:
        return {}
    return {
        "NCCL_DEBUG": "INFO",
        "NCCL_DEBUG_SUBSYS": "INIT,NET",
        "NCCL_DEBUG_FILE": f"{run.meeting}/{_prefix(attempt)}%p",
    }


def _prefix(attempt: int) -> str:
    return f"nccl-attempt{attempt}."


def _said(run: RunDir, attempt: int, begin: int) -> str:
    """Return what NCCL has logged: in files of its own, or in the log of the first node after its first ``begin``
    bytes."""
    if begin >= 0:
        paths = [run.node_log(0)]
    else:
        paths = sorted(run.meeting.glob(f"{_prefix(attempt)}*"))
    texts = []
    for path in paths:
        with contextlib.suppress(Unreadable, OSError):
            texts.append(read_end(path, _MOST, max(begin, 0)).decode(errors="replace"))
    return "\n".join(texts)


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat[stat.rindex(b")") + 2 :][:1] not in (b"Z", b"X")


def main(argv: list[str]) -> int:
    """Watch until NCCL has named its network or the rank has ended. Record the network, and end the rank if it is not
    allowed."""
    run, attempt, pid, begin = RunDir(argv[0]), int(argv[1]), int(argv[2]), int(argv[3])
    plan, seen = run.plan(), None
    while _lives(pid):
        if seen is None and network.of_log(_said(run, attempt, begin)):
            seen = time.monotonic()
        if seen is not None and time.monotonic() - seen >= _MORE_S:
            break
        time.sleep(_LOOK_S)
    said = _said(run, attempt, begin)
    found = network.of_log(said)
    if found is None:
        if plan.require_network and plan.nodes > 1:
            reason = "which network NCCL uses is not known: it said nothing, so it may not have been used"
            run.append_event("network", attempt=attempt, reason=reason)
        return 0
    environment.add(run, attempt, "nccl", network.as_json(found))
    wrong = network.problem(plan, found, network.why_sockets(said))
    run.append_event("network", attempt=attempt, network=found.name, **({"reason": wrong} if wrong else {}))
    if wrong and plan.require_network and _lives(pid):
        failure.note(run, Rank(rank=0), attempt, f"--require-network: {wrong}")
        os.kill(pid, signal.SIGKILL)  # the other ranks, and a program that this one started, end with it
    return 0
