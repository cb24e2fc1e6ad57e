"""An attempt of a local run: its ranks are started, watched and ended by the process that holds the run's lock."""

import fcntl
import signal
import time

from launch.backends.processes import Ranks
from launch.node import attempt, stop
from launch.plan.plan import Plan
from launch.record.diagnose import handles_warning
from launch.record.files import open_file
from launch.record.rundir import RunDir

GRACE_S = 60.0  # for ranks that were asked to save and leave
END_THIS = signal.SIGUSR1
"""Asks a launcher to end the run that it is at, and to go on with what comes after it."""

KILL_WAIT_S = 3.0  # between the SIGTERM that ends ranks, as one has failed or their time is over, and SIGKILL


class Interrupted(KeyboardInterrupt):
    """The user asked for the end of the run; the ranks have ended."""


def execute(run: RunDir, plan: Plan, submission: int) -> str:
    """Make an attempt, from the start of the ranks to the end of the last, and further ones if the run may start again.

    Parameters
    ----------
    run : RunDir
        Of the run, with its run.json.
    plan : Plan
        The content of that.
    submission : int
        Number of the job that makes it.

    Returns
    -------
    str
        "done", "stopped" (it can be started again) or "failed".

    Raises
    ------
    Interrupted
        If a SIGINT, SIGTERM or SIGHUP came; no rank is left, and the run can be resumed. After `END_THIS` it returns.
    MayNotBegin
        If the run is running already, has a result, was cancelled meanwhile, or has been given to a later job.
    Refusal
        If mpirun is needed and absent.
    """
    with attempt.alone(run), _Signals() as signals:
        outcome, reason, made = "stopped", None, 0
        while outcome == "stopped" and (not made or attempt.may_start_again(run, plan, made, reason)):
            number = attempt.begin(run, submission)
            ranks = Ranks(run, plan, number)
            try:
                status, reason = _supervise(ranks, plan, signals)
            finally:
                ranks.kill()
            made += 1
            outcome = attempt.end(run, status, reason, made)
    if signals.all:  # also where the run had just been done: nothing is to come after it
        raise Interrupted
    return outcome


def is_running(run: RunDir) -> bool:
    """Whether a launcher on this machine is at work on a run. It may be another user's: nothing is written."""
    try:
        with open_file(run.path / ".lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except OSError:
        return True


class _Signals:
    """Counts the signals that ask for the end, and restores what they meant before."""

    def __init__(self) -> None:
        self.count = 0
        self.all = False  # whether what comes after the run is not to begin either

    def __enter__(self) -> "_Signals":
        asking = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        # One that is ignored, as by nohup, stays so.
        asking = [number for number in asking if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._seen) for number in [*asking, END_THIS]}
        return self

    def _seen(self, number: int, frame: object) -> None:
        self.count += 1
        self.all |= number != END_THIS

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        # It may come late, and is not meant for what comes after the run. It is not ignored, which ranks would inherit.
        signal.signal(END_THIS, lambda *_: None)


def _supervise(ranks: Ranks, plan: Plan, signals: _Signals) -> tuple[int, str | None]:
    """Watch until no rank is left; return the status of the first that failed, or else why they were ended."""
    began = time.monotonic()
    # As under Slurm: SIGTERM at the limit, and before that a warning to ranks that handle it.
    limit = began + plan.time_s if plan.time_s else float("inf")
    warn = limit - min(plan.signal_s, (plan.time_s or 0) / 2)
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
