"""Decides what a job gets of the launcher's environment, which may describe another job.

The variables that identify a process in that other job are always removed, because a program would take itself for a
rank of it. Variables that Slurm's commands read as options would add invisible options to a Slurm job, so none of them
is passed on; the plan names them, and ``--inherit`` takes those that it names. All other variables, whatever their
names, are the user's and stay.
"""

import dataclasses
import fnmatch
import os
import re
from collections.abc import Mapping

from launch.errors import Refusal, nearest
from launch.plan.request import Request

OPTIONS = {
    "SBATCH_ACCOUNT": "account",
    "SBATCH_PARTITION": "partition",
    "SBATCH_QOS": "qos",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_TIMELIMIT": "time",
    "SBATCH_JOB_NAME": "job_name",
    "SLURM_JOB_ACCOUNT": "account",
    "SLURM_JOB_PARTITION": "partition",
    "SLURM_JOB_QOS": "qos",
}
"""Variables that correspond to an option. If inherited, they become that option, unless it is given; the first one
wins."""

# Variables that identify a process in another job: in a step of Slurm, under mpirun, torchrun, PALS or Flux, or in a
# run of this toolkit.
_IDENTITY = (
    r"SLURM_(PROCID|LOCALID|NODEID|GTIDS|TASK_PID|NTASKS|NPROCS|LAUNCH_NODE_IPADDR|SRUN_COMM_.*|STEP.*)|"
    r"PMI2?_((LOCAL_|UNIVERSE_)?(RANK|SIZE)|FD|JOBID|ID|PORT|SPAWNED|APPNUM|KVS.*|PROCESS_MAPPING|SHARED_SECRET|CONTROL_.*)|"
    r"PMIX_(RANK|NAMESPACE|ID|VERSION|HOSTNAME|SERVER_.*|SECURITY_MODE|\w+_MODULE|BFROP_.*|SYSTEM_TMPDIR|DSTORE_.*|PARAM_FILE_PASSED)|"
    r"PRTE_LAUNCHED|OMPI_(COMM|UNIVERSE|WORLD)_.*|MPI_LOCAL(RANKID|NRANKS)|MV2_COMM_WORLD_.*|FLUX_(TASK_(RANK|LOCAL_ID)|JOB_(ID|SIZE|NNODES|ID_PATH|TMPDIR)|KVS_NAMESPACE)|PBS_(NODENUM|TASKNUM|VNODENUM)|"
    r"PALS_(RANKID|LOCAL_RANKID|NODEID|APID|DEPTH)|TORCHELASTIC_(RUN_ID|USE_AGENT_STORE|RESTART_COUNT|MAX_RESTARTS|ERROR_FILE)|"
    r"HOROVOD_(RANK|SIZE|LOCAL_(RANK|SIZE)|CROSS_(RANK|SIZE)|HOSTNAME|GLOO_RENDEZVOUS_.*)|"
    r"LAUNCH_(RUN|ATTEMPT|RANK|SIZE|LOCAL_RANK|LOCAL_SIZE|NODE|NODES|SEED|STARTED|SUBMITTED|LEAVE_AT|STEPS|GPU|STAGED|PULSE|CLIENT)"
)
# Their beginnings: an environment without any of them need not wait for the pattern.
_STARTERS = ("SLURM", "PMI", "PRTE", "OMPI", "MPI", "MV2", "FLUX", "PALS", "PBS", "TORCHELASTIC", "HOROVOD", "LAUNCH")
# Where ranks meet, and which GPUs JAX takes: the user's own choice, unless this is a rank of torchrun or this toolkit,
# which set these variables too.
_MEETING = {
    "MASTER_ADDR",
    "MASTER_PORT",
    "HOROVOD_CONTROLLER",
    "HOROVOD_CPU_OPERATIONS",
    "HOROVOD_GLOO_IFACE",
    "JAX_LOCAL_DEVICE_IDS",
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
    "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    "KERAS_DISTRIBUTION_NUM_PROCESSES",
    "KERAS_DISTRIBUTION_PROCESS_ID",
    "TF_CONFIG",
}
_RANKS = {"LAUNCH_RANK", "TORCHELASTIC_RUN_ID"}
# Variables that Slurm's commands read as options.
_SLURM = ("SLURM_", "SLURMD_", "SBATCH_", "SRUN_", "SQUEUE_", "SINFO_", "SCANCEL_", "SCONTROL_")
_KEPT = {"SLURM_CONF", "SLURM_JWT"}
# Variables that PBS and Flux set in a job.
_OF_OTHERS = (
    r"PBS_(O_\w+|JOB\w+|NODEFILE|NODENUM|TASKNUM|VNODENUM|ARRAY_\w+|ENVIRONMENT|QUEUE|ACCOUNT|MOMPORT)$|"
    r"FLUX_(ENCLOSING_ID|TERMINUS_SESSION|PMI_LIBRARY_PATH)$"
)
# Variables that Slurm sets in every job do not describe the next one.
_SET_ANEW = (
    r"SLURMD_|SLURM_(CONF$|JWT$|SUBMIT_|JOB_|JOBID|NNODES|NODELIST|NODE_ALIASES|TASKS_PER_NODE|"
    r"TOPOLOGY|PRIO_PROCESS|WORKING_CLUSTER|CLUSTER_NAME|CPUS_ON_NODE|GPUS_ON_NODE|UMASK|ARRAY_|RESTART_COUNT|SCRIPT_CONTEXT)"
)

# Variables of sbatch and salloc about the resources of the job, which its steps have in any case, and of srun about its
# own options.
_BY_SLURM = (
    r"SLURM_((MEM|CPUS|NTASKS|GPUS|TRES|THREADS|TASKS)_PER_|GPUS$|DIST|OVERCOMMIT|PROFILE|GET_USER_ENV|EXPORT_ENV)|"
    r"SLURM_(LABELIO|OPEN_MODE|KILL_BAD_EXIT|WAIT|MPI_TYPE)$|SRUN_DEBUG$|SBATCH_|SLURMD_"
)
_ASKS_PBS = ("PBS_NODENUM", "PBS_TASKNUM")  # variables by which PBS knows which process has it start tasks
# Variables that describe the job to its steps.
_OF_JOB = r"SLURM_(CONF|JWT|SUBMIT_\w+|JOB_\w+|JOBID|CLUSTER_NAME|ARRAY_\w+|RESTART_COUNT|\w*TMPDIR)"


def without_identity(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for processes of this machine: without what identifies this process in another job."""
    chosen = set() if _RANKS.isdisjoint(environ) else _MEETING
    return {name: value for name, value in environ.items() if name not in chosen and not _is_identity(name)}


def _is_identity(name: str) -> bool:
    return name.startswith(_STARTERS) and re.fullmatch(_IDENTITY, name) is not None


def _is_of_others(name: str) -> bool:
    return name.startswith(("PBS_", "FLUX_")) and re.match(_OF_OTHERS, name) is not None


def clean(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for a job and for a scheduler's commands: without anything of another job or of Slurm,
    except which cluster it is, and which Flux instance."""
    kept = without_identity(environ)
    return {
        name: value
        for name, value in kept.items()
        if name in _KEPT or not name.startswith(_SLURM) and not _is_of_others(name)
    }


def of_step(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for a step of this process's job: without what identifies this process in it, and without
    what srun would read as options."""
    kept = without_identity(environ) | {name: environ[name] for name in _ASKS_PBS if name in environ}
    return {name: value for name, value in kept.items() if not name.startswith(_SLURM) or re.fullmatch(_OF_JOB, name)}


def take(request: Request, environ: Mapping[str, str] = os.environ) -> tuple[Request, dict[str, str]]:
    """Take what ``--inherit`` names.

    Parameters
    ----------
    request : Request
        The request; its ``inherit`` has names, or patterns as in a shell.
    environ : mapping
        The environment; by default that of the process.

    Returns
    -------
    request : Request
        The request with the options for the variables, where these were not given.
    taken : dict of str to str
        The variables to inherit, with their values.

    Raises
    ------
    Refusal
        If a name is not set, or is not Slurm's.
    """
    known = sorted(name for name in environ if name.startswith(("SBATCH_", "SRUN_", "SLURM_")) and name not in _KEPT)
    asked: set[str] = set()
    for pattern in request.inherit:
        found = fnmatch.filter(known, pattern)
        if not found:
            raise Refusal(f"--inherit {pattern}: no such variable of Slurm is set here; {nearest(pattern, known)}")
        asked |= set(found)
    taken: dict[str, str] = {}
    for name, option in OPTIONS.items():
        if name in asked and getattr(request, option) is None:
            taken[name] = environ[name]
            request = dataclasses.replace(request, **{option: environ[name]})
    return request, taken | {name: environ[name] for name in sorted(asked - set(OPTIONS))}


def rows(taken: Mapping[str, str], backend: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return lines of the plan: what is taken from the environment, and what is left out.

    Parameters
    ----------
    taken : mapping
        The variables of Slurm that are taken.
    backend : str
        The run's backend. A run on this machine gets the whole environment, except what identifies this process in
        another job. A step also gets what describes its job.
    environ : mapping
        The environment; by default that of the process.
    """
    job = f"job {environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in environ else ""
    if backend == "local":
        identity = sorted(set(environ) - set(without_identity(environ)))
        of = f"who this process is in {job or 'another job'}"
        return {"left out": f"{', '.join(identity)}: {of}"} if identity else {}
    if backend == "pbs":
        return {"left out": "this shell's variables, of which PBS passes none: the job is a login shell"}
    if backend == "flux":
        others = sorted(name for name in environ if _is_of_others(name) or _is_identity(name))
        return {"left out": f"{', '.join(others)}: what describes another job"} if others else {}
    lines = {}
    if taken:
        lines["inherited"] = ", ".join(f"{name}={value}" for name, value in taken.items())
    slurms = {name for name in environ if name.startswith(("SBATCH_", "SRUN_", "SLURM_", "SLURMD_"))} - set(taken)
    changing = sorted(name for name in slurms if not re.match(_SET_ANEW, name) and not _is_identity(name))
    if backend == "allocation":
        changing = [name for name in changing if not re.match(_BY_SLURM, name)]
        return {"left out": f"{', '.join(changing)}: give an option, or --srun-arg"} if changing else {}
    if names := ", ".join(filter(None, [*changing, job and f"what describes {job}"])):
        lines["left out"] = f"{names}: give an option, or take a variable with --inherit NAME"
    return lines
