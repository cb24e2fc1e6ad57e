"""How runs ended, from their records and their scheduler, which may disagree for a while."""

import errno
import time
from pathlib import Path

from launch.backends.scheduler import ENDED, Status
from launch.plan.plan import Plan
from launch.record.job import Job, is_cancelled
from launch.record.rundir import RunDir
from launch.record.writing import refuse_full_disk
from launch.submit import jobs as submission

_SETTLING_S = 10.0  # time until what the nodes wrote is visible here, and an ended job has left the queue


class Ends:
    """Decides how runs ended."""

    def __init__(self) -> None:
        self._settling: dict[Path, float] = {}  # since when sources disagree about a run

    def of(self, job: Job, run: RunDir, plan: Plan, status: Status | None, others_ended: bool) -> str | None:
        """Return how a run ended; None if it has not. ``others_ended`` says whether any other run of its jobs has."""
        last = submission.last_event(run, job)
        noted = last.get("outcome") if last.get("event") == "ended" else None
        over = status is None or status.phase == ENDED
        by_scheduler = status.outcome if status and over else None
        if noted == "done" and (over or job.shape == "pack"):
            return "done"
        if last.get("event") == "cancelled" and (over or job.shape == "pack" and not has_begun(job, run)):
            return "cancelled"
        if over and (noted or by_scheduler == "cancelled"):
            return by_scheduler or noted
        if noted and job.shape == "pack":
            return "cancelled" if is_cancelled(run, job.number) else noted
        if run.result() is None:
            if not over and (noted is None or noted == "stopped" and plan.max_attempts > 1):  # it may start again
                self._settling.pop(run.path, None)
                return None
        # Wait some time when sources disagree: files may become visible late, and a job may leave the queue late.
        if time.monotonic() - self._settling.setdefault(run.path, time.monotonic()) < _SETTLING_S:
            return None
        if run.result() is not None:
            return "done"
        never_began = job.shape == "pack" and last.get("event") != "started"
        return by_scheduler or noted or ("stopped" if never_began and others_ended else "failed")


def has_begun(job: Job, run: RunDir) -> bool:
    """Return whether a run has begun in a job."""
    return any(event.get("submission") == job.number for event in run.events("started"))


def no_room(run: RunDir) -> str:
    """Return a message if the disk of a run that could record nothing is full; otherwise empty."""
    try:
        refuse_full_disk(run.path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"the disk of the run is full ({error.strerror}): free some room, then resume the run"
    return ""
