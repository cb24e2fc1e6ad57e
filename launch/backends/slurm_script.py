"""The script of a Slurm job, from a plan and a template in jobs/. Whatever a user wrote is quoted in it."""

import dataclasses
import os
import re
import shlex
import string
from collections.abc import Sequence
from pathlib import Path

from launch import HOME, START, own_command
from launch.backends import rank_command
from launch.node.stop import AGAIN_HERE
from launch.plan.names import refuse_path
from launch.plan.plan import Plan, Staged
from launch.plan.slurm import inherited
from launch.plan.slurm.walltime import limit_text, minutes
from launch.record.job import Job

TEMPLATES = Path(HOME, "jobs")


class _Script(string.Template):
    delimiter = "@"


_RUN = "# Paths are relative to the run directory, in which sbatch --chdir starts this script."
_TASK = """# A task of the array is a run of the study; from here on paths are relative to its directory.
cd "$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" runs.txt)" && mkdir -p logs || exit 1
exec >>logs/job.log 2>&1"""

_FAILED = _Script("""# failed STATUS DEPTH LINE: ends the job when one of the next lines fails; those of a file that it sources may.
failed() {
    [ "$2" -le 1 ] || return 0
    echo "launch: a line of the site file failed (exit status $1): $(sed -n "$3p" "$0")" >&2
    @{note}exit 1
}
trap 'failed "$?" "${#BASH_SOURCE[*]}" "$LINENO"' ERR""")  # noqa: E501


_AGAIN = _Script("""# At the time limit another start is asked for at once: Slurm leaves this script no more time than its ranks.
again() { @attempt again .; }
trap 'asked=1; trap "" TERM; again' TERM""")  # noqa: E501


def script(job: Job) -> str:
    """The text of the job script; the first of the job's plans is that of the allocation."""
    plan, *_ = job.plans
    attempt = shlex.join(own_command(plan.python, "launch.node.attempt"))
    if job.shape == "pack":
        return _pack(job, plan, attempt)
    tasks_of_array = f"0-{len(job.runs) - 1}" + (f"%{job.throttle}" if job.throttle else "")
    return _filled(
        "slurm_spare.sh" if plan.spare_nodes else "slurm.sh",
        job,
        {"array": tasks_of_array, "output": "logs/%a.log"} if job.shape == "array" else {},
        enter=_TASK if job.shape == "array" else _RUN,
        term=_AGAIN.substitute(attempt=attempt) if plan.max_attempts > 1 else "trap 'asked=1' TERM",
        # The modules may be what fails, so these lines record the failure without the environment.
        environment=environment(plan, f"{attempt} begin . {job.number} && {attempt} end . 1\n    "),
        begin=f"{attempt} begin . {job.number}",
        srun=shlex.join([f"--nodes={plan.nodes}", f"--ntasks={plan.size}", *tasks(plan)]),
        worker=rank_command.line(plan),
        end=f"{attempt} end .",
        again_here=str(AGAIN_HERE),
    )


def _pack(job: Job, plan: Plan, attempt: str) -> str:
    """The script of a job that makes its runs one after the other."""
    runs = list(zip(job.runs, job.plans[1:]))
    a_run = minutes(max(each.time_s or 0 for _, each in runs))
    margin = min(plan.signal_s, 60 * a_run // 2)
    cutoff = shlex.join(own_command(plan.python, "launch.submit.cutoff"))
    cut = f"if {cutoff} .; then lacking=$((lacking - 1)); return; fi"
    return _filled(
        "slurm_pack.sh",
        job,
        {},
        environment=environment(plan),
        latest=str((plan.time_s or 0) - margin),
        begin="\n        ".join(
            ([cut] if plan.stop_below is not None else [])
            + [f"{attempt} begin . {job.number} || {{ [ -e result.json ] && lacking=$((lacking - 1)); return; }}"]
        ),
        longest=str(60 * a_run - (margin if plan.handles_warning else 0)),
        # As Slurm does for a job: warn the run before its time is over, and end it then.
        warn='timeout --preserve-status --signal=USR2 "$longest" \\\n           ' if plan.handles_warning else "",
        srun=shlex.join([f"--time={a_run}", *tasks(plan)]),
        worker=rank_command.line(plan),
        end=f"{attempt} end .",
        runs="\n".join(f"run {shlex.quote(f'../../{name}')} {each.nodes} {each.size}" for name, each in runs),
    )


def _filled(template: str, job: Job, more: dict[str, str], **places: str) -> str:
    """A template of jobs/ with its placeholders filled; ``more`` are options of sbatch in addition to those of the
    plan."""
    refuse_path(job.holder)  # the folder may have been moved since it was planned
    return _Script((TEMPLATES / template).read_text()).substitute(
        # Without the token: a dry run shows the same script, and submitting it by hand starts a separate job.
        command=shlex.join(sbatch(dataclasses.replace(job, token=""))).replace("\n", " "),
        directives="\n".join(
            f"#SBATCH --{name}={_quoted(value)}" if value else f"#SBATCH --{name}"
            for name, value in (directives(job.plans[0]) | more).items()
        ),
        **places,
    )


def directives(plan: Plan) -> dict[str, str]:
    """The options of sbatch in the script."""
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
    """The options of srun for any number of nodes. They repeat those options of sbatch that srun does not inherit."""
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
    """The command that submits the script, with the variables that it inherits; the script is the last word."""
    plan, *_ = job.plans
    taken = [f"{name}={value}" for name, value in plan.inherited.items() if name not in inherited.OPTIONS]
    kept, given = _without(plan.sbatch_args, "--comment", "--dependency")
    comment = (
        [*given["--comment"][-1:], job.token] if given["--comment"] else [plan.directives.get("comment"), job.token]
    )
    comment = " ".join(filter(None, comment))
    after = [*given["--dependency"], *([f"afterok:{':'.join(job.after)}"] if job.after else [])]
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
    """Words without some options, and the values of these options, given after an = or as the next word."""
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
    """A value quoted for a line of #SBATCH, where a space ends a value, a # begins a comment, and quotes work as in a
    shell."""
    return shlex.quote(value) if re.search(r"[\s#\"'\\]", value) else value


def environment(plan: Plan, note: str = "") -> str:
    """The lines that set up the environment of the ranks. If one fails, the lines ``note`` run and the job ends."""
    lines = [*([f"module load {shlex.join(plan.modules)}"] if plan.modules else []), *plan.setup]
    if lines:
        lines = [_FAILED.substitute(note=note), *lines, "trap - ERR"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in plan.env.items()]
    if plan.pythonpath:
        lines.append(f"export PYTHONPATH={shlex.quote(os.pathsep.join(plan.pythonpath))}${{PYTHONPATH:+:$PYTHONPATH}}")
    lines.append("export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}")
    if plan.staged:
        lines.append(_stage(plan, plan.staged))
    return "\n".join(lines)


def _stage(plan: Plan, staged: Staged) -> str:
    """The lines that copy Python's environment to a disk of each node."""
    disks = ['"${SLURM_TMPDIR:-}"', '"${TMPDIR:-}"', "/tmp"]
    return _Script((TEMPLATES / "stage_env.sh").read_text()).substitute(
        python=shlex.quote(plan.python),
        start=shlex.quote(START),
        archive=shlex.quote(staged["archive"]),
        kib=staged["kib"],
        packed_python=shlex.quote(staged["python"]),
        packed_start=f"start=$staged/{shlex.quote(staged['start'])}" if staged["start"] else "",
        disks=" ".join([shlex.quote(plan.node_disk)] if plan.node_disk else disks),
    )
