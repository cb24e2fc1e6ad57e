"""The shape of a run (nodes, ranks, GPUs, cores, time), within what a site and this machine have.

Every function here refuses, in one line, what is impossible.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from launch.errors import Refusal
from launch.plan.request import Request
from launch.plan.site import Site, count_of_gpus
from launch.plan.walltime import exceeds, limit_text, walltime

if TYPE_CHECKING:
    from launch.plan.plan import Plan


class Machine(NamedTuple):
    """What the local backend needs to know about this machine."""

    cores: int
    gpus: int


def this_machine() -> Machine:
    """Return the numbers of cores that this process may use and of NVIDIA GPUs that it may see."""
    present = [name for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name)]
    visible = len(present)
    if visible and (hidden := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        from launch import gpus

        visible = min(visible, len(gpus.listed(hidden)))
    return Machine(len(os.sched_getaffinity(0)), visible)


def gpus_per_node(request: Request, site: Site, backend: str, machine: Machine, nodes: int) -> tuple[str | None, int]:
    """Return the type and number of GPUs of each node: as asked, else all that there are."""
    kind, asked = None, None
    if request.gpus_per_node is not None:
        kind, asked = count_of_gpus(request.gpus_per_node, "--gpus-per-node")
    if backend == "local":
        if kind:
            raise Refusal(
                f"--gpus-per-node {kind}:{asked}: the GPUs of this machine cannot be asked for by type: give {asked}"
            )
        # All nodes are this machine, so they share its GPUs; if there are too few for all, no node has any.
        default = machine.gpus if request.share_gpus else machine.gpus // max(1, nodes)
        gpus = default if asked is None else asked
        needed = gpus if request.share_gpus else gpus * nodes
        if needed > machine.gpus:
            raise Refusal(
                f"{needed} GPUs are more than the {machine.gpus} of this machine, which are all that its "
                f"{nodes} nodes have together: ask for fewer with --gpus-per-node"
            )
        return None, gpus
    gpus = asked if asked is not None else site.gpus_per_node or 0
    if site.gpus_per_node is not None and gpus > site.gpus_per_node:
        raise Refusal(
            f"--gpus-per-node {gpus} is more than a node of {site.name} has ({site.gpus_per_node}): ask for fewer"
        )
    return kind or site.gpu_type, gpus


def gpu_binding(request: Request, site: Site, backend: str, machine: Machine, gpus: int) -> str:
    """Return which GPUs a rank sees: as asked, as the site says, or "auto" (`launch.node.pinning` decides). "none"
    hides all.

    GPUs that the request does not name are not hidden: the job may have them by an option of sbatch or the site's
    default.
    """
    unwanted = request.gpus_per_node is not None or backend == "local" and machine.gpus > 0
    if gpus == 0 and unwanted:
        return "none"
    return request.gpu_binding or site.gpu_binding or "auto"


def cpus_per_task(request: Request, site: Site, backend: str, machine: Machine, nodes: int, ranks: int) -> int | None:
    """Return how many cores each rank gets: as asked, else its share of a node; None if unknown."""
    cpus = request.cpus_per_task
    if cpus is None:
        if backend != "local" and site.cpus_per_node:
            if ranks > site.cpus_per_node:
                raise Refusal(
                    f"--ranks-per-node {ranks} is more than a node of {site.name} has cores ({site.cpus_per_node}): "
                    "ask for fewer"
                )
            return site.cpus_per_node // ranks
        return None
    present, needed = (
        (machine.cores, cpus * ranks * nodes) if backend == "local" else (site.cpus_per_node, cpus * ranks)
    )
    if present is not None and needed > present:
        where = "this machine has" if backend == "local" else f"a node of {site.name} has"
        raise Refusal(
            f"--cpus-per-task {cpus} takes {needed} cores, more than {where} ({present}): ask for fewer cores or ranks"
        )
    return cpus


def refuse_too_many(size: int, backend: str, machine: Machine, at_once: int = 1) -> None:
    """Refuse local runs that together, ``at_once`` at a time, have more ranks than this machine can bear."""
    # An idle rank takes 0.5 GB and competes for cores: beyond this number a local run only makes the machine unusable.
    most = max(16, 4 * machine.cores)
    if backend != "local" or size * at_once <= most:
        return
    these = f"{size} ranks are" if at_once == 1 else f"{at_once} runs at a time of {size} ranks are"
    less = f"ask for {most} or fewer, or give --backend slurm"
    if at_once > 1:
        less = f"give --throttle {max(1, most // size)} or less"
    raise Refusal(f"{these} too many for this machine ({machine.cores} cores): {less}")


def refuse_spare(request: Request, nodes: int, site: Site) -> None:
    """Refuse spare nodes that the site does not have, or that no attempt could use."""
    if not (spare := request.spare_nodes):
        return
    if request.max_attempts < 2:
        raise Refusal(f"--spare-nodes {spare} is for attempts that follow one: give --max-attempts 2 or more as well")
    if site.nodes is not None and nodes + spare > site.nodes:
        raise Refusal(
            f"--spare-nodes {spare} makes {nodes + spare} nodes, more than {site.name} has ({site.nodes}): ask for "
            "fewer"
        )


def nodes_text(nodes: int, spare: int) -> str:
    """Return the number of nodes of a job, as text with its options."""
    return f"--nodes {nodes}" + (f" with --spare-nodes {spare}" if spare else "")


def refuse_beyond_limits(site: Site, partition: str | None, nodes: int, time_s: int | None, spare: int = 0) -> None:
    """Refuse what the partition does not allow, according to the site file."""
    limits = site.partitions.get(partition or "", {})
    others = [name for name, each in site.partitions.items() if _fits(each, nodes + spare, time_s)]
    elsewhere = f", or for another partition with -p: {', '.join(others)}" if others else ""
    if nodes + spare > limits.get("max_nodes", nodes + spare):
        raise Refusal(
            f"{nodes_text(nodes, spare)} is more than partition {partition} of {site.name} allows "
            f"({limits['max_nodes']}): ask for fewer{elsewhere}"
        )
    if nodes + spare < limits.get("min_nodes", 1):
        raise Refusal(
            f"{nodes_text(nodes, spare)} is fewer than partition {partition} of {site.name} takes "
            f"({limits['min_nodes']}): ask for more{elsewhere}"
        )
    longest = walltime(limits.get("max_time"))
    if exceeds(time_s, longest):
        raise Refusal(
            f"--time {limit_text(time_s or 0)} is more than partition {partition} of {site.name} allows "
            f"({limit_text(longest or 0)}): ask for less{elsewhere}"
        )


def _fits(limits: Mapping[str, Any], nodes: int, time_s: int | None) -> bool:
    """Return whether a partition with these limits takes such a job."""
    within = limits.get("min_nodes", 1) <= nodes <= limits.get("max_nodes", nodes)
    return within and not exceeds(time_s, walltime(limits.get("max_time")))


def gpus_of(plan: Plan) -> int:
    """Return how many GPUs of this machine a local run takes."""
    return plan.gpus_per_node * (1 if plan.share_gpus else plan.nodes)


def runs_at_once(plans: Sequence[Plan], throttle: int, gpus: int, cores: int) -> int:
    """Return how many of some local runs can run at a time: no more than asked for, each with GPUs and cores of its
    own."""
    needs = [(gpus_of(plan), (plan.cpus_per_task or 0) * plan.size) for plan in plans]
    fit = [min([throttle, *(have // each for have, each in ((gpus, of), (cores, on)) if each)]) for of, on in needs]
    return max(1, *fit)
