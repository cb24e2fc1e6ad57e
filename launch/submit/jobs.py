"""The jobs of runs: makes them, submits them so that none is lost or submitted twice, finds them again, and ends
them."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.backends.scheduler import QUEUED, RUNNING, Part, has_moved, poll_all, scheduler
from launch.errors import Refusal, SubmissionRefused, command
from launch.plan.packing import in_order
from launch.plan.plan import Plan
from launch.record import job as record
from launch.record.job import Job
from launch.record.rundir import RunDir

if TYPE_CHECKING:
    from launch.submit.lock import Hold

Runs = Sequence[tuple[RunDir, Plan]]

_OF_A_RUN = {"name", "job_name", "workload", "arguments", "entry", "describe", "seed", "kind"}
_SHAPE = [field.name for field in dataclasses.fields(Plan) if field.name not in _OF_A_RUN]
"""The fields of a plan that all tasks of an array share."""


def make(holder: Path, runs: Runs, throttle: int | None = None, detached: bool = False) -> list[Job]:
    """Return the jobs for some runs of a study, or for the holder itself if it is a run. Nothing is written or asked
    yet.

    Runs of one shape share an array if the scheduler has arrays; else all runs share one job.
    """
    runs = in_order(runs)
    plan = runs[0][1]
    if runs[0][0].path == holder:
        shape, groups = "run", [runs]
    elif plan.pack or not (most := scheduler(plan.backend).limits(plan).array):
        shape, groups = "pack", [runs]
    else:
        shape = "array"
        groups = [
            members[first : first + most] for members in _by_shape(runs) for first in range(0, len(members), most)
        ]
    first = record.next_folder(holder)
    return [
        Job(
            folder=first.with_name(str(int(first.name) + place)),
            backend=plan.backend,
            shape=shape,
            runs=tuple("." if run.path == holder else run.path.name for run, _ in members),
            saves=any(each.handles_warning for _, each in members),
            name=_name(holder, shape, members[0][1]),
            throttle=_at_once(plan, throttle) if shape != "run" else None,
            detached=detached,
            plans=[each for _, each in members],
        )
        for place, members in enumerate(groups)
    ]


def submit(jobs: Sequence[Job], hold: Hold) -> list[Job]:
    """Submit jobs to their scheduler: all of them or, if one is refused or the user interrupts, none.

    Parameters
    ----------
    jobs : sequence of Job
        Jobs as `make` returns them.
    hold : Hold
        The lock of the run, study or workflow.

    Raises
    ------
    SubmissionRefused
        If the scheduler refuses one; those before it have been cancelled.
    KeyboardInterrupt
        If the user asked for the end; the scheduler no longer has any of them.
    """
    with all_or_none() as together:
        together += jobs
        return in_turn(jobs, hold)


def in_turn(jobs: Sequence[Job], hold: Hold) -> list[Job]:
    """Submit jobs of a run or study, within `all_or_none`; return them with their ids.

    The arrays of a throttled study run one behind the other, and behind those that it has under way: schedulers count
    the tasks of each array by itself.
    """
    submitted: list[Job] = []
    throttled = any(job.shape == "array" and job.throttle for job in jobs)
    behind = _under_way(jobs[0].holder) if throttled else ()
    for job in jobs:
        submitted.append(_submit(dataclasses.replace(job, behind=behind), hold))
        behind = (str(submitted[-1].id),) if throttled else ()
    return submitted


def _under_way(holder: Path) -> tuple[str, ...]:
    """Return the ids of the jobs of a study that its scheduler has now."""
    given = [job for job in record.of(holder) if job.state == "submitted" and not job.original]
    answer = poll_all(given)
    if answer.silence:
        raise Refusal(
            f"the scheduler does not answer ({answer.silence}), so it may still have {holder}: try again later"
        )
    phases = {job: {status.phase for run in job.run_dirs if (status := answer.of(job, run))} for job in given}
    return tuple(str(job.id) for job in given if phases[job] & {QUEUED, RUNNING})


@contextlib.contextmanager
def all_or_none() -> Iterator[list[Job]]:
    """Yield a list for jobs that the block is about to submit. If it fails, or the user interrupts it, the jobs are
    cancelled.

    If the scheduler is silent they stay: they can be neither seen nor ended now, and their records remain.
    """
    together: list[Job] = []
    try:
        yield together
    except (Refusal, KeyboardInterrupt) as error:
        if isinstance(error, SubmissionRefused) and error.may_be_queued:
            raise
        try:
            # An interrupt may have come at any moment, so only the records show which jobs exist.
            given = [record.read(job.folder) for job in together if (job.folder / "job.json").exists()]
            given = [attached(job) if job.state == "asked" else job for job in given]
            if given := [job for job in given if job.state == "submitted"]:
                end([(job, None) for job in given], save_first=False)
        except Refusal as refusal:
            print(f"launch: {refusal}", file=sys.stderr, flush=True)
            if isinstance(error, SubmissionRefused):
                error.may_be_queued = True  # some jobs were not cancelled: the folder has to stay
        raise


def find_lost(runs: Iterable[RunDir]) -> None:
    """Complete the records of jobs whose launcher was killed before it knew the answer. The caller holds the lock.

    Raises
    ------
    Refusal
        If it cannot be found out whether the scheduler has such a job.
    """
    for job in dict.fromkeys(record.latest(runs).values()):
        if job.state == "asked":
            found = attached(job)
            if found.id:
                print(
                    f"job            {found.id}: recovered; it had been submitted, but its answer was lost", flush=True
                )


def take_over(runs: Iterable[RunDir]) -> None:
    """Record that the jobs of runs are those of the cluster here, where only its controller differs from theirs."""
    for job in dict.fromkeys(record.latest(runs).values()):
        if here := has_moved(job):
            job.moved(here)
            print(f"job            {job.id}: of {job.cluster}, and from now on of {here}", flush=True)


def attached(job: Job) -> Job:
    """Complete the record of a job whose answer was lost; return the job. A copy of the run that asked has none."""
    if job.original:
        return job.answered(None)
    # Its launcher may have been killed after it wrote to the runs and before it wrote the record.
    number = next((note.get("job") for run in job.run_dirs if (note := job.note_in(run))), None)
    return job.answered(job.id_of(number) if number else scheduler(job.backend).attach(job))


def end(parts: Sequence[Part], save_first: bool = True, reason: str = "") -> None:
    """End jobs or single runs of them, and record that in the runs, with the reason. Return once they have ended.

    Raises
    ------
    Refusal
        If some have not ended because their scheduler refuses or does not answer. Nothing is recorded for these.
    """
    ending: list[Part] = []
    left: list[Part] = []
    for job, run in parts:
        if run is None or job.shape != "pack":
            ending.append((job, run))
            continue
        begun, remote = last_event(run, job).get("event") == "started", scheduler(job.backend).remote
        if not (begun and remote):  # the note stops a run that has not begun; ending another may be refused
            _note_cancelled(job, run, reason)
        if begun or not remote:
            ending.append((job, run))
    for backend in {job.backend: None for job, _ in ending}:
        for saves in (True, False):
            those = [(job, run) for job, run in ending if job.backend == backend and _saves(job) is saves]
            if those:
                left += scheduler(backend).cancel(those, save_first and saves)
    for job, run in parts:
        for each in [run] if run else job.run_dirs:
            if (job, run) not in left:
                _note_cancelled(job, each, reason)
    if left:
        names = ", ".join(job.handle(run) if run else str(job.id) for job, run in left)
        raise Refusal(f"job {names} has not ended (see {command('status', left[0][0].holder)}): try again later")


def last_event(run: RunDir, job: Job) -> Mapping[str, Any]:
    """Return the last event of a run within a job, found by the job's number, not by time; empty if there is none."""
    kinds = ("submitted", "started", "ended", "cancelled")
    own = [event for event in run.events() if event["event"] in kinds and event.get("submission") == job.number]
    return own[-1] if own else {}


def _submit(job: Job, hold: Hold) -> Job:
    """Submit a job to its scheduler; return it with its id."""
    job.folder.mkdir(mode=0o700, parents=True)
    job.log.parent.mkdir(exist_ok=True)
    job = job.ask(scheduler(job.backend).cluster(job))  # from here on the scheduler may have the job
    try:
        hold.check()
    except Refusal:
        job.answered(None)
        raise
    try:
        job = job.answered(scheduler(job.backend).submit(job))
    except SubmissionRefused as refusal:
        if not refusal.may_be_queued:
            job.answered(None)
        raise
    return job


def _saves(job: Job) -> bool:
    return job.saves or any(run.handles_warning.exists() for run in job.run_dirs)


def _note_cancelled(job: Job, run: RunDir, reason: str) -> None:
    if not run.is_missing and run.result() is None and last_event(run, job).get("event") != "cancelled":
        run.append_event("cancelled", submission=job.number, **({"reason": reason} if reason else {}))


def _at_once(plan: Plan, throttle: int | None) -> int | None:
    """Return how many runs of a study may run at a time; None if there is no limit."""
    if plan.backend == "allocation" and (plan.pack or plan.stop_below is not None):
        return throttle or 1  # else larger runs would begin before the smaller ones are measured
    return None if plan.pack else throttle or 1 if plan.backend == "local" else throttle


def _by_shape(runs: Runs) -> list[list[tuple[RunDir, Plan]]]:
    """Return groups of runs that can be tasks of one array: they differ only in their names and words."""
    shapes: dict[str, list[tuple[RunDir, Plan]]] = {}
    for run, plan in runs:
        shapes.setdefault(repr([getattr(plan, field) for field in _SHAPE]), []).append((run, plan))
    return list(shapes.values())


def _name(holder: Path, shape: str, plan: Plan) -> str:
    """Return the name of a job, as the scheduler shows it: the one asked for, else that of the run or study."""
    if shape == "run" or plan.job_name != plan.name:
        return plan.job_name
    return holder.name if shape == "pack" else f"{holder.name}-n{plan.nodes}"
