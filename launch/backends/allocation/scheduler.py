"""The job in which the launcher runs, used as a scheduler: its jobs are like those on this machine, but their runs
become steps."""

import contextlib
import errno
import importlib
import shutil
import socket
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from launch.backends import rank_command
from launch.backends.allocation import step
from launch.backends.commands import command
from launch.backends.local.scheduler import Local, Process, process_of
from launch.backends.scheduler import ENDED, QUEUED, RUNNING, UNKNOWN, Answer, Status, elsewhere, key, scheduler
from launch.errors import Refusal
from launch.plan import hostlist, queueing
from launch.plan.plan import Plan
from launch.plan.within import allocation
from launch.record.job import Job
from launch.record.rundir import RunDir


class Steps(Local):
    """Steps of an allocation as a scheduler; see `launch.backends.scheduler.Scheduler`."""

    name = "allocation"
    poll_s = 0.5

    def check(self, plan: Plan) -> None:
        """Refuse what cannot run here."""
        if plan.scheduler == "slurm" and not shutil.which("srun"):
            raise Refusal("a step needs srun, and there is none here: load Slurm's module, or give --backend local")
        rank_command.refuse_absent(plan)

    def script(self, job: Job) -> str:
        """Return the command of the step; empty for a study, whose plan says everything."""
        plan, *_ = job.plans
        within = allocation.here(plan.scheduler).allocation
        if job.shape != "run" or within is None:
            return ""
        return f"in {job.holder}:\n\n{step.script(plan, within, within.nodes[: plan.nodes])}"

    def submit(self, job: Job) -> str:
        """Start the job's process; return the allocation, and its host and pid."""
        return f"{allocation.number(_scheduler(job))}:{super().submit(job)}"

    def attach(self, job: Job) -> str | None:
        """Return the job's process, if it has been started."""
        process = process_of(job.folder)
        return f"{process.get('allocation')}:{process['host']}:{process['pid']}" if process else None

    def cluster(self, job: Job) -> str:
        """Return the cluster of the allocation, as its scheduler does."""
        return scheduler(_scheduler(job)).cluster(job)

    def poll(self, jobs: Sequence[Job], shared: bool = False) -> Answer:
        """Return whether the processes of jobs are alive; for those that are not, how their allocations have ended."""
        statuses = dict(super().poll(jobs).statuses)
        keys = {job.folder: key(job, job.run_dirs[0]) for job in jobs}  # there are no arrays
        gone: dict[str, list[Job]] = defaultdict(list)
        for job in jobs:
            phase = statuses[keys[job.folder]].phase
            if phase == RUNNING and job.shape == "run" and not _has_begun(job):
                statuses[keys[job.folder]] = Status(QUEUED, "WAITING", "others have its nodes of the allocation")
            elif phase == ENDED:
                gone[_scheduler(job)].append(job)
        for name, those in gone.items():
            number = {job.folder: str(job.id).partition(":")[0] for job in those}
            of = _ask(name, sorted(set(number.values())), shared)
            ended = {keys[folder]: of.statuses.get(number[folder]) for folder in number}
            statuses |= {each: status for each, status in ended.items() if status and status.outcome}
        return Answer(statuses)

    def _elsewhere(self, job: Job, process: Process) -> Status:
        """Return the status of a process on another host. It has ended if the allocation has. Until then a step on that
        host looks for it; only Slurm can start such a step from elsewhere."""
        of, number = process.get("scheduler", "slurm"), process.get("allocation")
        if why := elsewhere(job):
            return Status(UNKNOWN, reason=why)
        if number is None:  # what was recorded is damaged
            return super()._elsewhere(job, process)
        answer = _ask(of, [number])
        status = answer.statuses.get(number)
        if not answer.silence and (status is None or status.phase == ENDED):
            return Status(ENDED)
        if status is None or of != "slurm" or process["host"] not in hostlist.expand(status.nodes):
            return super()._elsewhere(job, process)
        with contextlib.suppress(OSError):
            self._kill(process, 0)
            return Status(RUNNING)
        return Status(ENDED)

    def _watches(self, process: Process, run: RunDir) -> bool:
        if process["host"] == socket.gethostname():
            return super()._watches(process, run)
        last = [event["event"] for event in run.events() if event["event"] in ("started", "ended")][-1:]
        return last == ["started"]  # not all file systems show the locks of other hosts

    def _kill(self, process: Process, number: int) -> None:
        if process["host"] == socket.gethostname():
            super()._kill(process, number)
            return
        if (of := process.get("scheduler", "slurm")) != "slurm":
            raise OSError(errno.EHOSTUNREACH, f"{queueing.TITLES[of]} starts nothing on {process['host']} for us")
        there = [f"--jobid={process.get('allocation')}", f"--nodelist={process['host']}", "--overlap", "-N1", "-n1"]
        answer = command(["srun", *there, "kill", f"-{number}", str(process["pid"])], 20)
        if answer is None:
            raise TimeoutError(None, "Slurm does not answer")
        if answer.returncode:
            raise ProcessLookupError


def _scheduler(job: Job) -> str:
    """Return the scheduler of the allocation."""
    plans = job.plans or [job.run_dirs[0].plan()]
    return plans[0].scheduler


def _ask(of: str, numbers: Sequence[str], shared: bool = False) -> Answer:
    """Return what a scheduler reports about allocations."""
    queue: Any = importlib.import_module(f"launch.backends.{of}.queue")
    return queue.ask_shared() if shared and of == "slurm" else queue.ask(numbers)


def _has_begun(job: Job) -> bool:
    return any(event.get("submission") == job.number for run in job.run_dirs for event in run.events("started"))


SCHEDULER = Steps()
