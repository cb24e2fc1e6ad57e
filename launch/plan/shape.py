"""The shape of a run - nodes, ranks, GPUs, cores, time - within what a site and this machine have.

Every function here refuses, in one line, what cannot be.
"""

import os
import re
from dataclasses import dataclass

from launch import gpus
from launch.errors import Refusal
from launch.plan.request import Request
from launch.plan.site import Site
from launch.plan.walltime import clock, exceeds, walltime


@dataclass(frozen=True, slots=True)
class Machine:
    """What the local backend has to know of this machine."""

    cores: int
    gpus: int


def this_machine() -> Machine:
    """Cores that this process may use, and NVIDIA GPUs that it may see."""
    present = [name for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name)]
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = len(present) if hidden is None else min(len(present), len(gpus.listed(hidden)))
    return Machine(len(os.sched_getaffinity(0)), visible)


def at_least_one(what: str, value: int) -> int:
    """The value, if it is 1 or more; ``what`` is the option that gave it."""
    if value < 1:
        raise Refusal(f"{what} {value}: give 1 or more")
    return value


def gpus_per_node(request: Request, site: Site, backend: str, machine: Machine) -> int:
    """How many GPUs each node gives: as asked, else all that there are."""
    if request.gpus_per_node is not None and request.gpus_per_node < 0:
        raise Refusal(f"--gpus-per-node {request.gpus_per_node}: give 0 or more")
    if backend == "local":
        # All nodes are this machine, so they divide its GPUs; too few for all mean none for any.
        default = machine.gpus // request.nodes if request.nodes > 0 else 0
        if request.share_gpus:
            default = machine.gpus
        gpus = default if request.gpus_per_node is None else request.gpus_per_node
        asked = gpus if request.share_gpus else gpus * request.nodes
        if asked > machine.gpus:
            raise Refusal(
                f"{asked} GPUs are more than the {machine.gpus} of this machine, which are all that its {request.nodes} nodes have together: ask for fewer with --gpus-per-node"
            )
        return gpus
    gpus = request.gpus_per_node if request.gpus_per_node is not None else site.gpus_per_node or 0
    if site.gpus_per_node is not None and gpus > site.gpus_per_node:
        raise Refusal(
            f"--gpus-per-node {gpus} is more than a node of {site.name} has ({site.gpus_per_node}): ask for fewer"
        )
    return gpus


def cpus_per_task(request: Request, site: Site, backend: str, machine: Machine, nodes: int, ranks: int) -> int | None:
    """How many cores each rank gets: as asked, else its share of a node; None where nobody knows."""
    cpus = request.cpus_per_task
    if cpus is None:
        if backend == "slurm" and site.cpus_per_node:
            if ranks > site.cpus_per_node:
                raise Refusal(
                    f"--ranks-per-node {ranks} is more than a node of {site.name} has cores ({site.cpus_per_node}): ask for fewer"
                )
            return site.cpus_per_node // ranks
        return None
    at_least_one("--cpus-per-task", cpus)
    present, needed = (
        (machine.cores, cpus * ranks * nodes) if backend == "local" else (site.cpus_per_node, cpus * ranks)
    )
    if present is not None and needed > present:
        where = "this machine has" if backend == "local" else f"a node of {site.name} has"
        raise Refusal(
            f"--cpus-per-task {cpus} takes {needed} cores, more than {where} ({present}): ask for fewer cores or ranks"
        )
    return cpus


def refuse_too_many(size: int, backend: str, machine: Machine) -> None:
    """Refuse a local run of more ranks than this machine can bear."""
    # A rank idles at 0.5 GB and contends for cores: beyond this a local run only makes the machine unusable.
    most = max(16, 4 * machine.cores)
    if backend == "local" and size > most:
        raise Refusal(
            f"{size} ranks are too many for this machine ({machine.cores} cores): ask for {most} or fewer, or give --backend slurm"
        )


def refuse_beyond_limits(site: Site, partition: str | None, nodes: int, time_s: int | None) -> None:
    """Refuse what the site file says that the partition does not allow."""
    limits = site.partitions.get(partition or "", {})
    if nodes > limits.get("max_nodes", nodes):
        raise Refusal(
            f"--nodes {nodes} is more than partition {partition} of {site.name} allows ({limits['max_nodes']}): ask for fewer"
        )
    longest = walltime(limits.get("max_time"))
    if exceeds(time_s, longest):
        raise Refusal(
            f"--time {clock(time_s) if time_s else 'UNLIMITED'} is more than partition {partition} of {site.name} allows "
            f"({clock(longest)}): ask for less"
        )
