"""The state of a run, as its own records and its scheduler give it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.backends.scheduler import ENDED, QUEUED, UNKNOWN, Answer, Status
from launch.record.failures.causes import without_preamble
from launch.record.job import Job
from launch.record.rundir import Event, PlanRecord, RunDir
from launch.submit.workflow import stages

LIFE = {"submitted": "queued", "started": "running", "ended": "", "cancelled": "cancelled"}
"""The state that each event of the life of a run, if it is the last one, leaves; "ended" says more itself."""


def recorded(events: Sequence[Event], done: bool) -> tuple[str, str]:
    """Return the state and the reason, as far as the run has recorded them itself.

    Parameters
    ----------
    events : sequence of dict
        The events of its life in events.jsonl: submitted, started, ended, cancelled.
    done : bool
        Whether the run has a result.
    """
    if done:
        return "done", ""
    if not events:
        return "planned", ""
    last = events[-1]
    reason = last.get("reason") or ""
    if last["event"] != "ended":
        return LIFE[last["event"]], reason
    outcome, failure = last.get("outcome", "failed"), last.get("first_failure")
    cause = f"rank {failure['rank']} on {failure['host']}: {without_preamble(failure['error'])}" if failure else ""
    if hang := last.get("hang"):
        return outcome, f"hung: {hang.get('said', '')}"
    return outcome, cause or reason or (f"exit status {last.get('status')}" if outcome == "failed" else "")


def judge(noted: str, job: Job, status: Status | None) -> tuple[str, str]:
    """Return the state and the reason of a run that has not recorded a final end.

    Parameters
    ----------
    noted : str
        "queued", "running" or "stopped", from the events that belong to the job.
    job : Job
        The latest job of the run.
    status : Status or None
        What the scheduler reports about the job; None if it has forgotten the job.
    """
    if status is None or status.phase == ENDED:
        if noted == "stopped":
            return noted, ""
        if noted == "queued" and job.shape == "pack":
            return "stopped", f"job {job.id} ended before its turn"
        if status is None or not status.word:
            return "lost", f"job {job.id} is gone and has noted no end: resume goes on"
        where = f" on {status.nodes}" if status.nodes else f", {status.reason}" if status.reason else ""
        return status.outcome or "failed", f"job {job.id}: {status.word}{where}"
    if status.phase == UNKNOWN:
        return "unknown", status.reason
    if status.phase == QUEUED:
        return "queued", status.reason
    if job.shape == "pack" and noted == "stopped":
        return noted, ""
    if job.shape == "pack" and noted == "queued":  # submitted with its study; its turn has not come
        return "queued", f"its turn in job {job.id}"
    return "running", "" if status.word in ("", "RUNNING") else status.word.lower()


OPEN = ("queued", "running", "stopped")
"""States in a run's records of which its scheduler may know more: a stopped job may have been requeued."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the files of a run hold."""

    run: RunDir
    plan: PlanRecord
    events: list[Event]  # events of its life

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Return the records of the run in a folder."""
        run = RunDir(path)
        # A workload records its evaluations too.
        return cls(run, run.record(), [event for event in run.events() if event["event"] in LIFE])

    @property
    def recorded(self) -> tuple[str, str]:
        """State and reason, from all its events."""
        return recorded(self.events, self.run.result_json.exists())

    def within(self, job: Job) -> tuple[str, str]:
        """Return the state and the reason, from the events of its latest job; the others belong to earlier jobs."""
        own = [event for event in self.events if event.get("submission") == job.number]
        return recorded(own, self.run.result_json.exists()) if own else ("queued", "")


def state_of(entry: Record, job: Job | None, answer: Answer) -> tuple[str, str, str]:
    """Return the state, the reason, and where they are from ("records" or "scheduler")."""
    state, reason = entry.recorded
    if job is None and state in ("queued", "running"):  # from an older version, or submitted by hand
        return "lost", "no job of it is recorded: resume goes on", "records"
    if job is None or state == "done":
        return state, reason, "records"
    state, reason = entry.within(job)
    if state not in OPEN:
        return state, reason, "records"
    if job.original:
        why = f"a copy of {job.original}, {f'whose job {job.id} it was' if job.id else 'which was being submitted'}"
        return ("stopped" if state == "stopped" else "lost"), f"{why}: resume goes on", "records"
    if job.id is None:
        unconfirmed = "its submission was not confirmed: resume or cancel asks the scheduler for it"
        return "running" if state == "running" else "queued", unconfirmed, "records"
    if answer.silence:
        return state, reason, "records"
    noted = state
    state, reason = judge(noted, job, answer.of(job, entry.run))
    if state in ("cancelled", "lost") and noted == "queued" and (cause := stages.ended_before(entry.run.path)):
        return "cancelled", cause, "scheduler"  # the controller remembers it only for some minutes
    return state, reason, "scheduler"
