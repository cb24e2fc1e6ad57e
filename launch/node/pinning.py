"""GPUs and cores for each rank, and the check that no GPU is held twice.

Sites differ in who assigns the GPUs, so the site file says it:

- ``slurm``: the step sees only its own GPUs.
- ``env``: a variable hides the others from the process.
- ``framework``: all GPUs of the node are visible, and the framework is told which one to use.

If neither the site nor the user says it, a workload sees only its own GPUs, and so does a rank that was promised
several. A program with one GPU per rank sees those of the whole node, as under torchrun, because it will ask for number
LOCAL_RANK. So does a program that gets its GPUs in its own way.
"""

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from launch import gpus
from launch.errors import Refusal
from launch.node.rank import Rank
from launch.node.waiting import until
from launch.plan.plan import Plan
from launch.record.files import read_lines
from launch.record.writing import append_line


def pin(plan: Plan, rank: Rank) -> list[str]:
    """Restrict this process to its GPUs and cores. Call it before a framework is imported.

    LAUNCH_GPU and LOCAL_RANK are set to the number of the rank's first GPU among those that it sees. If it sees only
    its own, both are 0, as under ``torchrun --virtual-local-rank``; LAUNCH_LOCAL_RANK and Horovod's variables keep the
    rank's number on the node.

    Parameters
    ----------
    plan : Plan
        Plan of the run.
    rank : Rank
        The rank of this process.

    Returns
    -------
    list of str
        UUIDs of the GPUs that are this rank's; empty without GPUs.

    Raises
    ------
    Refusal
        If the rank was promised GPUs but can use none.
    """
    if plan.backend == "local":
        _bind_cores(rank.rank, plan.size, plan.cpus_per_task)
    if plan.gpu_binding == "none":
        os.environ[plan.gpu_variable] = ""
        return []
    visible = gpus.visible(plan.gpu_variable)
    if not visible and not plan.gpus_per_node:
        return []
    share = share_of(plan, rank, visible) if visible else Share([], [])
    own, fault = gpus.identities(share.own)
    if plan.gpus_per_node and (not own or fault and plan.gpu_variable == "CUDA_VISIBLE_DEVICES"):
        raise Refusal(_no_gpu(plan, rank, fault))
    places = [str(share.seen.index(device)) for device in share.own]
    os.environ.update({plan.gpu_variable: ",".join(share.seen), "LAUNCH_GPU": places[0], "LOCAL_RANK": places[0]})
    # Without this, JAX takes one GPU under Slurm (number SLURM_LOCALID), and elsewhere all that it sees.
    os.environ.setdefault("JAX_LOCAL_DEVICE_IDS", ",".join(places))
    return own


class Share(NamedTuple):
    """The GPUs of a rank."""

    own: list[str]
    seen: list[str]  # only its own, or those of the whole node


def share_of(plan: Plan, rank: Rank, visible: Sequence[str]) -> Share:
    """Return which GPUs of this process belong to the rank, and which the rank sees.

    Parameters
    ----------
    plan : Plan
        Plan of the run. If it does not know the number of GPUs, the ranks of the node share the visible ones.
    rank : Rank
        The rank of this process.
    visible : sequence of str
        Visible GPUs, as `launch.gpus.visible` returns them.

    Returns
    -------
    Share
        Each rank has the same number of consecutive GPUs. If a rank sees the whole node, the first GPUs of all ranks
        come first, so that its own first GPU has its local rank as number.
    """
    pool, ranks, place = list(visible), rank.local_size, rank.local_rank
    if plan.backend == "local" and plan.gpus_per_node and not plan.share_gpus:
        first = rank.node * plan.gpus_per_node  # all nodes are this machine and share its GPUs
        pool = [visible[(first + i) % len(visible)] for i in range(min(plan.gpus_per_node, len(visible)))]
    elif plan.backend == "local":
        ranks, place = plan.size, rank.rank
    if plan.gpu_order == "reverse":
        pool.reverse()
    each = plan.gpus_per_rank or max(1, len(pool) // ranks)
    blocks = [[pool[(i * each + j) % len(pool)] for j in range(each)] for i in range(ranks)]
    own = list(dict.fromkeys(blocks[place]))
    own_only = (
        plan.kind == "workload" or plan.gpus_per_rank > 1
        if plan.gpu_binding == "auto"
        else plan.gpu_binding != "framework"
    )
    if own_only:
        return Share(own, own)
    return Share(own, list(dict.fromkeys([*(device for group in zip(*blocks) for device in group), *pool])))


def _no_gpu(plan: Plan, rank: Rank, fault: str) -> str:
    host = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    found = f"rank {rank.rank} on {host} was promised {plan.gpus_per_rank} of its GPUs"
    if fault:
        other = (
            f"use another node (--sbatch-arg=--exclude={host})"
            if plan.scheduler == "slurm"
            else "use another node"
            if plan.scheduler != "local"
            else "restart the machine"
        )
        return f"{found} and can use none, as the NVIDIA driver says {fault!r}: {other}, and tell its administrators"
    return (
        f"{found} and sees none: {plan.gpu_variable}={os.environ.get(plan.gpu_variable)!r}; see whether the partition "
        "has GPUs, and how the site hands them out (gpu_request)"
    )


def compare(
    plan: Plan, rank: Rank, own: Sequence[str], meeting: Path, attempt: int, patience_s: float
) -> list[dict[str, Any]]:
    """Tell the other ranks of this host which GPUs this one holds, and check those that they hold.

    Parameters
    ----------
    plan : Plan
        Plan of the run.
    rank : Rank
        The rank of this process.
    own : sequence of str
        GPUs of this rank, as `pin` returned them.
    meeting : Path
        Folder of the run in which ranks meet.
    attempt : int
        Number of the attempt.
    patience_s : float
        Seconds to wait for the others.

    Returns
    -------
    list of dict
        The ranks of this node, by local rank: rank, local_rank, node, pid, gpus (UUIDs) and cores of each.

    Raises
    ------
    Refusal
        If two ranks hold the same GPU and the plan does not let ranks share GPUs; raised on both.
    """
    host = socket.gethostname()
    path = meeting / f"attempt{attempt}-{host}.jsonl"
    me = {"rank": rank.rank, "local_rank": rank.local_rank, "node": rank.node, "pid": os.getpid()}
    append_line(path, {**me, "gpus": list(own), "cores": _ranges(os.sched_getaffinity(0))})
    expected = plan.size if plan.backend == "local" else rank.local_size
    lines: dict[int, Any] = {}
    here: list[dict[str, Any]] = []

    def complete() -> bool:
        lines.update({line["rank"]: line for line in read_lines(path)})
        here[:] = [line for line in lines.values() if line["node"] == rank.node]
        return len(lines) >= expected and len(here) == rank.local_size

    if not until(complete, patience_s):
        missing = f"{expected - len(lines)} of the {expected} ranks of {host} did not start within {patience_s:.0f} s"
        raise Refusal(
            f"{missing}: see their node's log; a slow file system may need a larger patience_s in the site file"
        )
    # Without a UUID there is only the number, and if Slurm shows each rank only its own GPUs, it numbers them from 0
    # for each.
    anew = plan.gpu_binding == "slurm" or plan.gpu_request == "gpus-per-task" or not plan.gpus_per_node
    # A program that asked for its GPUs in its own way may know how to share them.
    allowed = plan.share_gpus or not plan.gpus_per_node and plan.kind != "workload"
    for gpu in own:
        if allowed or anew and gpu.startswith("device "):
            continue
        holders = sorted(other for other, line in lines.items() if gpu in line["gpus"])
        if len(holders) > 1:
            raise Refusal(
                f"ranks {' and '.join(map(str, holders))} on {host} hold the same GPU, {gpu}: see gpu_binding and "
                f"gpu_request of the site {plan.site}, or allow it with --share-gpus"
            )
    return sorted(here, key=lambda line: line["local_rank"])


def _bind_cores(place: int, ranks: int, cores_each: int | None) -> None:
    """Give this process an equal part of the cores, if there are enough for each rank to have its own."""
    cores = sorted(os.sched_getaffinity(0))
    each = cores_each or len(cores) // ranks
    if each and each * ranks <= len(cores):
        os.sched_setaffinity(0, cores[place * each : (place + 1) * each])


def _ranges(numbers: set[int]) -> str:
    """Return numbers as ranges: {0, 1, 2, 5} -> "0-2,5"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
