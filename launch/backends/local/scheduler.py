"""Jobs on this machine: each is a process (`launch.backends.local.job_process`) that makes the job's runs."""

import errno
import fcntl
import functools
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Required, TypedDict

from launch import own_command
from launch.backends import rank_command
from launch.backends.local import mpirun
from launch.backends.local.supervise import GRACE_S, is_running
from launch.backends.scheduler import ENDED, RUNNING, UNKNOWN, Answer, Limits, Part, Status, key
from launch.errors import Refusal
from launch.node import stop
from launch.plan.plan import Plan
from launch.plan.target import executable
from launch.plan.typed import Backend, mismatch
from launch.record.contents import Pid
from launch.record.files import Damaged, Unreadable, decode, open_file
from launch.record.job import Job
from launch.record.rundir import RunDir

_STARTING_S = 10.0
_LOCK = "process"
"""File in the folder of a job. It holds the host and pid of the job's process, which keeps a lock on it, and, if the
job makes steps, their allocation."""
_MOST = 2**16  # most bytes that are read of that file

Process = dict[str, Any]
"""The content of that file."""


class Local:
    """Processes of this machine as a scheduler; see `launch.backends.scheduler.Scheduler`."""

    name = "local"
    remote = False
    poll_s = 0.1

    def check(self, plan: Plan) -> None:
        """Refuse what this machine cannot run."""
        if plan.rendezvous == "mpi" and plan.size > 1:
            mpirun.command(plan)
        rank_command.refuse_absent(plan)
        if plan.kind == "program" and plan.container is None and (why := executable.unrunnable(plan.entry[0])):
            raise Refusal(why)

    def script(self, job: Job) -> str:
        """Return the command of each rank; empty for a study, whose plan says everything."""
        if job.shape != "run":
            return ""
        (plan,) = job.plans
        first = mpirun.command(plan) if plan.rendezvous == "mpi" else []
        command = shlex.join([*first, *rank_command.words(plan), str(job.holder)])
        many = f"{plan.size} processes" if plan.size > 1 else "one process"
        return f"{many} would be started on this machine, each as\n  {command}"

    def submit(self, job: Job) -> str:
        """Start the job's process; return its host and pid."""
        words = own_command(sys.executable, "launch.backends.local.job_process", str(job.folder))
        # The lock is taken here and handed on, so that the job never looks as if it had ended.
        with open(job.folder / _LOCK, "w") as lock, open(job.log, "ab") as log:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = subprocess.Popen(
                words,
                stdin=lock,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=None if job.detached else functools.partial(stop.die_with, os.getpid()),
            )
        return f"{socket.gethostname()}:{process.pid}"

    def attach(self, job: Job) -> str | None:
        """Return the job's process, if it has been started."""
        process = process_of(job.folder)
        return f"{process['host']}:{process['pid']}" if process else None

    def cluster(self, job: Job) -> str:
        """Return nothing: a job's process has the name of its host."""
        return ""

    def poll(self, jobs: Sequence[Job], shared: bool = False) -> Answer:
        """Return whether the processes of jobs are alive."""
        statuses = {job.folder: self._status(job) for job in jobs}
        return Answer({key(job, run): statuses[job.folder] for job in jobs for run in job.run_dirs})

    def cancel(self, parts: Sequence[Part], save_first: bool) -> Sequence[Part]:
        """Ask processes to end their job, or a run of it, and wait for that; an interrupt ends them at once."""
        left = [part for part in parts if self._ask_to_end(*part, signal.SIGTERM)]
        deadline = time.monotonic() + GRACE_S + 10
        while left := [part for part in left if self._is_at_it(*part)]:
            try:
                time.sleep(self.poll_s)
            except KeyboardInterrupt:
                deadline = 0.0
            if time.monotonic() > deadline:  # its ranks die with it
                left = [part for part in left if self._ask_to_end(*part, signal.SIGKILL)]
        return left

    def limits(self, plan: Plan) -> Limits:
        """Return that there are no arrays: all runs of a study are one job."""
        return Limits(array=0)

    def _status(self, job: Job) -> Status:
        process = process_of(job.folder)
        if process is None:
            return Status(ENDED)
        return Status(RUNNING) if process["host"] == socket.gethostname() else self._elsewhere(job, process)

    def _elsewhere(self, job: Job, process: Process) -> Status:
        """Return what is known about a process on another host."""
        return Status(UNKNOWN, reason=f"started on {process['host']}: ask there")

    def _is_at_it(self, job: Job, run: RunDir | None) -> bool:
        process = process_of(job.folder)
        if process is None or self._status(job).phase != RUNNING:
            return False
        return run is None or self._watches(process, run)

    def _watches(self, process: Process, run: RunDir) -> bool:
        """Return whether the process of a job is working on a run."""
        return is_running(run)

    def _kill(self, process: Process, number: int) -> None:
        os.kill(process["pid"], number)

    def _ask_to_end(self, job: Job, run: RunDir | None, number: int) -> bool:
        """Send a signal to the process of a job, or to the one that watches a run; return False if that has ended."""
        process = process_of(job.folder)
        if process is None or not self._is_at_it(job, run):
            return False
        if run is not None:
            # The process that has taken the run's lock records its pid a little later. Until then the last recorded pid
            # is that of another process, and the one that is about to begin sees that it is cancelled.
            last = [event for event in run.events() if event["event"] in ("started", "ended")][-1:]
            if not last or last[0]["event"] != "started" or last[0].get("submission") != job.number:
                return True
            process = process | {"pid": last[0].get("pid", 0)}
        try:
            self._kill(process, number)
        except ProcessLookupError:
            return False
        except OSError as error:
            raise Refusal(
                f"the process {job.id} that runs {job.holder} cannot be ended ({error.strerror}): end it where it was "
                "started"
            ) from None
        return True


SCHEDULER = Local()


def process_of(folder: Path) -> Process | None:
    """Return the host and pid of a job's process; None if it has ended or was never started.

    Raises
    ------
    Unreadable
        If its file cannot be read, or is damaged.
    """
    path = folder / _LOCK
    try:
        file = open_file(path)
    except FileNotFoundError:
        return None
    with file:
        process = _content(file, path)
        if process.get("host", socket.gethostname()) != socket.gethostname():
            return process
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):  # this file system has no locks
                return process if os.path.exists(f"/proc/{process.get('pid')}") else None
        deadline = time.monotonic() + _STARTING_S
        while not process and time.monotonic() < deadline:  # the process has just been started
            time.sleep(0.02)
            process = _content(file, path)
        return process or None


class _Written(TypedDict, total=False):
    host: Required[str]
    pid: Required[Pid]
    allocation: str
    scheduler: Backend


def _content(file: BinaryIO, path: Path) -> Process:
    """Return what the process of a job has written; empty before it has written anything."""
    try:
        file.seek(0)
        process = decode((file.read(_MOST) or b"{}").decode())
    except OSError as error:
        raise Unreadable(path, error) from None
    except (ValueError, RecursionError) as error:
        raise Damaged(path, str(error)) from None
    if process != {} and (wrong := mismatch(process, _Written)):
        raise Damaged(path, wrong)
    return process
