"""One GPU, and cores of its own, for each rank; and the check that it is true.

Sites disagree on who hands out the GPUs, so it is data: ``slurm`` (the step sees only its own), ``env`` (a variable hides the
others from the process), ``framework`` (all are visible, for the sake of the links between them, and the framework is told
which one to use).
"""

import os
import socket
import time
from pathlib import Path
from typing import Any

from launch import gpus
from launch.errors import Refusal
from launch.node.rank import Rank
from launch.plan.plan import Plan
from launch.record.files import append_line, read_lines


def pin(plan: Plan, rank: Rank) -> str | None:
    """Restrict this process to its GPU and cores. Call it before a framework is imported.

    Parameters
    ----------
    plan : Plan
        Of the run.
    rank : Rank
        Who this is.

    Returns
    -------
    str or None
        The visible device that this rank is to use, as its variable writes it; None without GPUs.
    """
    here = rank.rank if plan.backend == "local" else rank.local_rank
    ranks_here = plan.size if plan.backend == "local" else rank.local_size
    if plan.backend == "local":
        _bind_cores(here, ranks_here, plan.cpus_per_task)
    if not plan.gpus_per_node:
        os.environ[plan.gpu_variable] = (
            ""  # said to have none: a framework that finds one all the same would take all of it
        )
        return None
    visible = gpus.visible(plan.gpu_variable)
    if not visible:
        raise Refusal(
            f"rank {rank.rank} on {socket.gethostname()} was promised a GPU and sees none: {plan.gpu_variable}="
            f"{os.environ.get(plan.gpu_variable)!r}; see whether the partition has GPUs, and how the site hands them out (gpu_request)"
        )
    device = visible[index(here, len(visible), plan.gpu_order)]
    if plan.gpu_binding == "framework":
        os.environ["LAUNCH_GPU"] = str(visible.index(device))
    else:
        os.environ[plan.gpu_variable] = device
        os.environ["LAUNCH_GPU"] = "0"
    return device


def index(local_rank: int, visible: int, order: str = "forward") -> int:
    """Which of the visible GPUs is a rank's: the only one if there is one, else that of the local rank."""
    if visible == 1:
        return 0
    place = local_rank % visible
    return place if order == "forward" else visible - 1 - place


def compare(
    plan: Plan, rank: Rank, device: str | None, meeting: Path, attempt: int, patience_s: float
) -> list[dict[str, Any]]:
    """Tell the other ranks of this host what this one holds, and look at what they hold.

    Parameters
    ----------
    plan : Plan
        Of the run.
    rank : Rank
        Who this is.
    device : str or None
        What `pin` returned.
    meeting : Path
        Folder of the run in which ranks meet.
    attempt : int
        Start of the run.
    patience_s : float
        How long to wait for the others.

    Returns
    -------
    list of dict
        The ranks of this node, by local rank: rank, local_rank, node, pid, what it holds.

    Raises
    ------
    Refusal
        If two ranks hold the same GPU, on each of the two; unless the plan lets ranks share GPUs.
    """
    host = socket.gethostname()
    path = meeting / f"attempt{attempt}-{host}.jsonl"
    held = gpus.identity(device) if device is not None else f"cores {_ranges(os.sched_getaffinity(0))}"
    me = {"rank": rank.rank, "local_rank": rank.local_rank, "node": rank.node, "pid": os.getpid()}
    append_line(path, {**me, "holds": held, "device": device})
    expected = plan.size if plan.backend == "local" else rank.local_size
    holders: dict[str, list[int]] = {}
    deadline = time.monotonic() + patience_s
    while True:
        lines = {line["rank"]: line for line in read_lines(path)}
        here = [line for line in lines.values() if line["node"] == rank.node]
        if len(lines) >= expected and len(here) == rank.local_size:
            break
        if time.monotonic() > deadline:
            missing = (
                f"{expected - len(lines)} of the {expected} ranks of {host} did not start within {patience_s:.0f} s"
            )
            raise Refusal(
                f"{missing}: see their node's log; a slow file system may need a larger patience_s in the site file"
            )
        time.sleep(0.05)
    for other, line in sorted(lines.items()):
        holders.setdefault(line["holds"], []).append(other)
    sharing = holders[held]
    # Where no driver tells a UUID there is only the number, and a Slurm that hands out GPUs numbers them anew for each.
    known = not (held.startswith("device ") and plan.gpu_binding == "slurm")
    if device is not None and known and len(sharing) > 1 and not plan.share_gpus:
        raise Refusal(
            f"ranks {' and '.join(map(str, sharing))} on {host} hold the same GPU, {held}: see gpu_binding and gpu_request of the site "
            f"{plan.site}, or allow it with --share-gpus"
        )
    return sorted(here, key=lambda line: line["local_rank"])


def _bind_cores(place: int, ranks: int, cores_each: int | None) -> None:
    """Give this process an equal part of the cores, where there are enough for each rank to have its own."""
    cores = sorted(os.sched_getaffinity(0))
    each = cores_each or len(cores) // ranks
    if each and each * ranks <= len(cores):
        os.sched_setaffinity(0, cores[place * each : (place + 1) * each])


def _ranges(numbers: set[int]) -> str:
    """{0, 1, 2, 5} -> "0-2,5"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
