"""What is known of runs: from their files and, for those under way, from their scheduler.

A state is one of
  planned    made, and never submitted
  queued     waits for its nodes
  running
  done
  stopped    its ranks have saved and left: resume goes on
  failed, timeout, cancelled
  lost       it had begun, and is gone without having noted its end: resume goes on
  unknown    a local run of another host, which cannot be seen from here
  missing    a study has it in its index, and nothing of it is left: resume of the study runs it again
  damaged    a file of it holds something else than it should
  unreadable a file of it cannot be read, as that of another user
"""

import functools
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.backends.scheduler import ENDED, QUEUED, UNKNOWN, Answer, Status, poll_all
from launch.errors import Refusal, command
from launch.record import job as record
from launch.record import network
from launch.record.activity import last_line
from launch.record.contents import Result
from launch.record.figures import UNIT, of_result, so_far
from launch.record.files import Unreadable
from launch.record.job import Job
from launch.record.pace import Pace, pace
from launch.record.rundir import Event, PlanRecord, RunDir, holder_of, is_study, names_in
from launch.submit import stages

UNDER_WAY = ("queued", "running", "unknown")
BROKEN = ("damaged", "unreadable")
_LIFE = {"submitted": "queued", "started": "running", "ended": "", "cancelled": "cancelled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a run; None for what is not known."""

    path: Path
    state: str
    reason: str = ""  # why it waits, failed or was lost, in short
    source: str = "records"  # of the state: "records", or "scheduler" if that was asked
    since: float | None = None  # time of the last event, Unix seconds
    workload: str | None = None
    backend: str | None = None
    job: str | None = None
    nodes: int | None = None
    ranks: int | None = None
    attempts: int = 0
    running_s: float | None = None  # seconds since its attempt began, if it is running
    hosts: str = ""  # the nodes, as Slurm writes them
    step: int | None = None
    steps: int | None = None
    epoch: float | None = None
    epochs: float | None = None
    loss: float | None = None
    throughput: float | None = None  # over all ranks
    unit: str = UNIT  # of that
    work: float | None = None  # the work whose speed this is, if it is a speed
    left_s: float | None = None  # seconds until the last step, at this speed
    last_line: str = ""  # last output of a running program that records no steps

    @property
    def under_way(self) -> bool:
        """Whether the run may still continue without the user."""
        return self.state in UNDER_WAY


def find(words: Iterable[str | Path]) -> list[Path]:
    """The named runs, and the runs in the named folders, in natural order of their paths.

    Raises
    ------
    Refusal
        If something named is neither a run nor a folder with runs.
    """
    found: dict[Path, None] = {}
    for word in words:
        below = sorted(_below(Path(word)), key=_natural)
        if not below and (path := Path(word).absolute()).name in names_in(path.parent):
            below = [Path(word)]
        if not below:
            what = "has no run in it" if os.path.isdir(word) else "is not a folder"
            raise Refusal(f"{word} {what}: give a run, or a folder of runs")
        found |= dict.fromkeys(below)
    return list(found)


def grouped(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """Runs, grouped by the study that they belong to; a run without a study is a group of its own."""
    names = functools.cache(names_in)
    groups: dict[Path, list[Path]] = {}
    for path in (path.absolute() for path in paths):
        groups.setdefault(path.parent if path.name in names(path.parent) else path, []).append(path)
    return groups


def look(paths: Sequence[Path], fresh: bool = False, poll: Callable[..., Answer] = poll_all) -> tuple[list[Known], str]:
    """Find out about runs.

    Parameters
    ----------
    paths : sequence of Path
        Run directories.
    fresh : bool
        Ask the schedulers now. By default an answer that another process got some seconds ago is good enough.
    poll : function
        Asks the schedulers about all jobs at once, if there is something to ask.

    Returns
    -------
    known : list of Known
        In the same order.
    silence : str
        Why a scheduler did not answer, if there was something to ask; the states are then from the records.
    """
    records: dict[Path, _Record | Known] = {}
    names = functools.cache(names_in)
    for path in (RunDir(path).path for path in paths):
        try:
            records[path] = _Record.read(path)
        except Unreadable as error:
            records[path] = _missing(path, names(path.parent)) or _broken(path, error)
    jobs: dict[Path, Job] = {}
    unfinished = [each for each in records.values() if isinstance(each, _Record) and each.recorded[0] != "done"]
    by_holder: dict[Path, list[RunDir]] = {}
    for each in unfinished:
        by_holder.setdefault(holder_of(each.run), []).append(each.run)
    for those in by_holder.values():
        try:
            jobs |= record.latest(those)
        except Unreadable as error:
            records |= {run.path: _broken(run.path, error) for run in those}
    open_ = [each for each in unfinished if each.run.path in jobs and each.within(jobs[each.run.path])[0] in _OPEN]
    answer = _ask({each.run.path: jobs[each.run.path] for each in open_}, open_, fresh, poll)
    known = []
    for path, each in records.items():
        try:
            known.append(each if isinstance(each, Known) else _know(each, jobs.get(path), answer))
        except Refusal as error:
            known.append(_broken(path, error))
    return known, answer.silence


def _broken(path: Path, error: Refusal) -> Known:
    """A run of which nothing more can be known. It must not hide the others."""
    state, reason = (error.state, error.reason) if isinstance(error, Unreadable) else ("damaged", str(error))
    return Known(path=path, state=state, reason=reason)


def _missing(path: Path, of_study: Collection[str]) -> Known | None:
    """What is known of a run of a study that is gone or has lost its run.json, or of a stage that is gone; None for any
    other."""
    if not os.path.lexists(path) and stages.is_workflow(path.parent):
        return Known(
            path=path, state="missing", reason="a stage that is gone: start the workflow again under another name"
        )
    if os.path.lexists(path / "run.json") or path.name not in of_study:
        return None
    if RunDir(path).is_missing:
        return Known(path=path, state="missing", reason=f"run it again: {command('resume', path.parent)}")
    return Known(path=path, state="damaged", reason="it has no run.json: remove the rest, then resume the study")


def under_way(runs: Sequence[RunDir]) -> set[Path]:
    """Those of some runs that are now queued or running, and so must not be submitted again.

    Raises
    ------
    Refusal
        If this is not known, because a scheduler does not answer.
    """
    known, silence = look([run.path for run in runs], fresh=True)
    if silence:
        raise Refusal(
            f"the scheduler does not answer ({silence}), so it may still have {runs[0].path}: try again later"
        )
    return {one.path for one in known if one.under_way}


def recorded(events: Sequence[Event], done: bool) -> tuple[str, str]:
    """State and reason, as far as the run has recorded them itself.

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
        return _LIFE[last["event"]], reason
    outcome, failure = last.get("outcome", "failed"), last.get("first_failure")
    cause = f"rank {failure['rank']} on {failure['host']}: {failure['error']}" if failure else ""
    if hang := last.get("hang"):
        return outcome, f"hung: {hang.get('said', '')}"
    return outcome, cause or reason or (f"exit status {last.get('status')}" if outcome == "failed" else "")


def judge(noted: str, job: Job, status: Status | None) -> tuple[str, str]:
    """State and reason of a run that has not recorded a final end.

    Parameters
    ----------
    noted : str
        "queued", "running" or "stopped", from the events that belong to the job.
    job : Job
        Its latest.
    status : Status or None
        What the scheduler reports of it; None if it has forgotten the job.
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


_OPEN = ("queued", "running", "stopped")
"""States in a run's records of which its scheduler may know more: a stopped job may have been requeued."""


@dataclass(frozen=True, slots=True)
class _Record:
    """What the files of a run hold."""

    run: RunDir
    plan: PlanRecord
    events: list[Event]  # of its life

    @classmethod
    def read(cls, path: Path) -> "_Record":
        run = RunDir(path)
        # A workload records its evaluations too.
        return cls(run, run.record(), [event for event in run.events() if event["event"] in _LIFE])

    @property
    def recorded(self) -> tuple[str, str]:
        return recorded(self.events, self.run.result_json.exists())

    def within(self, job: Job) -> tuple[str, str]:
        """State and reason, from the events of its latest job; the others belong to earlier jobs."""
        own = [event for event in self.events if event.get("submission") == job.number]
        return recorded(own, self.run.result_json.exists()) if own else ("queued", "")


def _ask(jobs: dict[Path, Job], entries: Sequence[_Record], fresh: bool, poll: Callable[..., Answer]) -> Answer:
    """What the schedulers report. They are asked again if an older answer lacks a job that should be there."""
    submitted = list(dict.fromkeys(job for job in jobs.values() if job.id))
    if not submitted:
        return Answer({})
    answer = poll(submitted, not fresh)
    missing = (
        each.within(jobs[each.run.path])[0] != "stopped" and answer.of(jobs[each.run.path], each.run) is None
        for each in entries
    )
    return poll(submitted, False) if not fresh and not answer.silence and any(missing) else answer


def _know(entry: _Record, job: Job | None, answer: Answer) -> Known:
    state, reason, source = _state(entry, job, answer)
    if source == "scheduler" and state not in UNDER_WAY:  # it may have recorded its end after its events were read
        entry = _Record.read(entry.run.path)
        state, reason, source = _state(entry, job, answer)
    run, events = entry.run, entry.events
    result = run.result() or {}
    made = of_result(result)
    if state == "running" and not reason and entry.plan.get("gpus_per_node"):
        reason = network.said(run)
    last = events[-1] if events else {}
    started = next((event for event in reversed(events) if event["event"] == "started"), {})
    status = answer.of(job, run) if job and source == "scheduler" else None
    return Known(
        path=run.path,
        state=state,
        reason=" ".join((reason or "; ".join(result.get("troubles", []))).split()),
        source=source,
        since=last.get("time"),
        workload=entry.plan.get("workload"),
        backend=entry.plan.get("backend"),
        job=job.handle(run) if job and job.id else _job(events),
        nodes=entry.plan.get("nodes"),
        ranks=entry.plan["nodes"] * entry.plan["ranks_per_node"],
        attempts=sum(event["event"] == "started" for event in events),
        running_s=max(0.0, time.time() - started["time"]) if state == "running" and started else None,
        hosts=(status.nodes if status else "") or started.get("nodes") or started.get("host") or "",
        **(progress := _pace(entry, result, state == "running") if started or state == "done" else Pace())._asdict(),
        work=made.work if made else None,
        last_line=_last_line(entry, progress) if state == "running" else "",
    )


def _last_line(entry: _Record, progress: Pace) -> str:
    if entry.plan.get("kind") == "workload" or progress.step is not None:
        return ""
    last = last_line(entry.run, entry.plan["nodes"])
    return last[0] if last else ""


def _state(entry: _Record, job: Job | None, answer: Answer) -> tuple[str, str, str]:
    state, reason = entry.recorded
    if job is None and state in ("queued", "running"):  # from an older version, or submitted by hand
        return "lost", "no job of it is recorded: resume goes on", "records"
    if job is None or state == "done":
        return state, reason, "records"
    state, reason = entry.within(job)
    if state not in _OPEN:
        return state, reason, "records"
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


def _job(events: Sequence[Event]) -> str | None:
    """The job as submitted: 12_3 for a task of an array, although Slurm gives the task itself a number of its own."""
    submitted = [job for event in events if event["event"] == "submitted" and (job := event.get("job"))]
    return submitted[-1] if submitted else None


def _below(folder: Path) -> Iterator[Path]:
    """The runs in a folder, itself included, and folders that cannot be entered. Does not look at the many files of a
    run."""
    folders = [folder]
    while folders:
        folder = folders.pop()
        if os.path.lexists(folder / "run.json"):
            yield folder
            continue
        try:
            if stages.is_workflow(folder):
                yield from (stage.folder for stage in stages.read(folder) if not os.path.lexists(stage.folder))
            if is_study(folder):
                yield from (
                    gone for name in names_in(folder) if not os.path.lexists((gone := folder / name) / "run.json")
                )
            with os.scandir(folder) as entries:
                inner = [entry for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name[0] != "."]
            folders += [folder / entry.name for entry in inner]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            yield folder


def _natural(path: Path) -> list[Any]:
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", str(path)))]


def _pace(entry: _Record, result: Result, running: bool) -> Pace:
    """How far a run is: from its steps and its output until there is a result, then from the result."""
    now = pace(entry.run)
    if not running:
        now = now._replace(left_s=None)
    elif made := so_far(entry.run, entry.plan):
        now = now._replace(throughput=made.value, unit=made.unit)
    if result:
        made = of_result(result)
        recorded = result.get("steps", 0)  # fewer than the last step's number if, say, only every hundredth is recorded
        steps = now.steps or (recorded if recorded >= (now.step or 0) else None)
        totals = {"steps": steps, "epochs": now.epochs or result.get("epochs")}
        now = now._replace(throughput=made and made.value, unit=made.unit if made else UNIT, left_s=None, **totals)
    return now
