"""The script of a PBS job, and the qsub that submits it.

PBS reads options in a script only where it runs the script under a login shell, which the first signal ends together
with the job. So the script is given to bash itself, and all options stand in the command.
"""

import dataclasses
import re
import shlex
from collections.abc import Sequence

from launch.backends import starters
from launch.backends.script import of_pack, of_run, task
from launch.plan.plan import Plan
from launch.record.job import Job

_NAME_MOST = 180  # letters of the name before the token; PBS allows 230 in all

# Signals reach only the processes of the first node; the starter of the ranks passes them on.
TERM = """ranks=
trap 'asked=1; [ -z "$ranks" ] || kill "$ranks"' TERM"""
WARNED = """'[ -z "$ranks" ] || kill -s USR2 "$ranks"'"""


def script(job: Job) -> str:
    """Return the text of the job script; the first of the job's plans is that of the allocation."""
    plan, *runs = job.plans
    command = qsub(dataclasses.replace(job, token=""))
    if job.shape == "pack":
        a_run_s = max(each.time_s or 0 for each in runs)
        return of_pack(
            job,
            command,
            [],
            a_run_s,
            min(plan.signal_s, a_run_s // 2),
            enter=f"cd {shlex.quote(str(job.folder))} || exit 1",
            start=starters.of_pack(plan),
        )
    folder = job.holder if job.shape == "run" else job.folder
    enter = [f"cd {shlex.quote(str(folder))} || exit 1  # PBS starts it in the home directory"]
    if job.shape == "array":
        enter.append(task("${1:-${PBS_ARRAY_INDEX:-0}}"))
    return of_run(
        job,
        command,
        [],
        id="$PBS_JOBID",
        enter="\n".join(enter),
        term=TERM,
        warned=WARNED,
        start=starters.of_run(plan),
    )


def qsub(job: Job, again: bool = False) -> list[str]:
    """Return the command that submits the script; with ``again``, from within the job, for a single run without
    dependencies."""
    plan, *_ = job.plans
    kept, depend = _without_depend(plan.sbatch_args)
    waits = [("afterok", job.after), ("afterany", job.behind)]
    after = [] if again else [*depend, *(":".join([how, *ids]) for how, ids in waits if ids)]
    array = []
    if job.shape == "array" and len(job.runs) > 1 and not again:  # PBS has no array of one task
        array = ["-J", f"0-{len(job.runs) - 1}" + (f"%{job.throttle}" if job.throttle else "")]
    folder = job.holder if job.shape == "run" else job.folder
    log = "logs/^array_index^.log" if array else "logs/job.log"
    options = [("A" if plan.account_option == "A" else "P", plan.account), ("q", plan.partition)]
    rerun = "y" if plan.max_attempts > 1 or array else "n"  # PBS accepts an array only if it may rerun it
    directives = {"k": "doe", "j": "oe", "r": rerun, **plan.directives}
    return [
        "qsub",
        "-f",  # without the process that qsub leaves behind
        "-N",
        name(job),
        *[word for option, value in options if value for word in (f"-{option}", value)],
        *[word for value in _resources(plan) for word in ("-l", value)],
        *array,
        *[word for option, value in directives.items() for word in (f"-{option}", value) if word],
        "-o",
        str(folder / log),
        *kept,
        *(["-W", f"depend={','.join(after)}"] if after else []),
        "--",
        "/bin/bash",
        "-l",
        str(job.script),
    ]


def name(job: Job) -> str:
    """Return the name of the job, with its token, by which it can be found."""
    safe = re.sub(r"[^A-Za-z0-9._+-]", "-", job.plans[0].job_name if job.plans else job.name)[:_NAME_MOST]
    safe = safe if re.match(r"[A-Za-z]", safe) else f"r{safe}"
    return f"{safe}.{job.token}" if job.token else safe


def _resources(plan: Plan) -> list[str]:
    ranks, cores = plan.ranks_per_node, plan.cpus_per_task
    chunk = {
        "ncpus": str(ranks * (cores or 1)),
        "mpiprocs": str(ranks),
        "ompthreads": str(cores) if cores else "",  # else PBS sets OMP_NUM_THREADS to all cores of the node
        plan.gpu_resource: str(plan.gpus_per_node) if plan.gpus_per_node and plan.gpu_resource else "",
        **plan.chunk,
    }
    select = ":".join([str(plan.nodes), *(f"{key}={value}" for key, value in chunk.items() if value)])
    time = [f"walltime={plan.time_s // 3600}:{plan.time_s // 60 % 60:02}:{plan.time_s % 60:02}"] if plan.time_s else []
    return [
        f"select={select}",
        *([f"place={plan.place}"] if plan.place else []),
        *time,
        *(f"{key}={value}" for key, value in plan.resources.items()),
    ]


def _without_depend(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return words without ``-W depend=...``, of which PBS accepts only one, and the dependencies that these name."""
    kept: list[str] = []
    found: list[str] = []
    for word in words:
        match = re.fullmatch(r"-W ?depend=(.*)", word)
        if match:
            found.append(match[1])
        else:
            kept.append(word)
    return kept, found
