"""The environment variables by which unchanged scripts of JAX, Keras and TensorFlow find the other ranks.

Only programs that ask to be one of several processes read these variables: by `jax.distributed.initialize`,
`keras.distribution.initialize`, or the strategies of `tf.distribute` for several workers. Variables that the user has
set stay.
"""

import json
import os
from pathlib import Path
from types import ModuleType

from launch.node.meeting import imports, rendezvous
from launch.node.rank import Rank
from launch.node.waiting import until
from launch.plan.plan import Plan
from launch.record.files import read_json, read_lines
from launch.record.writing import append_line, publish_json

_TF_WORKERS_MOST = 512
"""TF_CONFIG is set for at most so many ranks: each rank's copy names them all, and a variable has 128 KiB at most."""


def variables(plan: Plan, rank: Rank, meeting: Path, attempt: int, patience_s: float) -> dict[str, str]:
    """The variables, once this rank knows where to meet rank 0.

    Parameters
    ----------
    plan : Plan
        Of the run.
    rank : Rank
        Who this is.
    meeting : Path
        Folder of the run in which ranks meet.
    attempt : int
        Start of the run.
    patience_s : float
        How long to wait for the others if TF_CONFIG needs their addresses; it is not set if one of them does not come.
    """
    coordinator, size, number = os.environ["JAX_COORDINATOR_ADDRESS"], str(rank.size), str(rank.rank)
    wanted = {
        "JAX_NUM_PROCESSES": size,  # read by many scripts, though not by JAX itself
        "JAX_PROCESS_ID": number,
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": coordinator,
        "KERAS_DISTRIBUTION_NUM_PROCESSES": size,
        "KERAS_DISTRIBUTION_PROCESS_ID": number,
    }
    found = {name: os.environ.get(name) or value for name, value in wanted.items()}
    if 1 < plan.size <= _TF_WORKERS_MOST and "TF_CONFIG" not in os.environ and _may_ask(plan):
        own = f"{rendezvous.own_address(plan, os.environ['MASTER_ADDR'])}:{rendezvous.own_port()}"
        if workers := _workers(plan, rank, own, meeting, attempt, patience_s):
            task = {"type": "worker", "index": rank.rank}
            found["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
    return found


def _may_ask(plan: Plan) -> bool:
    """Whether the program may read TF_CONFIG. To set it, all ranks wait for each other, which must not be in vain."""
    from launch.plan.target.cooperation import BY_NUMBER

    by_others = plan.cooperation not in (None, "", BY_NUMBER) and "tf.distribute" not in str(plan.cooperation)
    return not plan.independent and not by_others


def _workers(plan: Plan, rank: Rank, own: str, meeting: Path, attempt: int, patience_s: float) -> list[str]:
    """Address and port of each rank, in the order of their numbers; empty if one has not come in time."""
    nodes = [meeting / f"workers-attempt{attempt}-node{node}.jsonl" for node in range(plan.nodes)]
    append_line(nodes[rank.node], {"rank": rank.rank, "address": own})
    note = meeting / f"workers-attempt{attempt}.json"
    if not rank.is_chief:
        workers = until(lambda: read_json(note), patience_s) or []
        return workers if len(workers) == plan.size else []
    addresses: dict[int, str] = {}

    def complete() -> bool:
        addresses.update((line["rank"], line["address"]) for node in nodes for line in read_lines(node))
        return len(addresses) == plan.size

    met = until(complete, patience_s)
    workers = [addresses[number] for number in sorted(addresses)]
    publish_json(note, workers)  # even if some are missing, so that the others stop waiting
    return workers if met else []


def known_to_jax() -> None:
    """Let ``jax.distributed.initialize()`` find the number of ranks, and this rank's, as it does under Slurm: register
    an environment that JAX detects."""
    imports.after("jax._src.clusters", _add_cluster)


def _add_cluster(module: ModuleType) -> None:
    base = getattr(module, "ClusterEnv", None)
    if base is None:  # a JAX version without this class is left as it is
        return

    class Rankloop(base):
        """JAX calls these methods; deriving from its class registers this one."""

        name = "rankloop"

        @classmethod
        def is_env_present(cls) -> bool:
            return "LAUNCH_RANK" in os.environ

        @classmethod
        def get_coordinator_address(cls, *_: object, **__: object) -> str:
            return os.environ["JAX_COORDINATOR_ADDRESS"]

        @classmethod
        def get_process_count(cls) -> int:
            return int(os.environ["LAUNCH_SIZE"])

        @classmethod
        def get_process_id(cls) -> int:
            return int(os.environ["LAUNCH_RANK"])
