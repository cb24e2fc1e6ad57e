"""The command that starts a rank: ``launch.node.worker``, by itself or in a container.

The launcher and the job script stay outside; only the ranks run in the image, which must contain Python and the
packages that they need.
"""

import os
import shlex
import shutil

from launch import own_command
from launch.errors import Refusal
from launch.plan.plan import Plan

_GPUS = {"CUDA_VISIBLE_DEVICES": "--nv", "ROCR_VISIBLE_DEVICES": "--rocm", "HIP_VISIBLE_DEVICES": "--rocm"}
_BY_SRUN = ("pyxis", "edf")  # parts of srun that start the ranks in the image themselves
# Podman's containers are not children of the process that starts them. A rank is told the id of that process, and
# leaves when the process has gone.
_CLIENT = ["sh", "-c", 'LAUNCH_CLIENT=$$ exec "$@"', "podman-hpc", "podman-hpc"]
# Podman passes on no variables of the host by itself: it gets all of them, except PATH and others that the image sets.
# The ranks of a node find each other by the network, memory and processes of the host.
_PODMAN = ["run", "--rm", "--env-host", "--network=host", "--ipc=host", "--pid=host"]


def words(plan: Plan) -> list[str]:
    """Return the words of the command, without the last one, which is the run directory."""
    if plan.container is None:
        return own_command(plan.python, "launch.node.worker")
    # Outside the container, PYTHONPATH has what environment modules put there, for another Python.
    inside = [
        "env",
        f"PYTHONPATH={os.pathsep.join(plan.pythonpath)}",
        *own_command(plan.container_python, "launch.node.worker"),
    ]
    if plan.container_runtime in _BY_SRUN:
        return inside
    # Any option of sbatch may ask for GPUs. If there are none after all, the runtime only warns.
    may_have_gpus = plan.gpus_per_node or plan.sbatch_args or plan.directives or plan.inherited
    gpus = [_GPUS[plan.gpu_variable]] if may_have_gpus and plan.gpu_variable in _GPUS else []
    if plan.container_runtime == "podman-hpc":
        gpus = ["--gpu"] if gpus == ["--nv"] else []
        seen = [f"--volume={path}:{path}" for path in plan.container_binds]
        return [*_CLIENT, *_PODMAN, *gpus, *seen, *plan.container_args, plan.container, *inside]
    seen = [f"--bind={path}" for path in plan.container_binds]
    return [str(plan.container_runtime), "exec", *gpus, *seen, *plan.container_args, plan.container, *inside]


def line(plan: Plan) -> str:
    """Return the whole command, for a job script that works in the run directory; an image may start in another folder.
    If an environment is staged, the script says where the interpreter is.
    """
    if plan.staged:
        return '"$python" "$start" launch.node.worker .'
    return f"{shlex.join(words(plan))} " + ("." if plan.container is None else '"$PWD"')


def srun_options(plan: Plan) -> list[str]:
    """Return the options with which srun itself starts the ranks in an image."""
    if plan.container is None or plan.container_runtime not in _BY_SRUN:
        return []
    if plan.container_runtime == "edf":  # the file says what is mounted
        return [f"--environment={plan.container}", *plan.container_args]
    mounts = ",".join(f"{path}:{path}" for path in plan.container_binds)
    return [f"--container-image={plan.container}", f"--container-mounts={mounts}", *plan.container_args]


def refuse_absent(plan: Plan) -> None:
    """Refuse an image that does not exist and, on this machine, a runtime that is not installed."""
    if plan.container is None:
        return
    if plan.container.startswith("/") and not os.path.exists(plan.container):
        raise Refusal(f"--container {plan.container}: there is no such file: give the path of an image, or its URI")
    if plan.backend != "local":
        return
    if plan.container_runtime in _BY_SRUN:
        raise Refusal(
            f"this site starts containers with {plan.container_runtime}, a part of srun: give --backend slurm"
        )
    if not shutil.which(str(plan.container_runtime)):
        raise Refusal(
            f"--container needs {plan.container_runtime}, which is not installed here: install it, or leave the "
            "option out"
        )
