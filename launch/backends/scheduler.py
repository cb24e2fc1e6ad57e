"""The protocol of schedulers, and the form of their answers. Each scheduler is a package in this one."""

import importlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from launch.errors import command
from launch.plan.plan import Plan
from launch.record.job import Job
from launch.record.rundir import RunDir

_TOKEN = r"rankloop-[0-9a-f]{32}"

QUEUED, RUNNING, ENDED, UNKNOWN = "queued", "running", "ended", "unknown"
"""The phases of a job's life, whatever a scheduler calls its states."""


class Status(NamedTuple):
    """What a scheduler reports about a job, or about a task of an array."""

    phase: str  # QUEUED, RUNNING, ENDED, or UNKNOWN if it cannot be seen from this host
    word: str = ""  # the scheduler's own word for the state
    reason: str = ""  # why the job waits, or why it ended
    nodes: str = ""  # hosts, as Slurm writes them
    outcome: str | None = (
        None  # how the scheduler ended it: timeout, cancelled, stopped (preempted); None if it ended itself
    )
    marks: str = ""  # texts of the job's that bear its token or its script; empty if the scheduler shows none


Part = tuple[Job, RunDir | None]
"""One of the runs of a job, or with None the whole job."""


class Answer(NamedTuple):
    """What a scheduler has reported about jobs."""

    statuses: Mapping[str, Status]  # by the scheduler's ids, or by `key`; jobs not in it are forgotten
    silence: str = ""  # why there is no answer, in one line

    def of(self, job: Job, run: RunDir) -> Status | None:
        """Return the status of a run of a job; None if the scheduler does not know the job (any more)."""
        return self.statuses.get(key(job, run))


def key(job: Job, run: RunDir) -> str:
    """Return the key of a run of a job in an answer about jobs: a folder, as jobs of several clusters or hosts may have
    the same id."""
    return str(run.path if job.shape == "array" else job.folder)


def about(jobs: Iterable[Job], answer: Answer, handle: Callable[[Job, RunDir], str] = Job.handle) -> Answer:
    """Return what an answer by ids says about jobs. ``handle`` returns the id of what makes a run of a job."""
    statuses: dict[str, Status] = {}
    for job in jobs:
        for run in job.run_dirs:
            status = answer.statuses.get(handle(job, run))
            if status is not None and _is_of(status, job):
                statuses[key(job, run)] = status
    return Answer(statuses, answer.silence)


def marks(name: str, script: str = "") -> str:
    """Return the marks of a job from its name, which bears the token unless a hook of the site has replaced it, and a
    text that names its script, if the scheduler shows one."""
    return f"{name} {script}".rstrip() if script or re.search(_TOKEN, name) else ""


def _is_of(status: Status, job: Job) -> bool:
    """Return whether a status is that of a job, and not of one that has got the same id: on another cluster, or since
    the scheduler began to count anew. Without any token, as a site may set the comment itself, the script decides: by
    its path at the submission, or by any other that leads to it."""
    if not status.marks or not job.token:  # as in records of older versions
        return True
    if re.search(_TOKEN, status.marks):
        return job.token in status.marks
    submitted = os.path.join(job.made_for or job.holder, job.script.relative_to(job.holder))
    shown = os.path.realpath(status.marks.partition("|")[0])
    return submitted == shown or any(path in status.marks for path in (submitted, os.path.abspath(job.script)))


class Limits(NamedTuple):
    """How much a scheduler accepts at once."""

    array: int  # most tasks of an array; 0 if the scheduler has no arrays
    jobs: int | None = None  # most jobs of this user in the queue; each array task counts as one


class Scheduler(Protocol):
    """Runs jobs. All state is in the jobs' records and in the scheduler; an instance holds none."""

    name: str
    remote: bool  # whether its jobs outlive the launcher, and can depend on each other
    poll_s: float  # seconds between two questions

    def check(self, plan: Plan) -> None:
        """Refuse a plan that the scheduler cannot run."""

    def script(self, job: Job) -> str:
        """Return the text of what is run: the script of the job, with the command that submits it."""
        ...

    def submit(self, job: Job) -> str:
        """Submit a job, or start it; return its id.

        Raises
        ------
        SubmissionRefused
            If the scheduler refuses the job, or stays silent.
        """
        ...

    def attach(self, job: Job) -> str | None:
        """Return the id of a job whose answer was lost, found by its token; None if the scheduler does not have it.

        Raises
        ------
        Refusal
            If the scheduler cannot say whether it has the job.
        """

    def cluster(self, job: Job) -> str:
        """Return what tells the scheduler that is asked here about a job from others that share the file system; empty
        if there is no other, or this is not known."""
        ...

    def poll(self, jobs: Sequence[Job], shared: bool = False) -> Answer:
        """Return the states of jobs, by `key`. If ``shared``, the answer may be some seconds old, which spares the
        scheduler."""
        ...

    def cancel(self, parts: Sequence[Part], save_first: bool) -> Sequence[Part]:
        """End jobs, or single runs of them. Ranks that can are first asked to save and leave.

        Returns
        -------
        sequence of Part
            Those that have not ended in time, or about which the scheduler reports nothing: usually none.
        """
        ...

    def limits(self, plan: Plan) -> Limits:
        """Return how many jobs with such a plan the scheduler accepts at once."""
        ...


def scheduler(name: str) -> Scheduler:
    """Return the scheduler of a plan's ``backend``: the value ``SCHEDULER`` of the module ``scheduler`` in its
    package."""
    return importlib.import_module(f"launch.backends.{name}.scheduler").SCHEDULER


def poll_all(jobs: Iterable[Job], shared: bool = False) -> Answer:
    """Return the states of jobs of several schedulers. A job that none knows is unknown if its cluster is another."""
    jobs = list(jobs)
    by_backend: dict[str, list[Job]] = {}
    for job in jobs:
        by_backend.setdefault(job.backend, []).append(job)
    answers = [scheduler(name).poll(those, shared) for name, those in by_backend.items()]
    statuses = {each: status for answer in answers for each, status in answer.statuses.items()}
    silence = next((answer.silence for answer in answers if answer.silence), "")
    here: dict[tuple[str, str], str] = {}  # a scheduler that does not answer is waited for once, not for each job
    for job in jobs if not silence else ():
        gone = [each for run in job.run_dirs if (each := key(job, run)) not in statuses]
        if not gone:
            continue
        asked = job.backend, job.cluster
        if asked not in here:
            here[asked] = _here(job)
        if why := _elsewhere(job, here[asked]):
            statuses |= dict.fromkeys(gone, Status(UNKNOWN, reason=why))
    return Answer(statuses, silence)


def elsewhere(job: Job) -> str:
    """Return why a job cannot be seen from here, if it was submitted to another cluster; otherwise empty."""
    return _elsewhere(job, _here(job))


def has_moved(job: Job) -> str:
    """Return the cluster here if it may be that of a job, under another controller; otherwise empty."""
    here = _here(job)
    return here if here != job.cluster and _name(here) == _name(job.cluster) else ""


def _here(job: Job) -> str:
    return scheduler(job.backend).cluster(job) if job.cluster else ""


def _name(cluster: str) -> str:
    return cluster.partition(" (")[0]


def _elsewhere(job: Job, here: str) -> str:
    if here in ("", job.cluster):
        return ""
    moved = f"; if that is this cluster, whose controller has moved: {command('resume --take-over', job.holder)}"
    return f"submitted to another cluster, {job.cluster}: ask there{moved * (_name(here) == _name(job.cluster))}"
