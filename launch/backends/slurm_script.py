"""The script of a Slurm job, from a plan and the template in jobs/. Nothing a user wrote stands in it but quoted."""

import os
import re
import shlex
import string

from launch import HOME
from launch.backends import rank_command
from launch.plan import inherited
from launch.plan.plan import Plan, refuse_path
from launch.plan.walltime import limit
from launch.record.rundir import RunDir

TEMPLATES = HOME / "jobs"


class _Script(string.Template):
    delimiter = "@"


_RUN = "# Paths are relative to the run directory, in which sbatch --chdir starts this script."
_TASK = """# A task of the array is a run of the study; from here on paths are relative to its directory.
cd "$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" runs.txt)" && mkdir -p logs || exit 1
exec >>logs/job.log 2>&1"""

_FAILED = _Script("""failed() { # failed STATUS DEPTH LINE: what is done when one of the next lines fails, not one of a file that they source
    [ "$2" -le 1 ] || return 0
    echo "launch: a line of the site file failed (exit status $1): $(sed -n "$3p" "$0")" >&2
    @{note}exit 1
}
trap 'failed "$?" "${#BASH_SOURCE[*]}" "$LINENO"' ERR""")


def script(run: RunDir, plan: Plan, array: str = "") -> str:
    """The text of the job script.

    Parameters
    ----------
    run : RunDir
        Of the run; of an array, the folder with its list of runs, runs.txt.
    plan : Plan
        Of the run, or of any of an array, which have the same shape.
    array : str
        The tasks of an array as sbatch writes them, ``0-9%4``.
    """
    python = shlex.quote(plan.python)
    return filled(
        "slurm.sh",
        run,
        plan,
        {"array": array, "output": "logs/%a.log"} if array else {},
        enter=_TASK if array else _RUN,
        # The modules may be what is wrong, so this cannot wait for the environment.
        environment=environment(plan, f"{_attempt(plan)} begin . && {_attempt(plan)} end . 1\n    "),
        begin=f"{python} -m launch.node.attempt begin .",
        srun=shlex.join(srun(plan)),
        worker=rank_command.line(plan),
        end=f"{python} -m launch.node.attempt end .",
    )


def filled(template: str, run: RunDir, plan: Plan, more: dict[str, str], **places: str) -> str:
    """A template of jobs/ with its places filled; ``more`` are options of sbatch beside those of the plan."""
    refuse_path(run.path)  # which may have been moved since it was planned
    return _Script((TEMPLATES / template).read_text()).substitute(
        command=shlex.join(sbatch(run, plan)).replace("\n", " "),
        directives="\n".join(
            f"#SBATCH --{name}={_quoted(value)}" if value else f"#SBATCH --{name}"
            for name, value in (directives(plan) | more).items()
        ),
        **places,
    )


def directives(plan: Plan) -> dict[str, str]:
    """The options of sbatch that stand in the script."""
    found = {
        "job-name": re.sub(r"[^A-Za-z0-9._+-]", "-", plan.job_name),
        "nodes": str(plan.nodes),
        "ntasks-per-node": str(plan.ranks_per_node),
        "cpus-per-task": plan.cpus_per_task,
        **_gpus(plan),
        "time": None if plan.time_s is None else limit(plan.time_s),
        "partition": plan.partition,
        "account": plan.account,
        "qos": plan.qos,
        "constraint": plan.constraint,
        "signal": plan.warning_s and f"USR2@{plan.warning_s}",  # to the ranks only
        "output": "logs/job.log",
        "open-mode": "append",
        "requeue" if plan.max_attempts > 1 else "no-requeue": "",
        **plan.directives,
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def srun(plan: Plan) -> list[str]:
    """The options of srun for the ranks of a run."""
    return [f"--nodes={plan.nodes}", f"--ntasks={plan.size}", *tasks(plan)]


def tasks(plan: Plan) -> list[str]:
    """The options of srun whatever the number of nodes. Those of sbatch are said again where srun does not take them over."""
    cores = [f"--cpus-per-task={plan.cpus_per_task}"] if plan.cpus_per_task else []
    mpi = ["--mpi=none"] if plan.rendezvous == "gloo" else [f"--mpi={plan.mpi}"] if plan.mpi else []
    one_each = ["--gpus-per-task=1"] if plan.gpus_per_node and plan.gpu_binding == "slurm" else []
    return [
        f"--ntasks-per-node={plan.ranks_per_node}",
        *cores,
        *mpi,
        *one_each,
        "--export=ALL",  # also where the job was submitted with NONE, which would hold for what the script sets too
        "--kill-on-bad-exit=1",
        "--wait=0",  # the first rank to leave leaves the others the time that they need, whatever the site's WaitTime
        "--label",
        "--output=logs/node%n.log",
        "--open-mode=append",
        *rank_command.srun_options(plan),
        *plan.srun_args,
    ]


def sbatch(run: RunDir, plan: Plan, *more: str) -> list[str]:
    """The command that hands the script in, with the variables that it inherits."""
    taken = [f"{name}={value}" for name, value in plan.inherited.items() if name not in inherited.OPTIONS]
    return [
        *(["env", *taken] if taken else []),
        "sbatch",
        f"--chdir={run.path}",
        *plan.sbatch_args,
        *more,
        str(run.script),
    ]


def _gpus(plan: Plan) -> dict[str, str]:
    if not plan.gpus_per_node:
        return {}
    kind = f"{plan.gpu_type}:" if plan.gpu_type else ""
    return {
        "gpus-per-node": {"gpus-per-node": f"{kind}{plan.gpus_per_node}"},
        "gpus-per-task": {"gpus-per-task": f"{kind}1"},
        "gres": {"gres": f"gpu:{kind}{plan.gpus_per_node}"},
        "none": {},
    }[plan.gpu_request]


def _quoted(value: str) -> str:
    """A value in a line of #SBATCH, where a space ends it, a # begins a comment, and quotes work as in a shell."""
    return shlex.quote(value) if re.search(r"[\s#\"'\\]", value) else value


def environment(plan: Plan, note: str = "") -> str:
    """The lines that make the environment of the ranks; one that fails ends the job, after the lines ``note``."""
    lines = [*([f"module load {shlex.join(plan.modules)}"] if plan.modules else []), *plan.setup]
    if lines:
        lines = [_FAILED.substitute(note=note), *lines, "trap - ERR"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in plan.env.items()]
    lines.append(
        f"export PYTHONPATH={_paths(plan)}${{PYTHONPATH:+:$PYTHONPATH}} TF_CPP_MIN_LOG_LEVEL=${{TF_CPP_MIN_LOG_LEVEL:-2}}"
    )
    return "\n".join(lines)


def _attempt(plan: Plan) -> str:
    return f"PYTHONPATH={_paths(plan)} {shlex.quote(plan.python)} -m launch.node.attempt"


def _paths(plan: Plan) -> str:
    return shlex.quote(os.pathsep.join(plan.pythonpath))
