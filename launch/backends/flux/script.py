"""The script of a Flux batch job, and the command that submits it."""

import dataclasses
import re
import shlex

from launch.backends import starters
from launch.backends.pbs.script import TERM, WARNED
from launch.backends.script import of_pack, of_run, task
from launch.plan.plan import Plan
from launch.record.job import Job


def script(job: Job) -> str:
    """Return the text of the job script; the first of the job's plans is that of the allocation."""
    plan, *runs = job.plans
    command = batch(dataclasses.replace(job, token=""))
    log = "# Flux would begin its own file anew with each attempt.\nmkdir -p logs && exec >>logs/job.log 2>&1"
    if job.shape == "pack":
        a_run_s = max(each.time_s or 0 for each in runs)
        margin = min(plan.signal_s, a_run_s // 2)
        start = starters.of_pack(plan)
        return of_pack(job, command, _lines(plan), a_run_s, margin, enter=log, start=start)
    return of_run(
        job,
        command,
        _lines(plan),
        id='"${FLUX_ENCLOSING_ID:-}"',
        enter=task("${1:-0}") if job.shape == "array" else log,
        term=TERM,
        warned=WARNED,
        start=starters.of_run(plan),
    )


def batch(job: Job, again: bool = False) -> list[str]:
    """Return the command that submits the script; with ``again``, from within the job and without its dependencies."""
    plan, *_ = job.plans
    folder = job.holder if job.shape == "run" else job.folder
    return [
        "flux",
        "batch",
        f"--cwd={folder}",
        f"--job-name={name(job)}",
        f"--output={job.folder / 'flux.log'}",
        *plan.sbatch_args,
        *(f"--dependency=afterok:{id}" for id in job.after if not again),
        str(job.script),
    ]


def name(job: Job) -> str:
    """Return the name of the job, with its token, by which it can be found."""
    plain = job.plans[0].job_name if job.plans else job.name
    return f"{plain}.{job.token}" if job.token else plain


def _lines(plan: Plan) -> list[str]:
    """Return the options in the script. Without a number of cores or GPUs, nodes are asked for as a whole."""
    slots = starters.per_rank(plan)
    found = {
        "N": str(plan.nodes),
        "n": str(plan.size) if slots else None,
        "c": str(plan.cpus_per_task) if plan.cpus_per_task else None,
        "g": str(plan.gpus_per_rank) if plan.gpus_per_node else None,
        "t": f"{plan.time_s}s" if plan.time_s else None,  # without a unit these would be minutes
        "q": plan.partition,
        "B": plan.account,
        **plan.directives,
    }
    return [
        f"#flux: -{'-' * (len(option) > 1)}{option}"
        + (f"{'=' if len(option) > 1 else ' '}{_quoted(value)}" * bool(value))
        for option, value in found.items()
        if value is not None
    ]


def _quoted(value: str) -> str:
    return shlex.quote(value) if re.search(r"[\s#\"'\\]", value) else value
