"""What the job scripts of all schedulers have in common. Each is made from a plan and a template in jobs/, with
everything that the user wrote quoted."""

import dataclasses
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from launch import HOME, START, own_command
from launch.backends import rank_command
from launch.plan.names import refuse_path
from launch.plan.packing import allocation
from launch.plan.plan import Plan, Staged
from launch.record.job import Job
from launch.record.writing import publish

TEMPLATES = Path(HOME, "jobs")


class Script(NamedTuple):
    """Lines of a script with placeholders, such as ``@worker`` or ``@{worker}``; ``@@`` stands for one @."""

    text: str

    def substitute(self, **places: object) -> str:
        """Return the lines with the placeholders replaced by these values."""
        placeholder = r"@(?:@|(\w+)|\{(\w+)\})"
        return re.sub(placeholder, lambda at: "@" if at[0] == "@@" else str(places[at[1] or at[2]]), self.text)


_FAILED = Script("""# failed STATUS DEPTH LINE: ends the job when one of the next lines fails, or would end this shell;
# those of a file that it sources may fail.
site_file=$PWD
failed() {
    if [ "$2" -gt 1 ] || [ -z "$site_file" ]; then return 0; fi
    cd "$site_file" || exit 1
    site_file=
    echo "launch: a line of the site file failed (exit status $1): $3" >&2
    @{note}exit 1
}
trap 'failed "$?" "${#BASH_SOURCE[*]}" "$(sed -n "${LINENO}p" "$0")"' ERR
trap 'failed "$?" 0 "it has ended this shell"' EXIT""")
_AFTERWARDS = """set +eu
trap - ERR
cd "$site_file" || exit 1
site_file="""

_TASK = Script("""# A task of the array is a run of the study; from here on paths are relative to its directory.
cd "$(sed -n "$((@index + 1))p" runs.txt)" && mkdir -p logs || exit 1
exec >>logs/job.log 2>&1""")


def task(index: str) -> str:
    """Return the lines with which a task of an array goes to its run; ``index`` is the shell's word for its number."""
    return _TASK.substitute(index=index)


def of_run(job: Job, command: Sequence[str], directives: Sequence[str], template: str = "job.sh", **places: str) -> str:
    """Return the script of a job for one run, or for each task of an array: begin the attempt, start the ranks, end it.

    Parameters
    ----------
    job : Job
        The job; the first of its plans is that of the allocation.
    command : sequence of str
        Command that submits the job.
    directives : sequence of str
        The lines in which the script says what it asks of the scheduler.
    template : str
        Name of the template in jobs/.
    places : str
        Text that differs between schedulers: the ``id`` of the job, and the shell code to ``enter`` its folder, to
        ``start`` the ranks, and to react when the job is asked to end (``term``) or the ranks to leave (``warned``).
    """
    plan, *_ = job.plans
    attempt = _attempt(plan)
    return _filled(
        template,
        job,
        command,
        directives,
        # The modules may be what fails, so these lines record the failure without the environment.
        environment=environment(plan, f"{attempt} begin . {job.number} && {attempt} end . 1\n    "),
        begin=f"{attempt} begin . {job.number}",
        worker=rank_command.line(plan),
        end=f"{attempt} end .",
        **places,
    )


def of_pack(
    job: Job, command: Sequence[str], directives: Sequence[str], a_run_s: int, margin: int, **places: str
) -> str:
    """Return the script of a job that makes its runs one after the other.

    Parameters
    ----------
    job, command, directives, places
        As for `of_run`.
    a_run_s : int
        Seconds after which a run is ended.
    margin : int
        Seconds before that at which the run is asked to leave; no run begins so shortly before the end of the job.
    """
    plan, *runs = job.plans
    attempt = _attempt(plan)
    cutoff = shlex.join(own_command(plan.python, "launch.submit.cutoff"))
    cut = f"if {cutoff} .; then lacking=$((lacking - 1)); return; fi"
    return _filled(
        "pack.sh",
        job,
        command,
        directives,
        environment=environment(plan),
        latest=str((plan.time_s or 0) - margin),
        begin="\n        ".join(
            ([cut] if plan.stop_below is not None else [])
            + [f"{attempt} begin . {job.number} || {{ [ -e result.json ] && lacking=$((lacking - 1)); return; }}"]
        ),
        longest=str(a_run_s - (margin if plan.handles_warning else 0)),
        worker=rank_command.line(plan),
        end=f"{attempt} end .",
        runs="\n".join(
            f"run {shlex.quote(f'../../{name}')} {each.nodes} {each.size}" for name, each in zip(job.runs, runs)
        ),
        **places,
    )


def allocated(job: Job) -> Job:
    """Return the job, with the plan of its allocation first, under the name of the whole job."""
    plan = allocation(job.name, job.plans) if job.shape == "pack" else job.plans[0]
    return dataclasses.replace(job, plans=[dataclasses.replace(plan, job_name=job.name), *job.plans])


def write(job: Job, text: str) -> None:
    """Write the script of a job into its folder and, for an array, the runs of its tasks, one per line."""
    if job.shape == "array":
        publish(job.folder / "runs.txt", "".join(f"../../{run}\n" for run in job.runs))
    publish(job.script, text, mode=0o600)


def _attempt(plan: Plan) -> str:
    return shlex.join(own_command(plan.python, "launch.node.attempt"))


def _filled(template: str, job: Job, command: Sequence[str], directives: Sequence[str], **places: str) -> str:
    refuse_path(job.holder)  # the folder may have been moved since it was planned
    return Script((TEMPLATES / template).read_text()).substitute(
        command=shlex.join(command).replace("\n", " "), directives="\n".join(directives), **places
    )


def environment(plan: Plan, note: str = "") -> str:
    """Return the lines that set up the environment of the ranks. If one fails, the lines ``note`` run and the job
    ends."""
    lines = [*([f"module load {shlex.join(plan.modules)}"] if plan.modules else []), *plan.setup]
    if lines:
        lines = [_FAILED.substitute(note=note), *lines, _AFTERWARDS]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in plan.env.items()]
    if plan.pythonpath:
        lines.append(f"export PYTHONPATH={shlex.quote(os.pathsep.join(plan.pythonpath))}${{PYTHONPATH:+:$PYTHONPATH}}")
    lines.append("export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}")
    if plan.staged:
        lines.append(_stage(plan, plan.staged))
    return "\n".join(lines)


def _stage(plan: Plan, staged: Staged) -> str:
    """Return the lines that copy Python's environment to a disk of each node."""
    disks = ['"${SLURM_TMPDIR:-}"', '"${TMPDIR:-}"', "/tmp"]
    return Script((TEMPLATES / "stage_env.sh").read_text()).substitute(
        python=shlex.quote(plan.python),
        start=shlex.quote(START),
        archive=shlex.quote(staged["archive"]),
        kib=staged["kib"],
        packed_python=shlex.quote(staged["python"]),
        packed_start=f"start=$staged/{shlex.quote(staged['start'])}" if staged["start"] else "",
        disks=" ".join([shlex.quote(plan.node_disk)] if plan.node_disk else disks),
    )
