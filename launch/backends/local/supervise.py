"""Makes an attempt of a run whose ranks are processes on this machine, or a step of the surrounding allocation. The
process that holds the run's lock starts, watches and ends them."""

import fcntl
import signal
import time
from collections.abc import Sequence

from launch.backends.allocation.step import Step
from launch.backends.local.processes import Ranks
from launch.errors import Refusal
from launch.node import beginning, ending, stop
from launch.plan.plan import Plan
from launch.plan.within import allocation
from launch.plan.within.allocation import Allocation
from launch.record import environment
from launch.record.failures.job_log import handles_warning
from launch.record.files import open_file
from launch.record.rundir import RunDir

GRACE_S = 60.0  # longest wait for ranks that were asked to save and leave
_ONE_S = 0.5  # period in which several signals count as one: Slurm sends a job's signals to all its processes
KILL_WAIT_S = 3.0  # pause between SIGTERM, when a rank has failed or the time is over, and SIGKILL


class Interrupted(KeyboardInterrupt):
    """The user asked for the end of the run, and the ranks have ended."""


def execute(run: RunDir, plan: Plan, submission: int, nodes: Sequence[str] = ()) -> str:
    """Make an attempt, from the start of the ranks to the end of the last one, and further attempts if the run may
    start again.

    Parameters
    ----------
    run : RunDir
        Directory of the run, with its run.json.
    plan : Plan
        The content of run.json.
    submission : int
        Number of the job that makes the attempt.
    nodes : sequence of str
        Nodes of the allocation on which the ranks run.

    Returns
    -------
    str
        "done", "stopped" (it can be started again) or "failed".

    Raises
    ------
    Interrupted
        If a SIGINT, SIGTERM or SIGHUP came; no rank is left, and the run can be resumed.
    MayNotBegin
        If the run is running already, has a result, was cancelled meanwhile, or has been given to a later job.
    Refusal
        If mpirun is needed and absent, or the allocation is gone.
    """
    with beginning.alone(run), _Signals() as signals:
        outcome, reason, made = "stopped", None, 0
        while outcome == "stopped" and (not made or ending.may_start_again(run, plan, made, reason)):
            within = _allocation(plan) if plan.backend == "allocation" else None
            number = beginning.begin(run, submission, (within.id, nodes) if within else None)
            ranks = Step(run, plan, number, within, nodes) if within else Ranks(run, plan, number)
            try:
                if within is None:  # else its first rank, maybe on another machine, does this
                    environment.note(run, number)
                status, reason = _supervise(ranks, plan, signals, within.left_s if within else None)
            finally:
                ranks.kill()
            if within and reason is None:
                reason = ending.why_ended(run, status)
            made += 1
            outcome = ending.end(run, status, reason, made)
    if signals.count:
        raise Interrupted
    return outcome


def is_running(run: RunDir) -> bool:
    """Return whether a launcher on this machine is at work on a run. The run may be another user's, so nothing is
    written."""
    try:
        with open_file(run.path / ".lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _allocation(plan: Plan) -> Allocation:
    """Return the allocation as it is now: its end may have been postponed."""
    found = allocation.here(plan.scheduler)
    if found.allocation is None:
        raise Refusal(f"{found.why or 'this is no job any more'}: resume the run elsewhere")
    return found.allocation


class _Signals:
    """Counts the signals that ask for the end, and restores the previous handlers."""

    def __init__(self) -> None:
        self.count = 0
        self._last = float("-inf")

    def __enter__(self) -> "_Signals":
        asking = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        # A signal that is ignored, as under nohup, stays ignored.
        asking = [number for number in asking if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._seen) for number in asking}
        return self

    def _seen(self, number: int, frame: object) -> None:
        now = time.monotonic()
        self.count += now - self._last > _ONE_S
        self._last = now

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _supervise(ranks: Ranks | Step, plan: Plan, signals: _Signals, left_s: float | None) -> tuple[int, str | None]:
    """Watch until no rank is left; return the status of the first rank that failed, or why the ranks were ended.

    ``left_s`` are the seconds left of the allocation in which the ranks are a step, if it has an end.
    """
    began = time.monotonic()
    # As under Slurm: SIGTERM at the limit, and before that a warning to ranks that handle it.
    limits = [seconds for seconds in (plan.time_s or None, left_s) if seconds is not None]
    limit = began + min(limits, default=float("inf"))
    warn = limit - min(plan.signal_s, (limit - began) / 2)
    kill, asked, failed, reason = float("inf"), 0, False, None
    while ranks.poll(0.1):
        now = time.monotonic()
        if ranks.first_bad is not None and not failed:
            failed = True
            ranks.end()
            kill = min(kill, now + KILL_WAIT_S)
        if signals.count > asked:
            reason = reason or "interrupted"
            kill = now if asked or signals.count > 1 else min(kill, now + GRACE_S)
            asked = signals.count
            ranks.end(signal.SIGUSR2 if handles_warning(ranks.run) else signal.SIGTERM)
        if now >= warn:
            warn = float("inf")
            if handles_warning(ranks.run):
                ranks.warn()
        if now >= limit:
            limit = float("inf")
            reason = reason or "time limit"
            ranks.end()
            kill = min(kill, now + KILL_WAIT_S)
        if now >= kill:
            ranks.kill()
            break
    if ranks.first_bad is not None:
        return ranks.first_bad, None
    return (stop.STOPPED if reason or ranks.saved else 0), reason
