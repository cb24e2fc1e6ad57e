"""Slurm's variables in the launcher's own environment: of an allocation it was started in, or a habit of the user.

They would add options that nobody sees to a job of our own, so none is handed on; the plan names them, and ``--inherit``
takes those that are asked for.
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
"""Variables that say what an option says. Taken, they become that option, unless it is given; the first wins."""

# Who a process is in another job, and what Slurm's commands read beside their options.
_FOREIGN = re.compile(
    r"(SLURMD?|SBATCH|SRUN|SQUEUE|SINFO|SCANCEL|SCONTROL|PMI|PMIX|PRTE|LAUNCH)_|"
    r"OMPI_(COMM|UNIVERSE)_|HOROVOD_(RANK|SIZE|LOCAL|CROSS)"
)
_KEPT = {"SLURM_CONF", "SLURM_JWT"}
# What Slurm sets anew in every job says nothing of the next one.
_SET_ANEW = re.compile(
    r"SLURMD_|SLURM_(CONF$|JWT$|SUBMIT_|JOB_|JOBID|STEP|NNODES|NODELIST|NODE_ALIASES|NODEID|NTASKS$|NPROCS|TASKS_PER_NODE|PROCID|"
    r"LOCALID|GTIDS|TOPOLOGY|PRIO_PROCESS|WORKING_CLUSTER|CLUSTER_NAME|CPUS_ON_NODE|GPUS_ON_NODE|TASK_PID|SRUN_COMM|"
    r"LAUNCH_NODE|UMASK|ARRAY_|RESTART_COUNT|SCRIPT_CONTEXT)"
)


def clean(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment without what another job or a habit has left in it; which cluster it is stays known."""
    return {name: value for name, value in environ.items() if name in _KEPT or not _FOREIGN.match(name)}


def take(request: Request, environ: Mapping[str, str] = os.environ) -> tuple[Request, dict[str, str]]:
    """Take what ``--inherit`` names.

    Parameters
    ----------
    request : Request
        Its ``inherit`` has names, or patterns of names as a shell has them.
    environ : mapping
        The environment; by default that of the process.

    Returns
    -------
    request : Request
        With the options that the variables stand for, where they were not given.
    taken : dict of str to str
        The variables that count, with their values.

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


def told(taken: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Lines of the plan: what is taken of the environment, and what would change a job and is left out."""
    rows = {}
    if taken:
        rows["inherited"] = ", ".join(f"{name}={value}" for name, value in taken.items())
    slurms = {name for name in environ if name.startswith(("SBATCH_", "SRUN_", "SLURM_", "SLURMD_"))} - set(taken)
    changing = sorted(name for name in slurms if not _SET_ANEW.match(name))
    if not changing and "SLURM_JOB_ID" not in environ:
        return rows
    job = f"what describes job {environ['SLURM_JOB_ID']}, in which this runs" if "SLURM_JOB_ID" in environ else ""
    names = ", ".join(filter(None, [*changing, job]))
    rows["left out"] = f"{names}: give an option, or take a variable with --inherit NAME"
    return rows
