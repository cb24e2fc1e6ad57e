"""The protocol of schedulers, and the form of their answers. Each scheduler is a package in this one."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from launch.plan.plan import Plan
from launch.record.job import Job
from launch.record.rundir import RunDir

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


Part = tuple[Job, RunDir | None]
"""One of the runs of a job, or with None the whole job."""


class Answer(NamedTuple):
    """What a scheduler has reported about jobs."""

    statuses: Mapping[str, Status]  # by `Job.handle` or the job's id; jobs not in it are forgotten
    silence: str = ""  # why there is no answer, in one line

    def of(self, job: Job, run: RunDir) -> Status | None:
        """Return the status of a run of a job; None if the scheduler does not know the job (any more)."""
        return self.statuses.get(job.handle(run) if job.shape == "array" else str(job.id))


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

    def poll(self, jobs: Sequence[Job], shared: bool = False) -> Answer:
        """Return the states of jobs. If ``shared``, the answer may be some seconds old, which spares the scheduler."""
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
    """Return the states of jobs of several schedulers."""
    by_backend: dict[str, list[Job]] = {}
    for job in jobs:
        by_backend.setdefault(job.backend, []).append(job)
    answers = [scheduler(name).poll(those, shared) for name, those in by_backend.items()]
    statuses = {handle: status for answer in answers for handle, status in answer.statuses.items()}
    return Answer(statuses, next((answer.silence for answer in answers if answer.silence), ""))
