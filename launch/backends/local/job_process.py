"""The process of a job on this machine, and of one within an allocation:   launch.backends.local.job_process JOB_FOLDER

It makes the runs of the job in order: one after the other, or as many at a time as the job says and as there is room
for. A process of its own watches each run (`launch.backends.local.supervise`), so runs do not affect each other. The
job's process ends with the launcher that started it, unless the launcher was asked to return at once; its runs end
with it. While it is alive, it holds the lock of the job.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections import deque
from pathlib import Path

from launch import own_command
from launch.backends.local.room import Nodes, Place, Room, ThisMachine
from launch.backends.local.supervise import Interrupted, execute
from launch.errors import Refusal
from launch.node import beginning, stop
from launch.plan.plan import Plan
from launch.plan.walltime import clock, exceeds
from launch.plan.within import allocation
from launch.record import job as jobs
from launch.record.files import Damaged
from launch.record.job import Job
from launch.record.rundir import RunDir

_LOOK_S = 0.2  # pause between two checks for nodes of the allocation that another launcher has left
_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(argv: list[str]) -> int:
    """Make the runs of a job, until the last has ended or somebody asks for the end."""
    job = jobs.read(Path(argv[0]))
    plans = [run.plan() for run in job.run_dirs]
    who = {"host": socket.gethostname(), "pid": os.getpid()}
    if job.backend == "allocation":
        who |= {"allocation": allocation.number(plans[0].scheduler), "scheduler": plans[0].scheduler}
    os.write(sys.stdin.fileno(), json.dumps(who).encode())
    if plans[0].backend != "allocation":
        _Runs(job, plans, ThisMachine(plans, job.throttle or 1)).to_the_end()
        return 0
    found = allocation.here(plans[0].scheduler)
    if found.allocation is None:
        print(f"launch: nothing is started: {found.why or 'this is no job any more'}", flush=True)
        return 1
    nodes = Nodes(found.allocation, job.throttle or len(plans))
    with nodes.tidied():
        _Runs(job, plans, nodes).to_the_end()
    return 0


class _Runs:
    """The runs of a job: those that have not begun, and those under way, by the ids of the processes that watch
    them."""

    def __init__(self, job: Job, plans: list[Plan], room: Room) -> None:
        self._job, self._room = job, room
        self._waiting = deque(zip(job.run_dirs, plans))
        self._at_work: dict[int, Place] = {}
        for number in _ASKING:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._end)

    def to_the_end(self) -> None:
        """Begin each run once there is room for it, until none is left."""
        while self._waiting or self._at_work:
            if self._waiting and self._is_replaced():
                self._waiting.clear()
            while self._waiting and (place := self._room.take(self._waiting[0][1])) is not None:
                self._begin(place)
            if not self._at_work:
                time.sleep(_LOOK_S if self._waiting else 0)
                continue
            pid, status = os.waitpid(-1, os.WNOHANG if self._waiting else 0)
            if not pid:
                time.sleep(_LOOK_S)
                continue
            self._room.give(self._at_work.pop(pid))
            if os.waitstatus_to_exitcode(status) == stop.STOPPED:
                self._leave_out("the allocation ends: not begun")

    def _is_replaced(self) -> bool:
        """Return whether the folder of the job was removed, so that another of its name may have taken its place."""
        try:
            return jobs.read(self._job.folder).token != self._job.token
        except Damaged:
            return True

    def _begin(self, place: Place) -> None:
        sys.stdout.flush()
        parent = os.getpid()
        # A signal that comes now is meant for this process, which passes it on.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ASKING)
        if not self._waiting:
            self._room.give(place)
        elif pid := os.fork():
            self._waiting.popleft()
            self._at_work[pid] = place
        else:
            status = 1
            try:
                for number in _ASKING:
                    if signal.getsignal(number) is not signal.SIG_IGN:
                        signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKING)
                stop.die_with(parent)
                status = _make(*self._waiting[0], self._job.number, place)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKING)

    def _leave_out(self, why: str) -> None:
        """Begin none of the waiting runs."""
        while self._waiting:
            _note(self._waiting.popleft()[0], self._job.number, stop.STOPPED, why)

    def _end(self, number: int, frame: object) -> None:
        """End the runs that are under way, and begin no other."""
        self._waiting.clear()
        for pid in self._at_work:
            os.kill(pid, number)


def _make(run: RunDir, plan: Plan, number: int, place: Place) -> int:
    """Make a run, in its own process. Return `stop.STOPPED` if it was ended because the allocation ends, which would
    end any further run as well."""
    if plan.stop_below is not None:
        cutoff = own_command(sys.executable, "launch.submit.cutoff", str(run.path))
        if subprocess.run(cutoff, stdin=subprocess.DEVNULL, check=False).returncode == 0:
            return 0
    if place.gpus is not None:
        os.environ[plan.gpu_variable] = ",".join(place.gpus)
    if place.cores is not None:
        os.sched_setaffinity(0, place.cores)
    try:
        if plan.backend == "allocation":
            _refuse_too_late(plan)
        outcome = execute(run, plan, number, place.nodes or ())
        if outcome == "stopped" and plan.backend == "allocation":
            within = allocation.here(plan.scheduler).allocation
            over = within is None or within.left_s is not None and within.left_s <= plan.signal_s
            return stop.STOPPED if over else 0
    except beginning.MayNotBegin as why:
        print(f"{run.path.name}: {why}", flush=True)
    except Interrupted:
        pass
    except Refusal as refusal:
        _note(run, number, refusal.status, str(refusal))
    return 0


def _note(run: RunDir, number: int, status: int, reason: str) -> None:
    """Record that a run has ended before its ranks began."""
    outcome = "stopped" if status == stop.STOPPED else "failed"
    attempt = run.attempts()
    run.append_event("ended", attempt=attempt, outcome=outcome, status=status, reason=reason, submission=number)


class _TooLate(Refusal):
    """The allocation ends before the run can."""

    status = stop.STOPPED


def _refuse_too_late(plan: Plan) -> None:
    within = allocation.here(plan.scheduler).allocation
    if within and within.left_s is not None and (exceeds(plan.time_s, within.left_s) or within.left_s == 0):
        needs = f", and the run may take {clock(plan.time_s)}" if plan.time_s else ""
        raise _TooLate(f"job {within.id} ends in {clock(within.left_s + allocation.ENDING_S)}{needs}: not begun")
