"""What is known about runs: from their files and, for those under way, from their scheduler.

A state is one of
  planned    made, and never submitted
  queued     waits for its nodes
  running
  done
  stopped    its ranks have saved and left: resume goes on
  failed, timeout, cancelled
  lost       it had begun, and is gone without having noted its end: resume goes on
  unknown    a local run of another host, which cannot be seen from here, or one whose scheduler cannot be asked
  missing    a study has it in its index, and nothing of it is left: resume of the study runs it again
  damaged    a file of it holds something else than it should
  unreadable a file of it cannot be read, as that of another user
"""

import functools
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.backends.scheduler import ENDED, UNKNOWN, Answer, Status, key, poll_all
from launch.errors import Refusal, command
from launch.record import job as record
from launch.record import network
from launch.record.activity import last_line
from launch.record.contents import Result
from launch.record.files import Unreadable
from launch.record.job import Job
from launch.record.performance.figures import UNIT, of_result, so_far
from launch.record.performance.pace import Pace, pace
from launch.record.rundir import Event, RunDir
from launch.record.study import holder_of, names_in
from launch.submit.judging import OPEN, Record, state_of
from launch.submit.workflow import stages

UNDER_WAY = ("queued", "running", "unknown")
BROKEN = ("damaged", "unreadable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known about a run; None for what is not known."""

    path: Path
    state: str
    reason: str = ""  # why it waits, failed or was lost, in short
    source: str = "records"  # origin of the state: "records", or "scheduler" if that was asked
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
    unit: str = UNIT  # unit of the throughput
    work: float | None = None  # the work whose speed this is, if it is a speed
    left_s: float | None = None  # seconds until the last step, at this speed
    last_line: str = ""  # last output of a running program that records no steps

    @property
    def under_way(self) -> bool:
        """Whether the run may still continue without the user."""
        return self.state in UNDER_WAY


def look(paths: Sequence[Path], fresh: bool = False, poll: Callable[..., Answer] = poll_all) -> tuple[list[Known], str]:
    """Find out about runs.

    Parameters
    ----------
    paths : sequence of Path
        Run directories.
    fresh : bool
        Whether to ask the schedulers now. By default, an answer that another process got some seconds ago is good
        enough.
    poll : function
        Function that asks the schedulers about all jobs at once, if there is something to ask.

    Returns
    -------
    known : list of Known
        What is known about each run, in the same order.
    silence : str
        Why a scheduler did not answer, if there was something to ask; the states are then from the records.
    """
    records: dict[Path, Record | Known] = {}
    names = functools.cache(names_in)
    for path in (RunDir(path).path for path in paths):
        try:
            records[path] = Record.read(path)
        except (Unreadable, OSError) as error:
            records[path] = _missing(path, names(path.parent)) or _broken(path, error)
    jobs: dict[Path, Job] = {}
    unfinished = [each for each in records.values() if isinstance(each, Record) and each.recorded[0] != "done"]
    by_holder: dict[Path, list[RunDir]] = {}
    for each in unfinished:
        by_holder.setdefault(holder_of(each.run), []).append(each.run)
    for those in by_holder.values():
        try:
            jobs |= record.latest(those)
        except (Unreadable, OSError) as error:
            records |= {run.path: _broken(run.path, error) for run in those}
    open_ = [each for each in unfinished if each.run.path in jobs and each.within(jobs[each.run.path])[0] in OPEN]
    open_ = [each for each in open_ if not jobs[each.run.path].original]
    answer = _ask({each.run.path: jobs[each.run.path] for each in open_}, open_, fresh, poll)
    known = []
    for path, each in records.items():
        try:
            known.append(each if isinstance(each, Known) else _know(each, jobs.get(path), answer))
        except (Refusal, OSError) as error:
            known.append(_broken(path, error))
    return known, answer.silence


def _broken(path: Path, error: Refusal | OSError) -> Known:
    """Return the entry of a run about which nothing more can be known. Such a run must not hide the others."""
    if isinstance(error, OSError):
        error = Unreadable(Path(error.filename or path), error)
    state, reason = (error.state, error.reason) if isinstance(error, Unreadable) else ("damaged", str(error))
    return Known(path=path, state=state, reason=reason)


def _missing(path: Path, of_study: Collection[str]) -> Known | None:
    """Return what is known about a run of a study that is gone or has lost its run.json, of a stage that is gone, or of
    a workflow whose index is damaged; None for any other."""
    if not os.path.lexists(path) and stages.is_workflow(path.parent):
        return Known(
            path=path, state="missing", reason="a stage that is gone: start the workflow again under another name"
        )
    if stages.is_workflow(path) and not os.path.lexists(path / "run.json"):
        try:
            stages.read(path)
        except Refusal as error:
            return _broken(path, error)
    if os.path.lexists(path / "run.json") or path.name not in of_study:
        return None
    if RunDir(path).is_missing:
        return Known(path=path, state="missing", reason=f"run it again: {command('resume', path.parent)}")
    return Known(path=path, state="damaged", reason="it has no run.json: remove the rest, then resume the study")


def under_way(runs: Sequence[RunDir]) -> dict[Path, Known]:
    """Return the runs that are or may be queued or running, and so must not be submitted again. Runs that are missing
    from their study may be, too.

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
    found = {one.path: one for one in known if one.under_way}
    gone = [RunDir(one.path) for one in known if one.state == "missing"]
    jobs = {path: job for path, job in record.latest(gone).items() if job.id and not job.original}
    answer = _polled(list(dict.fromkeys(jobs.values())), False, poll_all) if jobs else Answer({})
    for path, job in jobs.items():
        status = answer.of(job, RunDir(path))
        if answer.silence or status and status.phase != ENDED:
            why = f"its folder is gone, and job {job.handle(RunDir(path))} has not ended: wait for that, or end it"
            found[path] = Known(path=path, state="missing", reason=why)
    return found


def _ask(jobs: dict[Path, Job], entries: Sequence[Record], fresh: bool, poll: Callable[..., Answer]) -> Answer:
    """Return what the schedulers report. They are asked again if an older answer lacks a job that should be there."""
    submitted = list(dict.fromkeys(job for job in jobs.values() if job.id))
    if not submitted:
        return Answer({})
    answer = _polled(submitted, not fresh, poll)
    missing = (
        each.within(jobs[each.run.path])[0] != "stopped" and answer.of(jobs[each.run.path], each.run) is None
        for each in entries
    )
    return _polled(submitted, False, poll) if not fresh and not answer.silence and any(missing) else answer


def _polled(jobs: Sequence[Job], shared: bool, poll: Callable[..., Answer]) -> Answer:
    """Return what the schedulers report about jobs. A job that cannot be asked about, as its file is damaged, is
    unknown, and does not hide others."""
    try:
        return poll(jobs, shared)
    except (Refusal, OSError) as error:
        if len(jobs) == 1:
            (job,) = jobs
            return Answer({key(job, run): Status(UNKNOWN, reason=str(error)) for run in job.run_dirs})
    first = [job for job in jobs if job.backend == jobs[0].backend]  # each scheduler is asked about all its jobs
    others = [job for job in jobs if job.backend != jobs[0].backend]
    if not others:
        first, others = jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]
    answers = [_polled(some, shared, poll) for some in (first, others)]
    return Answer({**answers[0].statuses, **answers[1].statuses}, answers[0].silence or answers[1].silence)


def _know(entry: Record, job: Job | None, answer: Answer) -> Known:
    state, reason, source = state_of(entry, job, answer)
    if source == "scheduler" and state not in UNDER_WAY:  # it may have recorded its end after its events were read
        entry = Record.read(entry.run.path)
        state, reason, source = state_of(entry, job, answer)
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


def _last_line(entry: Record, progress: Pace) -> str:
    if entry.plan.get("kind") == "workload" or progress.step is not None:
        return ""
    last = last_line(entry.run, entry.plan["nodes"])
    return last[0] if last else ""


def _job(events: Sequence[Event]) -> str | None:
    """Return the job as submitted: 12_3 for a task of an array, although Slurm gives the task itself a number of its
    own."""
    submitted = [job for event in events if event["event"] == "submitted" and (job := event.get("job"))]
    return submitted[-1] if submitted else None


def _pace(entry: Record, result: Result, running: bool) -> Pace:
    """Return how far a run is: from its steps and its output until there is a result, then from the result."""
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
