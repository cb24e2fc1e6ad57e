"""The script of a Slurm job, from a plan and a template in jobs/. Everything that the user wrote is quoted in it."""

import dataclasses
import re
import shlex
from collections.abc import Sequence

from launch import own_command
from launch.backends import rank_command
from launch.backends.script import Script, of_pack, of_run, task
from launch.node.stop import AGAIN_HERE
from launch.plan import inherited
from launch.plan.plan import Plan
from launch.plan.walltime import limit_text, minutes
from launch.record.job import Job

_RUN = "# Paths are relative to the run directory, in which sbatch --chdir starts this script."
_PACK = "# Paths are relative to the folder in which sbatch --chdir starts this script."

_AGAIN = Script("""# At the time limit another start is asked for at once: Slurm leaves this script no more time than its ranks.
again() { @attempt again .; }
trap 'asked=1; trap "" TERM; again' TERM""")  # noqa: E501


def script(job: Job) -> str:
    """Return the text of the job script; the first of the job's plans is that of the allocation."""
    plan, *runs = job.plans
    # Without the token: a dry run shows the same script, and submitting it by hand starts a separate job.
    command = sbatch(dataclasses.replace(job, token=""))
    if job.shape == "pack":
        a_run = minutes(max(each.time_s or 0 for each in runs))
        # As Slurm does for a job: warn the run before its time is over, and end it then.
        warn = 'timeout --preserve-status --signal=USR2 "$longest" \\\n           '
        srun = shlex.join([f"--time={a_run}", *tasks(plan)])
        return of_pack(
            job,
            command,
            _lines(plan, {}),
            60 * a_run,
            min(plan.signal_s, 60 * a_run // 2),
            enter=_PACK,
            start=warn * plan.handles_warning + f'srun --nodes="$2" --ntasks="$3" {srun}',
        )
    tasks_of_array = f"0-{len(job.runs) - 1}" + (f"%{job.throttle}" if job.throttle else "")
    srun = shlex.join([f"--nodes={plan.nodes}", f"--ntasks={plan.size}", *tasks(plan)])
    return of_run(
        job,
        command,
        _lines(plan, {"array": tasks_of_array, "output": "logs/%a.log"} if job.shape == "array" else {}),
        "slurm_spare.sh" if plan.spare_nodes else "job.sh",
        id="$SLURM_JOB_ID",
        enter=task("SLURM_ARRAY_TASK_ID") if job.shape == "array" else _RUN,
        term=_AGAIN.substitute(attempt=shlex.join(own_command(plan.python, "launch.node.attempt")))
        if plan.max_attempts > 1
        else "trap 'asked=1' TERM",
        warned=":",
        start=f"srun {srun}",
        again_here=str(AGAIN_HERE),
    )


def _lines(plan: Plan, more: dict[str, str]) -> list[str]:
    """Return the #SBATCH lines; ``more`` are options in addition to those of the plan."""
    return [
        f"#SBATCH --{name}={_quoted(value)}" if value else f"#SBATCH --{name}"
        for name, value in (directives(plan) | more).items()
    ]


def directives(plan: Plan) -> dict[str, str]:
    """Return the options of sbatch in the script."""
    found = {
        "job-name": re.sub(r"[^A-Za-z0-9._+-]", "-", plan.job_name),
        "nodes": str(plan.allocated_nodes),
        "no-kill": "" if plan.spare_nodes else None,
        "ntasks-per-node": str(plan.ranks_per_node),
        "cpus-per-task": plan.cpus_per_task,
        **_gpus(plan),
        "time": None if plan.time_s is None else limit_text(plan.time_s),
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


def tasks(plan: Plan) -> list[str]:
    """Return the options of srun for any number of nodes. They repeat those options of sbatch that srun does not
    inherit."""
    cores = [f"--cpus-per-task={plan.cpus_per_task}"] if plan.cpus_per_task else []
    mpi = ["--mpi=none"] if plan.rendezvous == "gloo" else [f"--mpi={plan.mpi}"] if plan.mpi else []
    own = [f"--gpus-per-task={plan.gpus_per_rank}"] if plan.gpu_binding == "slurm" and plan.gpus_per_node else []
    return [
        f"--ntasks-per-node={plan.ranks_per_node}",
        *cores,
        *mpi,
        *own,
        "--export=ALL",  # also if the job was submitted with NONE, which would drop what the script sets
        "--kill-on-bad-exit=1",
        "--wait=0",  # after the first rank the others get all the time they need, whatever the site's WaitTime
        "--label",
        "--output=logs/node%n.log",
        "--open-mode=append",
        *rank_command.srun_options(plan),
        *plan.srun_args,
    ]


def sbatch(job: Job) -> list[str]:
    """Return the command that submits the script, with the variables that it inherits; the script is the last word."""
    plan, *_ = job.plans
    taken = [f"{name}={value}" for name, value in plan.inherited.items() if name not in inherited.OPTIONS]
    kept, given = _without(plan.sbatch_args, "--comment", "--dependency")
    comment = (
        [*given["--comment"][-1:], job.token] if given["--comment"] else [plan.directives.get("comment"), job.token]
    )
    comment = " ".join(filter(None, comment))
    waits = [("afterok", job.after), ("afterany", job.behind)]
    after = [*given["--dependency"], *(":".join([how, *ids]) for how, ids in waits if ids)]
    return [
        *(["env", *taken] if taken else []),
        "sbatch",
        f"--chdir={job.holder if job.shape == 'run' else job.folder}",
        *kept,
        *([f"--dependency={','.join(after)}"] if after else []),
        *(["--kill-on-invalid-dep=yes"] if job.after else []),
        *([f"--comment={comment}"] if comment else []),
        str(job.script),
    ]


def _without(words: Sequence[str], *options: str) -> tuple[list[str], dict[str, list[str]]]:
    """Return words without some options, and the values of these options, given after an = or as the next word."""
    kept: list[str] = []
    values: dict[str, list[str]] = {option: [] for option in options}
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if option in values:
            values[option].append(value if equals else next(rest, ""))
        else:
            kept.append(word)
    return kept, values


def _gpus(plan: Plan) -> dict[str, str]:
    if not plan.gpus_per_node:
        return {}
    kind = f"{plan.gpu_type}:" if plan.gpu_type else ""
    return {
        "gpus-per-node": {"gpus-per-node": f"{kind}{plan.gpus_per_node}"},
        "gpus-per-task": {"gpus-per-task": f"{kind}{plan.gpus_per_rank}"},
        "gres": {"gres": f"gpu:{kind}{plan.gpus_per_node}"},
        "none": {},
    }[plan.gpu_request]


def _quoted(value: str) -> str:
    """Return a value quoted for a line of #SBATCH, where a space ends a value, a # begins a comment, and quotes work as
    in a shell."""
    return shlex.quote(value) if re.search(r"[\s#\"'\\]", value) else value
