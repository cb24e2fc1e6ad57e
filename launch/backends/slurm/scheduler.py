"""Slurm: jobs by sbatch through submitit, their states by squeue, their end by scancel."""

import importlib.util
import shlex
import shutil
import sys
from collections.abc import Sequence

from launch import errors
from launch.backends import cancelling, rank_command, submission
from launch.backends.commands import command
from launch.backends.scheduler import ENDED, Answer, Limits, Part, Status, about
from launch.backends.script import allocated, write
from launch.backends.slurm import queue, script
from launch.backends.slurm.submission import QUEUE
from launch.plan.plan import Plan
from launch.record.job import Job

_CLEANING = "COMPLETING"


class Slurm:
    """The scheduler of most supercomputers; see `launch.backends.scheduler.Scheduler`."""

    name = "slurm"
    remote = True
    poll_s = 2.0

    def check(self, plan: Plan) -> None:
        """Refuse what we could not follow and, if there is a Slurm to ask, what it cannot run."""
        queue.refuse_unfollowable(plan)
        if shutil.which("sbatch"):
            queue.check_partition_limits(plan)
            rank_command.refuse_absent(plan)
            if importlib.util.find_spec("submitit") is None:
                raise errors.Refusal(f"submitit is not installed for {sys.executable}: see {errors.command('doctor')}")

    def script(self, job: Job) -> str:
        """Return the command and the script exactly as submitted."""
        job = allocated(job)
        return f"{shlex.join(script.sbatch(job))}\n\n{script.script(job)}"

    def submit(self, job: Job) -> str:
        """Give Slurm the script of a job, with patience while it is silent; return the job's number."""
        job = allocated(job)
        write(job, script.script(job))
        return submission.submit(job, QUEUE)

    def attach(self, job: Job) -> str | None:
        """Return the number of the job that has the token in its comment."""
        return submission.attach(job, QUEUE)

    def cluster(self, job: Job) -> str:
        """Return the name and the controller of this cluster."""
        return queue.cluster()

    def poll(self, jobs: Sequence[Job], shared: bool = False) -> Answer:
        """Return what squeue reports about jobs that are in the queue or left it a few minutes ago."""
        numbers = sorted({job.id for job in jobs if job.id})
        return about(jobs, queue.ask_shared() if shared else queue.ask(numbers))

    def cancel(self, parts: Sequence[Part], save_first: bool) -> Sequence[Part]:
        """End jobs and tasks of arrays, and wait for them to leave the queue; return those that Slurm may still run."""
        return cancelling.cancel(parts, save_first, _ENDING)

    def limits(self, plan: Plan) -> Limits:
        """Return MaxArraySize of this Slurm, and the partition's limit from the site file."""
        return Limits(queue.largest_array(), plan.max_jobs)


SCHEDULER = Slurm()


def _ids(part: Part) -> list[str]:
    job, run = part
    return [job.handle(run) if run else str(job.id)]


def _ask(handles: Sequence[str]) -> Answer:
    """Return the status of each handle; for an array, that of the task that is furthest from its end."""
    answer = queue.ask(sorted({handle.partition("_")[0] for handle in handles}))
    found: dict[str, Status] = {}
    for task, status in answer.statuses.items():
        for handle in {task, task.partition("_")[0]} & {*handles} if status.phase != ENDED else ():
            if handle not in found or found[handle].word == _CLEANING:
                found[handle] = status
    return Answer(found, answer.silence)


def _warn(handles: Sequence[str]) -> bool:
    for handle in handles:  # else its script would requeue a job whose ranks have saved
        command(["scontrol", "update", f"jobid={handle}", "requeue=0"])
    command(["scancel", "--state=PENDING", *handles])
    return command(["scancel", "--signal=USR2", *handles]) is not None


_ENDING = cancelling.Ending("Slurm", _ids, _ask, _warn, lambda handles: command(["scancel", *handles]), _CLEANING)
