"""Jobs on this machine: each is a process of its own, which makes the runs of the job one after the other.

launch.backends.local JOB_FOLDER is that process. It ends with the launcher that started it, unless that was asked
to return at once; its ranks end with it. While it lives it holds the lock of the job.
"""

import errno
import fcntl
import functools
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launch import own_command
from launch.backends import rank_command
from launch.backends.processes import mpirun
from launch.backends.scheduler import ENDED, RUNNING, UNKNOWN, Answer, Limits, Part, Status
from launch.backends.supervise import END_THIS, GRACE_S, Interrupted, execute, is_running
from launch.errors import Refusal
from launch.node import attempt, stop
from launch.plan import executable
from launch.plan.plan import Plan
from launch.record import job as jobs
from launch.record.job import Job
from launch.record.rundir import RunDir

_STARTING_S = 10.0
_LOCK = "process"
"""In the folder of a job: host and pid of its process, which holds a lock on it."""


class Local:
    """Processes of this machine as a scheduler; see `launch.backends.scheduler.Scheduler`."""

    name = "local"
    remote = False
    poll_s = 0.1

    def check(self, plan: Plan) -> None:
        """Refuse what this machine cannot run."""
        if plan.rendezvous == "mpi" and plan.size > 1:
            mpirun(plan)
        rank_command.refuse_absent(plan)
        if plan.kind == "program" and plan.container is None and (why := executable.unrunnable(plan.entry[0])):
            raise Refusal(why)

    def script(self, job: Job) -> str:
        """The command of each rank; of a study its plan says all."""
        if job.shape != "run":
            return ""
        (plan,) = job.plans
        first = mpirun(plan) if plan.rendezvous == "mpi" else []
        command = shlex.join([*first, *rank_command.words(plan), str(job.holder)])
        return f"{plan.size} processes would be started on this machine, each as\n  {command}"

    def submit(self, job: Job) -> str:
        """Start the job's process; return its host and pid."""
        words = own_command(sys.executable, "launch.backends.local", str(job.folder))
        # The lock is taken here and handed on, so that there is no moment in which the job looks as if it had ended.
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
        """The job's process, if it has been started."""
        process = _process(job.folder)
        return f"{process['host']}:{process['pid']}" if process else None

    def poll(self, jobs: Sequence[Job], shared: bool = False) -> Answer:
        """Whether the processes of jobs live."""
        return Answer({str(job.id): _status(job) for job in jobs})

    def cancel(self, parts: Sequence[Part], save_first: bool) -> Sequence[Part]:
        """Ask processes to end their job, or the run that they are at, and wait for it; an interrupt ends them at
        once."""
        left = [part for part in parts if _ask_to_end(*part, signal.SIGTERM if part[1] is None else END_THIS)]
        deadline = time.monotonic() + GRACE_S + 10
        while left := [part for part in left if _is_at_it(*part)]:
            try:
                time.sleep(0.1)
            except KeyboardInterrupt:
                deadline = 0.0
            if time.monotonic() > deadline:  # its ranks die with it
                left = [part for part in left if _ask_to_end(*part, signal.SIGKILL)]
        return left

    def limits(self, plan: Plan) -> Limits:
        """No arrays: runs beside each other would disturb each other's times."""
        return Limits(array=0)


SCHEDULER = Local()


def main(argv: list[str]) -> int:
    """Make the runs of a job, until the last has ended or the end is asked for."""
    signal.signal(END_THIS, lambda *_: None)  # too early or too late for the run that was meant
    lock = sys.stdin.fileno()
    os.write(lock, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())
    job = jobs.read(Path(argv[0]))
    for run in job.run_dirs:
        plan = run.plan()
        cutoff = own_command(sys.executable, "launch.submit.cutoff", str(run.path))
        if (
            plan.stop_below is not None
            and subprocess.run(cutoff, stdin=subprocess.DEVNULL, check=False).returncode == 0
        ):
            continue
        try:
            execute(run, plan, job.number)
        except attempt.MayNotBegin as why:
            print(f"{run.path.name}: {why}", flush=True)
        except Interrupted:
            break
        except Refusal as refusal:
            run.append_event(
                "ended",
                attempt=len(run.events("started")),
                outcome="failed",
                status=refusal.status,
                reason=str(refusal),
                submission=job.number,
            )
    return 0


def _process(folder: Path) -> dict[str, Any] | None:
    """Host and pid of a job's process; None if it has ended or was never started."""
    try:
        with open(folder / _LOCK, "rb") as file:
            process = json.loads(file.read() or b"{}")
            if process.get("host", socket.gethostname()) != socket.gethostname():
                return process
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):  # this file system has no locks
                    return process if os.path.exists(f"/proc/{process.get('pid')}") else None
            deadline = time.monotonic() + _STARTING_S
            while not process and time.monotonic() < deadline:  # it has just been started
                time.sleep(0.02)
                file.seek(0)
                process = json.loads(file.read() or b"{}")
            return process or None
    except FileNotFoundError:
        return None


def _status(job: Job) -> Status:
    process = _process(job.folder)
    if process is None:
        return Status(ENDED)
    if process["host"] != socket.gethostname():
        return Status(UNKNOWN, reason=f"started on {process['host']}: ask there")
    return Status(RUNNING)


def _is_at_it(job: Job, run: RunDir | None) -> bool:
    return _status(job).phase == RUNNING and (run is None or is_running(run))


def _ask_to_end(job: Job, run: RunDir | None, number: int) -> bool:
    """Send a signal to the process of a job; False if there is none any more, or it is not at that run."""
    if not _is_at_it(job, run):
        return False
    process = _process(job.folder)
    try:
        os.kill(process["pid"], number) if process else None
    except OSError as error:
        raise Refusal(
            f"the process {job.id} that runs {job.holder} cannot be ended ({error.strerror}): end it where it was "
            "started"
        ) from None
    return process is not None
