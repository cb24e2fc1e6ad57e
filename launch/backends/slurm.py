"""Slurm: jobs by sbatch through submitit, their states by squeue, their end by scancel."""

import contextlib
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence

from launch.backends import rank_command, slurm_queue, slurm_script
from launch.backends.scheduler import ENDED, Answer, Limits, Part
from launch.backends.script import allocated, write
from launch.errors import Refusal
from launch.plan.plan import Plan
from launch.record.job import Job

_GRACE_S = 30.0  # for ranks that were asked to save and leave
_LEAVING_S = 60.0  # for ended jobs to leave the queue


class Slurm:
    """The scheduler of most supercomputers; see `launch.backends.scheduler.Scheduler`."""

    name = "slurm"
    remote = True
    poll_s = 2.0

    def check(self, plan: Plan) -> None:
        """Refuse what we could not follow and, if there is a Slurm to ask, what it cannot run."""
        slurm_queue.refuse_unfollowable(plan)
        if shutil.which("sbatch"):
            slurm_queue.check_partition_limits(plan)
            rank_command.refuse_absent(plan)

    def script(self, job: Job) -> str:
        """The command and the script exactly as submitted."""
        job = allocated(job)
        return f"{shlex.join(slurm_script.sbatch(job))}\n\n{slurm_script.script(job)}"

    def submit(self, job: Job) -> str:
        """Give Slurm the script of a job, with patience while it is silent; return the job's number."""
        from launch.backends import slurm_submission  # imported late: a dry run does not need it

        job = allocated(job)
        write(job, slurm_script.script(job))
        return slurm_submission.submit(job)

    def attach(self, job: Job) -> str | None:
        """The number of the job that has the token in its comment."""
        from launch.backends import slurm_submission

        return slurm_submission.attach(job)

    def poll(self, jobs: Sequence[Job], shared: bool = False) -> Answer:
        """What squeue reports of jobs that are in the queue or left it a few minutes ago."""
        numbers = sorted({job.id for job in jobs if job.id})
        return slurm_queue.ask_shared() if shared else slurm_queue.ask(numbers)

    def cancel(self, parts: Sequence[Part], save_first: bool) -> Sequence[Part]:
        """End jobs and tasks of arrays, and wait for them to leave the queue; return those that Slurm may still run."""
        if packed := next((job for job, run in parts if run and job.shape == "pack"), None):
            raise Refusal(
                f"job {packed.id} holds other runs of {packed.holder} too: name that folder to cancel them all"
            )
        handles = [job.handle(run) if run else str(job.id) for job, run in parts]
        how = ": the ranks are asked to save and leave; Ctrl-C again ends them at once" if save_first else ""
        print(f"\nending job {', '.join(handles)}{how}", file=sys.stderr, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            if save_first:
                for handle in handles:  # else its script would requeue a job whose ranks have saved
                    slurm_queue.command(["scontrol", "update", f"jobid={handle}", "requeue=0"])
                slurm_queue.command(["scancel", "--state=PENDING", *handles])
                if slurm_queue.command(["scancel", "--signal=USR2", *handles]) is not None:
                    _wait_until_gone(handles, _GRACE_S)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        slurm_queue.command(["scancel", *handles])
        left = _wait_until_gone(handles, _LEAVING_S)
        signal.signal(signal.SIGINT, before)
        if cleaned_up := [handle for handle in handles if left.get(handle) == "COMPLETING"]:
            print(f"Slurm is still cleaning up after job {', '.join(cleaned_up)}", file=sys.stderr, flush=True)
        return [part for part, handle in zip(parts, handles) if left.get(handle, "COMPLETING") != "COMPLETING"]

    def limits(self, plan: Plan) -> Limits:
        """MaxArraySize of this Slurm, and what the site file says of the partition."""
        return Limits(slurm_queue.largest_array(), plan.max_jobs)


SCHEDULER = Slurm()


def _wait_until_gone(handles: Sequence[str], seconds: float) -> dict[str, str]:
    """Wait for jobs and tasks to leave the queue; return Slurm's states of those that have not, "" if it is silent."""
    deadline = time.monotonic() + seconds
    numbers = sorted({handle.partition("_")[0] for handle in handles})
    left = dict.fromkeys(handles, "")
    while left and time.monotonic() < deadline:
        answer = slurm_queue.ask(numbers)
        if not answer.silence:
            left = {}
            for task, status in answer.statuses.items():
                for handle in {task, task.partition("_")[0]} & {*handles} if status.phase != ENDED else ():
                    if left.get(handle, "COMPLETING") == "COMPLETING":  # of an array, the task furthest from its end
                        left[handle] = status.word
        if left:
            time.sleep(0.5)
    return left
