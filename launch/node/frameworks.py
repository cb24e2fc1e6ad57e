"""What JAX, Keras and TensorFlow look for in the environment of a rank, so that an unchanged script of theirs finds the others.

Each of these variables is read only by a program that asks to be one of several: `jax.distributed.initialize`,
`keras.distribution.initialize`, and the strategies of `tf.distribute` for several workers. What the user has set stays.
"""

import json
import os
import time
from pathlib import Path
from types import ModuleType

from launch.node import imports
from launch.node.rank import Rank
from launch.plan.plan import Plan
from launch.record.files import append_line, publish_json, read_json, read_lines

_TF_WORKERS_MOST = 512
"""Ranks up to which TF_CONFIG is set: every rank's copy names them all, and a variable has 128 KiB at most."""


def variables(rank: Rank, coordinator: str) -> dict[str, str]:
    """What JAX and Keras look for.

    Parameters
    ----------
    rank : Rank
        Who this is.
    coordinator : str
        Address and port at which rank 0 is to listen.
    """
    size, number = str(rank.size), str(rank.rank)
    wanted = {
        "JAX_COORDINATOR_ADDRESS": coordinator,
        "JAX_NUM_PROCESSES": size,  # read by many scripts, though not by JAX itself
        "JAX_PROCESS_ID": number,
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": coordinator,
        "KERAS_DISTRIBUTION_NUM_PROCESSES": size,
        "KERAS_DISTRIBUTION_PROCESS_ID": number,
    }
    return {name: os.environ.get(name) or value for name, value in wanted.items()}


def tf_config(plan: Plan, rank: Rank, own: str, meeting: Path, attempt: int, patience_s: float) -> dict[str, str]:
    """TF_CONFIG, where it may be needed: for this all ranks have to wait for each other.

    Parameters
    ----------
    plan : Plan
        Of the run; where it says that the ranks cooperate by other means than tf.distribute, or not at all, nothing is set.
    rank : Rank
        Who this is.
    own : str
        Address and port of this rank.
    meeting : Path
        Folder of the run in which ranks meet.
    attempt : int
        Start of the run.
    patience_s : float
        How long to wait for the others; nothing is set if one does not come.
    """
    by_others = plan.cooperation and "tf.distribute" not in plan.cooperation
    if not 1 < plan.size <= _TF_WORKERS_MOST or plan.independent or by_others or "TF_CONFIG" in os.environ:
        return {}
    append_line(meeting / f"workers-attempt{attempt}-node{rank.node}.jsonl", {"rank": rank.rank, "address": own})
    note, deadline = meeting / f"workers-attempt{attempt}.json", time.monotonic() + patience_s
    while (workers := read_json(note)) is None:
        late = time.monotonic() > deadline
        if rank.is_chief:
            lines = [
                line
                for node in range(plan.nodes)
                for line in read_lines(meeting / f"workers-attempt{attempt}-node{node}.jsonl")
            ]
            addresses = {line["rank"]: line["address"] for line in lines}
            if late or len(addresses) == plan.size:
                publish_json(note, [addresses[number] for number in sorted(addresses)])
        elif late:
            return {}
        time.sleep(0.02)
    if len(workers) < plan.size:
        return {}
    task = {"type": "worker", "index": rank.rank}
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": task})}


def known_to_jax() -> None:
    """From now on ``jax.distributed.initialize()`` finds the number of ranks, and which this is, as under Slurm: where it looks for
    the environment in which it runs, it finds this one too."""
    imports.after("jax._src.clusters", _add_cluster)


def _add_cluster(module: ModuleType) -> None:
    base = getattr(module, "ClusterEnv", None)
    if base is None:  # of another version: it is left as it is
        return

    class Rankloop(base):
        """JAX calls these methods; to be derived from its class is to be registered."""

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
