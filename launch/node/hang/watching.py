"""Starts the watcher of a node beside its first rank, if the run has a hang timeout."""

import json
import sys
from typing import Any

from launch import own_command
from launch.node import detached
from launch.node.rank import Rank
from launch.plan.plan import Plan
from launch.record.rundir import RunDir


def beside(run: RunDir, plan: Plan, rank: Rank, attempt: int, here: list[dict[str, Any]]) -> None:
    """Have the ranks of this node watched until they end, if this is the node's first rank and the plan asks for it."""
    if rank.local_rank or not plan.hang_s:
        return
    ranks = [{"rank": each["rank"], "pid": each["pid"]} for each in here]
    words = [str(run.path), str(rank.node), str(attempt), str(plan.hang_s), json.dumps(ranks)]
    with open("/dev/null", "rb") as nothing:
        detached.start(
            own_command(sys.executable, "launch.node.hang.watch", *words), nothing.fileno(), run.meeting / "watch.log"
        )
