"""An attempt of a local run: its ranks are started, watched and ended; the process that does so holds the run's lock."""

import contextlib
import fcntl
import signal
import time
from collections.abc import Iterator

from launch.backends.processes import Ranks
from launch.errors import Refusal
from launch.node import attempt, stop
from launch.plan.plan import Plan
from launch.record.files import open_file
from launch.record.rundir import RunDir

GRACE_S = 60.0  # for ranks that were asked to save and leave
END_THIS = signal.SIGUSR1
"""Asks a launcher to end the run that it is at, and to go on with what comes after it."""

FAILED_GRACE_S = 3.0  # for the others when one has failed: what they wait for will not come


class Interrupted(KeyboardInterrupt):
    """The user asked for the end of the run; the ranks have ended."""


def execute(run: RunDir, plan: Plan, submission: int) -> str:
    """Make an attempt, from the start of the ranks to the end of the last.

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
        "done", "stopped" (there is a checkpoint) or "failed".

    Raises
    ------
    Interrupted
        If a SIGINT, SIGTERM or SIGHUP came; no rank is left, and the run can be resumed. After `END_THIS` it returns.
    MayNotBegin
        If the run has a result, was cancelled meanwhile, or has been given to a later job.
    Refusal
        If the run is running already, or mpirun is needed and absent.
    """
    with _only_one(run), _Signals() as signals:
        number = attempt.begin(run, submission)
        ranks = Ranks(run, plan, number)
        try:
            status = _supervise(ranks, plan, signals)
        finally:
            ranks.kill()
        outcome = attempt.end(run, status)
    if signals.all and outcome != "done":
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
        asking = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, END_THIS)
        self._before = {number: signal.signal(number, self._seen) for number in asking}
        return self

    def _seen(self, number: int, frame: object) -> None:
        self.count += 1
        self.all |= number != END_THIS

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        # It may come late, and what comes after the run is not meant. Ranks would inherit that it is ignored, so it is heard.
        signal.signal(END_THIS, lambda *_: None)


def _supervise(ranks: Ranks, plan: Plan, signals: _Signals) -> int:
    """Watch until no rank is left; return the status of the first that failed, else the largest."""
    began = time.monotonic()
    # As under Slurm: a warning in time, and the end at the limit.
    warn = began + plan.time_s - min(plan.signal_s, plan.time_s / 2) if plan.time_s else float("inf")
    limit = began + plan.time_s if plan.time_s else float("inf")
    kill_at, asked, failed = limit, 0, False
    while ranks.poll(0.1):
        now = time.monotonic()
        if ranks.first_bad is not None and not failed:
            failed = True
            ranks.send(signal.SIGTERM)
            kill_at = min(kill_at, now + FAILED_GRACE_S)
        if signals.count > asked or now >= warn:
            if asked or signals.count > 1:
                kill_at = now
            asked, warn = max(asked + 1, signals.count), float("inf")
            ranks.send(signal.SIGTERM)
            kill_at = min(kill_at, now + GRACE_S)
        if now >= kill_at:
            ranks.kill()
            break
    if ranks.first_bad is not None:
        return ranks.first_bad
    # The end was asked for, or the time was over: what there is of a checkpoint is gone on with.
    return 0 if ranks.run.result() is not None or plan.kind != "workload" and not asked else stop.STOPPED


@contextlib.contextmanager
def _only_one(run: RunDir) -> Iterator[None]:
    """Hold the run's lock, which ends with the process that holds it."""
    with open(run.path / ".lock", "ab") as lock:
        for _ in range(10):  # who only asks whether it runs holds it for an instant
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.02)
        else:
            raise Refusal(f"{run.path} is running: wait for its end, or end it first")
        yield
