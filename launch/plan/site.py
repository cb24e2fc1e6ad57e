"""A site: the description of a machine that you can run on, as data.

A site file is TOML; its keys are the fields of `Site`. An unknown key or a value of the wrong type is refused. A value
that no source confirms stays out of the file, and the plan says that it is not known.
"""

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from launch import HOME, toml_file
from launch.errors import Refusal, nearest, page
from launch.plan import typed
from launch.plan.typed import Backend, Count, Launcher, Natural, Positive

FOLDER = Path(HOME, "modules", "sites")

_LIMITS = {"min_nodes": Count, "max_nodes": Count, "max_time": str, "max_jobs": Count}
_OF_NODES = {"gpus_per_node": Natural, "cpus_per_node": Count}  # keys of a partition whose nodes are of another kind

LINKS = ("inter_node_gbit_per_s", "inter_node_latency_us", "intra_node_gbit_per_s", "intra_node_latency_us")
"""What a site file can say of its network, for `python -m profiling simulate`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Site:
    """The keys of a site file."""

    name: str
    description: str = ""
    tried: str = ""  # what this file was tried with; empty: nobody has tried it
    backend: Backend = "slurm"
    # How the machine is recognised: {env, is}, a variable and its value, or {host}, a regular expression for
    # host names.
    identify: dict[str, str] = field(default_factory=dict)
    nodes: Count | None = None  # maximum number of nodes of a run
    cpus_per_node: Count | None = None
    gpus_per_node: Natural | None = None
    ranks_per_node: Count | None = None  # by default one per GPU, or 1 without GPUs
    time: str | None = None  # default of --time
    partition: str | None = None  # default of --partition
    qos: str | None = None  # default of --qos
    constraint: str | None = None  # default of --constraint
    gpu_type: str | None = None  # type in the request for GPUs, if the nodes have different ones
    gpu_request: Literal["gpus-per-node", "gpus-per-task", "gres", "none"] = (
        "gpus-per-node"  # option that asks for GPUs
    )
    # Which GPUs a rank sees: those that Slurm gives it (slurm), its own, as a variable hides the others (env), or all
    # GPUs of its node (framework). By default as described for the option --gpu-binding.
    gpu_binding: Literal["slurm", "env", "framework"] | None = None
    gpu_variable: str = "CUDA_VISIBLE_DEVICES"  # the variable that hides GPUs: ROCR_VISIBLE_DEVICES on AMD
    gpu_order: Literal["forward", "reverse"] = "forward"  # GPU of local rank i: number i, or counted from the last
    rendezvous: Literal["gloo", "mpi"] = "gloo"  # how the ranks find each other
    mpi: str | None = None  # value of srun --mpi for the rendezvous mpi: pmix, pmi2, cray_shasta
    network_interface: str | None = None  # interface that carries Gloo's traffic
    # Container runtime for --container; edf: srun --environment of CSCS, with an environment definition file.
    container: Literal["apptainer", "singularity", "podman-hpc", "pyxis", "edf"] | None = None
    container_python: str = "python3"  # the Python in the images
    container_args: list[str] = field(default_factory=list)  # further options of the container runtime, or of srun
    # Folder on a disk of each node, for --stage-env. By default the first of SLURM_TMPDIR, TMPDIR and /tmp that is not
    # on a shared file system.
    node_disk: str | None = None
    modules: list[str] = field(default_factory=list)  # environment modules that the job loads
    setup: list[str] = field(default_factory=list)  # lines of shell that the job runs after loading them
    env: dict[str, str] = field(default_factory=dict)  # environment variables of the job
    directives: dict[str, str] = field(
        default_factory=dict
    )  # options of sbatch, qsub or flux batch: name without dashes -> value
    srun_args: list[str] = field(default_factory=list)  # further options of srun
    launcher: Launcher | None = None  # what starts the ranks: by default srun, under PBS pbs_tmrsh, under Flux flux run
    launcher_args: list[str] = field(default_factory=list)  # further options of the launcher, if it is not srun
    gpu_resource: str = "ngpus"  # PBS: the resource of a chunk that counts GPUs; empty if there is none
    chunk: dict[str, str] = field(default_factory=dict)  # PBS: further resources of each node, in -l select
    place: str = "scatter"  # PBS: value of -l place
    resources: dict[str, str] = field(default_factory=dict)  # PBS: further resources of the job, each a -l of its own
    account_option: Literal["A", "P"] = "A"  # PBS: the option that takes the account
    # Limits of each partition: {min_nodes, max_nodes, max_time, max_jobs}. The last is the number of jobs that a user
    # may have in the queue; each run of an array counts as one.
    # gpus_per_node and cpus_per_node are those of its nodes, if they differ from those above.
    partitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    interconnect: Literal["infiniband", "slingshot"] | None = None  # network between the nodes that NCCL should use
    # One-way bandwidth and latency of the links: of all adapters of a node together, and between two of its GPUs.
    network: dict[str, Positive] = field(default_factory=dict)
    signal_s: Natural = 120  # seconds before the time limit at which the ranks are asked to save and leave
    patience_s: Natural = 300  # seconds for which a scheduler that does not answer is asked again
    poll_s: Natural = 0  # least seconds between two questions to the scheduler, where the site demands that


def names() -> list[str]:
    """Return the sites that come with the toolkit."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> Site:
    """Read a site file.

    Parameters
    ----------
    name : str
        Name of a site that comes with the toolkit, or the path of a site file.

    Raises
    ------
    Refusal
        If there is none, or a key or value in it is not understood.
    """
    own = _is_path(name)
    path = Path(name) if own else FOLDER / f"{name}.toml"
    if not os.path.isfile(path):
        what = "give the path of a site file" if own else nearest(name, names())
        if os.path.isfile(f"{name}.toml"):
            what = f"for the file here, give --site {name}.toml"
        raise Refusal(f"there is no site {name!r}: {what}")
    return from_table({"name": path.stem, **toml_file.read(path)}, str(path))


def from_table(table: Mapping[str, Any], where: str) -> Site:
    """Make a site from a table, and refuse what is not understood; ``where`` names its origin in the refusal."""
    if "account" in table:
        raise Refusal(
            f"{where}: an account is yours, not the machine's: give it as -A, or write it into your defaults"
            f"{page('jobs.md')}, and leave it out here"
        )
    site = typed.build(Site, _with_type_of_gpus(table, where), where)
    known = _LIMITS | _OF_NODES
    for partition, limits in site.partitions.items():
        for key in limits:
            if key not in known:
                raise Refusal(f"{where}: unknown key {key!r} of partition {partition!r}: {nearest(key, known)}")
        if wrong := typed.mismatch(limits, known, f"partitions.{partition}"):
            raise Refusal(f"{where}: {wrong}")
    for key in site.network:
        if key not in LINKS:
            raise Refusal(f"{where}: unknown key {key!r} of network: {nearest(key, LINKS)}")
    for name, value in site.directives.items():
        if not f"{name}{value}".isprintable():
            raise Refusal(f"{where}: directives.{name} = {value!r}: give it without line breaks")
    for variable in site.env:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
            raise Refusal(f"{where}: env.{variable!r} cannot be a variable's name: give letters, digits and '_'")
    for key in site.identify:
        if key not in ("env", "is", "host"):
            raise Refusal(f"{where}: unknown key {key!r} of identify: {nearest(key, ('env', 'is', 'host'))}")
    return site


def with_nodes_of(site: Site, partition: str | None) -> Site:
    """Return the site as a job in a partition finds it: with the GPUs and cores of that partition's nodes, if they
    differ."""
    said = site.partitions.get(partition or "", {})
    return dataclasses.replace(site, **{key: said[key] for key in _OF_NODES if key in said})


def count_of_gpus(value: str | int, where: str) -> tuple[str | None, int]:
    """Return the type and number of GPUs in ``4`` or ``a100:4``, as Slurm writes them; ``where`` is the option or key
    that gave it."""
    match = re.fullmatch(r"(?:([A-Za-z0-9][\w.+-]*):)?([0-9]{1,6})", str(value), re.ASCII)
    if match is None:
        raise Refusal(f"{where} {value}: give 0 or more, with a type in front where the site has several, as in a100:4")
    return match[1], int(match[2])


def own_file(said: str | None, backend: str | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the path of the user's own site file, if the option or RANKLOOP_SITE names one."""
    said = said or ("" if backend else environ.get("RANKLOOP_SITE"))
    return os.path.abspath(said) if said and _is_path(said) else None


def _is_path(name: str) -> bool:
    return name.endswith(".toml") or "/" in name


def unknown(site: Site) -> list[str]:
    """Return what a run on several nodes needs but the site does not give, each with the option or key for it."""
    if site.backend == "local":
        return []
    # If a QOS is asked for, Slurm chooses the partition.
    of = f"partition {site.partition}" if site.partition else f"QOS {site.qos}" if site.qos else "the partitions"
    open_ = {
        "partition (-p)": site.partition is None and site.qos is None,
        f"limits of {of}": not site.partitions if site.partition is None else site.partition not in site.partitions,
        "GPUs of a node (--gpus-per-node)": site.gpus_per_node is None,
        "cores of a node (-c)": site.cpus_per_node is None,
        "network interface (network_interface)": site.network_interface is None and site.rendezvous == "gloo",
    }
    if site.backend == "allocation":  # the allocation gives everything else
        return [what for what, is_open in open_.items() if is_open and what.startswith("network")]
    return [what for what, is_open in open_.items() if is_open]


def _with_type_of_gpus(table: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return the table with ``gpus_per_node = "a100:4"`` written as two keys."""
    value = table.get("gpus_per_node")
    if not isinstance(value, str) or ":" not in value:
        return table
    kind, count = count_of_gpus(value, f"{where}: gpus_per_node =")
    if table.get("gpu_type", kind) != kind:
        raise Refusal(f"{where}: gpus_per_node = {value!r} and gpu_type = {table['gpu_type']!r}: give one type")
    return {**table, "gpus_per_node": count, "gpu_type": kind}
