"""The environment variables by which unchanged scripts of JAX, Keras and TensorFlow find the other ranks.

Only programs that ask to be one of several processes read these variables: by `jax.distributed.initialize`,
`keras.distribution.initialize`, or the strategies of `tf.distribute` for several workers. Variables that the user has
set stay.
"""

import json
import os
from pathlib import Path
from types import ModuleType

from launch import executed
from launch.node.meeting import imports, rendezvous
from launch.node.rank import Rank
from launch.node.waiting import until
from launch.plan.plan import BY_NUMBER, Plan
from launch.record.files import read_json, read_lines
from launch.record.writing import append_line, publish_json

_TF_WORKERS_MOST = 512
"""TF_CONFIG is set for at most so many ranks: each rank's copy names them all, and a variable has 128 KiB at most."""


_READERS = ("tensorflow", "subprocess", "multiprocessing")
"""The modules with which a Python program reads TF_CONFIG, or starts a process that may."""


def variables(rank: Rank) -> dict[str, str]:
    """Return the variables of JAX and Keras, once this rank knows where to meet rank 0."""
    coordinator, size, number = os.environ["JAX_COORDINATOR_ADDRESS"], str(rank.size), str(rank.rank)
    wanted = {
        "JAX_NUM_PROCESSES": size,  # read by many scripts, though not by JAX itself
        "JAX_PROCESS_ID": number,
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": coordinator,
        "KERAS_DISTRIBUTION_NUM_PROCESSES": size,
        "KERAS_DISTRIBUTION_PROCESS_ID": number,
    }
    return {name: os.environ.get(name) or value for name, value in wanted.items()}


def set_tf_config(plan: Plan, rank: Rank, meeting: Path, attempt: int, patience_s: float) -> None:
    """Set TF_CONFIG, which names all ranks, if the program may read it. A rank has to wait for all others for that, so
    where nothing of TensorFlow was found in the program, it does so only when the program imports one of `_READERS`.

    Parameters
    ----------
    plan : Plan
        Plan of the run.
    rank : Rank
        The rank of this process.
    meeting : Path
        Folder of the run in which ranks meet.
    attempt : int
        Number of the attempt.
    patience_s : float
        Seconds to wait for the others; TF_CONFIG is not set if one of them does not come.
    """
    if not 1 < plan.size <= _TF_WORKERS_MOST or "TF_CONFIG" in os.environ or plan.independent:
        return
    seldom = plan.kind != "program" and plan.cooperation in ("", BY_NUMBER)
    if not seldom and plan.cooperation is not None and "tf.distribute" not in plan.cooperation:
        return  # the ranks meet by other means
    own = f"{rendezvous.own_address(plan, os.environ['MASTER_ADDR'])}:{rendezvous.own_port()}"
    nodes = [meeting / f"workers-attempt{attempt}-node{node}.jsonl" for node in range(plan.nodes)]
    append_line(nodes[rank.node], {"rank": rank.rank, "address": own})
    asked = False

    def ask(_: ModuleType | None = None) -> None:
        nonlocal asked
        if asked:
            return
        asked = True
        if workers := _workers(plan, rank, nodes, meeting / f"workers-attempt{attempt}.json", patience_s):
            task = {"type": "worker", "index": rank.rank}
            os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})

    if not seldom or any(map(executed, _READERS)):
        ask()
        return
    for name in _READERS:
        imports.after(name, ask)


def _workers(plan: Plan, rank: Rank, nodes: list[Path], note: Path, patience_s: float) -> list[str]:
    """Return the address and port of each rank, in the order of their numbers; empty if one has not come in time.

    They are in one file for each node. Rank 0 gathers them in a note for the others, but may never be asked to.
    """
    addresses: dict[int, str] = {}
    todo = list(nodes)

    def complete() -> list[str]:
        if gathered := read_json(note):
            return gathered
        for node in list(todo):
            lines = list(read_lines(node))
            addresses.update((line["rank"], line["address"]) for line in lines)
            if len(lines) >= plan.ranks_per_node:
                todo.remove(node)
        return [] if todo else [addresses[number] for number in sorted(addresses)]

    workers = until(complete, patience_s)
    if rank.is_chief and workers:
        publish_json(note, workers)
    return workers


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
