"""Makes the plan from request and site: what will be run, where and as whom, before anything is submitted. Pure
arithmetic."""

import datetime
import functools
import os
import sys
from pathlib import Path
from typing import Any

from launch import HOME, PACKAGES
from launch.errors import Refusal
from launch.plan import container, figures, inherited, options, queueing
from launch.plan.names import default_name, refuse_bad_name, refuse_path
from launch.plan.plan import Plan, scheduler_of
from launch.plan.request import Request
from launch.plan.shape import (
    Machine,
    cpus_per_task,
    gpu_binding,
    gpus_per_node,
    refuse_beyond_limits,
    refuse_spare,
    refuse_too_many,
)
from launch.plan.site import Site, own_file, with_nodes_of
from launch.plan.target.workload import TRAINER, Target
from launch.plan.walltime import clock, hang_timeout, walltime


def resolve(request: Request, nodes: int, site: Site, target: Target, machine: Machine, now: datetime.datetime) -> Plan:
    """Fill in what was not asked for, and refuse what is impossible.

    Parameters
    ----------
    request : Request
        The job options.
    nodes : int
        Number of nodes, one of those in the request.
    site : Site
        The site at which to run.
    target : Target
        What is to be run.
    machine : Machine
        This machine, for the local backend.
    now : datetime
        The time, for the name of the run.

    Raises
    ------
    Refusal
        If the shape is impossible at the site.
    """
    backend = site.backend if site.backend == "allocation" else request.backend or site.backend
    _refuse_contradictions(request, backend)
    scheduler = scheduler_of(backend, site.launcher)
    queueing.refuse(request, site, backend, scheduler)
    if backend != "local":
        refuse_path(request.runs)
    request, taken = inherited.take(request)
    if site.nodes is not None and nodes > site.nodes:
        raise Refusal(f"--nodes {nodes} is more than {site.name} has ({site.nodes}): ask for fewer")
    partition = request.partition or site.partition
    site = with_nodes_of(site, partition)
    gpu_type, gpus = gpus_per_node(request, site, backend, machine, nodes)
    ranks = request.ranks_per_node or site.ranks_per_node or gpus or 1
    if gpus and ranks > gpus and not request.share_gpus:
        raise Refusal(
            f"--ranks-per-node {ranks} is more than the {gpus} GPU{'s' * (gpus > 1)} of a node: "
            f"ask for {gpus} or fewer, or let ranks share GPUs with --share-gpus"
        )
    if request.require_network and not gpus:
        raise Refusal(
            "--require-network looks at NCCL, which connects GPUs, and the run has none: give --gpus-per-node, or "
            "leave it out"
        )
    cpus = cpus_per_task(request, site, backend, machine, nodes, ranks)
    refuse_too_many(nodes * ranks, backend, machine)
    for option in ("partition", "account", "qos", "constraint"):
        if not (getattr(request, option) or "").isprintable():  # after a line break, the rest would be a command
            raise Refusal(f"--{option} {getattr(request, option)!r}: give it without line breaks")
    time_s = walltime(site.time if request.time is None else request.time)
    refuse_spare(request, nodes, site)
    refuse_beyond_limits(site, partition, nodes, time_s, request.spare_nodes)
    rendezvous = request.rendezvous or ("mpi" if target.uses_mpi and not request.independent else site.rendezvous)
    size = nodes * ranks
    launcher = queueing.launcher(site, scheduler, rendezvous, size)
    if request.independent and target.kind == "workload":
        raise Refusal("--independent is for programs: the ranks of a workload train together; leave it out")
    if size > 1 and target.kind == "program" and target.short_name in _LAUNCHERS:
        raise Refusal(
            f"{target.short_name} starts ranks itself, and would be started {size} times: give the program that it "
            "starts, or use one rank"
        )
    fom = figures.from_words(request.fom, request.fom_unit, request.fom_as)
    figures.refuse_for(fom, target.kind, size)
    describe = target.config.describe(size) if hasattr(target.config, "describe") else {}
    if request.container is None and hasattr(target.config, "refuse_missing"):  # the content of an image is not known
        if backend == "local":
            target.config.refuse_missing(size, bool(gpus))
        elif lacking := target.config.lacking(size, bool(gpus)):
            describe["engine here"] = f"{lacking}: unless the job's modules change that, its ranks will refuse to train"
    default = default_name(f"{target.short_name}-n{nodes}", now)
    name = default if request.name is None else refuse_bad_name(request.name)
    return Plan(
        name=name,
        site=site.name,
        site_file=own_file(request.site, request.backend),
        backend=backend,
        kind=target.kind,
        workload=target.name,
        arguments=target.arguments,
        entry=_entry(target),
        describe=describe,
        cwd=os.getcwd(),
        python=sys.executable,
        pythonpath=_path(target),
        seed=request.seed,
        sample_hz=request.sample_hz,
        max_attempts=request.max_attempts,
        nodes=nodes,
        ranks_per_node=ranks,
        gpus_per_node=gpus,
        cpus_per_task=cpus,
        time_s=time_s,
        partition=partition,
        account=request.account,
        qos=request.qos or site.qos,
        constraint=request.constraint or site.constraint,
        job_name=request.job_name or name,
        rendezvous=rendezvous,
        cooperation=target.cooperation,
        independent=request.independent,
        mpi=site.mpi,
        share_gpus=request.share_gpus,
        gpu_type=gpu_type,
        gpu_request=site.gpu_request,
        gpu_binding=gpu_binding(request, site, backend, machine, gpus),
        gpu_variable=site.gpu_variable,
        gpu_order=site.gpu_order,
        network_interface=site.network_interface,
        interconnect=site.interconnect,
        require_network=request.require_network,
        **_container(request, site, target),
        node_disk=site.node_disk,
        modules=tuple(site.modules),
        setup=tuple(site.setup),
        env=dict(site.env),
        directives=dict(site.directives),
        sbatch_args=request.sbatch_arg,
        srun_args=(*(site.srun_args if scheduler == "slurm" else site.launcher_args), *request.srun_arg),
        launcher=launcher,
        gpu_resource=site.gpu_resource,
        chunk=dict(site.chunk),
        place=site.place,
        resources=dict(site.resources),
        account_option=site.account_option,
        fom=fom,
        scaling=request.scaling,
        pack=request.pack,
        stop_below=request.stop_below,
        inherited=taken,
        signal_s=_warning(request.warn, time_s) or site.signal_s,
        warn=request.warn is not None,
        spare_nodes=request.spare_nodes,
        hang_s=hang_timeout(request.hang_timeout),
        patience_s=site.patience_s,
        poll_s=site.poll_s,
        max_jobs=site.partitions.get(partition or "", {}).get("max_jobs"),
    )


_LAUNCHERS = (
    "mpirun",
    "mpiexec",
    "mpiexec.hydra",
    "orterun",
    "prterun",
    "srun",
    "horovodrun",
    "aprun",
    "jsrun",
    "flux",
)


def _warning(asked: int | None, time_s: int | None) -> int | None:
    if asked and time_s and asked >= time_s:
        raise Refusal(f"--warn {asked} is not before the time limit of {clock(time_s)}: give fewer seconds")
    return asked


def _container(request: Request, site: Site, target: Target) -> dict[str, Any]:
    """Return the fields of the plan that are about the container."""
    kept = {"container_python": site.container_python, "container_args": tuple(site.container_args)}
    if request.container is None:
        return {"container": None, "container_runtime": None, "container_binds": (), **kept}
    if site.container is None:
        raise Refusal(
            f"--container: the file of site {site.name} does not say what runs containers there: give container in a "
            "file of your own, with --site"
        )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rankloop"
    own = [Path(target.name).parent] if os.path.isabs(target.name) and os.path.exists(target.name) else []
    # Not the whole folder: if pip installed the toolkit, the packages of this machine's Python are in it too.
    toolkit = [Path(HOME, name) for name in PACKAGES]
    return {
        "container": container.image(request.container, site.container),
        "container_runtime": site.container,
        "container_binds": container.binds([request.runs, os.getcwd(), *_path(target), cache, *own, *toolkit]),
        **kept,
    }


def _path(target: Target) -> tuple[str, ...]:
    own = (target.folder,) if target.folder else ()
    return tuple(dict.fromkeys([*own, *_pythonpath(os.environ.get("PYTHONPATH", ""), os.getcwd())]))


@functools.cache  # the same for the many plans of a study
def _pythonpath(said: str, cwd: str) -> tuple[str, ...]:
    """Return the folders of PYTHONPATH as absolute paths, with that of the toolkit last, so that the user's modules
    come first."""
    folders = [os.path.abspath(os.path.join(cwd, folder)) for folder in said.split(os.pathsep)] if said else []
    return tuple(dict.fromkeys(sorted(folders, key=lambda folder: folder == HOME)))


def _entry(target: Target) -> tuple[str, ...]:
    if target.kind == "program":
        return (target.name, *target.arguments)
    if target.kind == "workload":
        return ("-m", TRAINER, target.name, *options.arguments(target.config))
    return (("-m", target.name) if target.kind == "module" else (target.name,)) + target.arguments


def _refuse_contradictions(request: Request, backend: str) -> None:
    if request.wait and request.detach:
        raise Refusal("--wait and --detach contradict each other: give one of them")
    slurm_only = {
        "-p": request.partition,
        "-A": request.account,
        "-q": request.qos,
        "-C": request.constraint,
        "--gpu-binding slurm": request.gpu_binding == "slurm",
        "--sbatch-arg": request.sbatch_arg,
        "--srun-arg": request.srun_arg,
        "--inherit": request.inherit,
        "--spare-nodes": request.spare_nodes,
        "--require-network": request.require_network,
        "--stage-env": request.stage_env,
    }
    given = [flag for flag, value in slurm_only.items() if value]
    if backend == "local" and given:
        raise Refusal(f"{given[0]} is for Slurm, and the backend is local: leave it out, or give --backend slurm")
    if request.stage_env and request.container:
        raise Refusal(
            "--stage-env and --container contradict each other: an image has its own Python; give one of them"
        )
