"""Submits jobs, with patience while the scheduler is silent, and finds jobs whose answer was lost."""

import contextlib
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from launch.backends.commands import command
from launch.backends.scheduler import elsewhere
from launch.errors import Refusal, SubmissionRefused
from launch.plan.plan import Plan
from launch.record.job import Job

_SETTLING_S = 2.0  # time in which a scheduler that answers again handles the requests that waited
_ANSWER_S = 60.0


class NotSubmitted(Exception):
    """The scheduler gave no id; the message is what it said instead, in one line.

    Attributes
    ----------
    silent : bool
        Whether the scheduler did not answer. It may have accepted the job all the same.
    """

    def __init__(self, said: str, silent: bool) -> None:
        super().__init__(said)
        self.silent = silent


class Queue(NamedTuple):
    """What a submission needs to know about a scheduler."""

    title: str
    program: str  # the command that submits
    ask: Callable[[Job], str]  # submits a job, in one try, and returns the id; raises NotSubmitted
    find: Callable[[Job], str | None]  # finds the id of a job by its token; raises Refusal if there is no answer
    answers: Callable[[], bool]
    advice: Sequence[tuple[str, str]]  # patterns of what it says, and what to do about each; the first match counts


def submit(job: Job, queue: Queue) -> str:
    """Submit a job; return its id.

    Raises
    ------
    SubmissionRefused
        If the scheduler refuses the job, or stays silent for longer than the site's patience.
    """
    if not shutil.which(queue.program):
        raise SubmissionRefused(
            f"there is no {queue.title} here (no {queue.program}): load its module, or use --backend local"
        )
    patience_s = job.plans[0].patience_s
    deadline, pause = time.monotonic() + patience_s, 1.0
    while True:
        try:
            return queue.ask(job)
        except NotSubmitted as error:
            said, silent = str(error), error.silent
        if not silent:
            raise SubmissionRefused(f"{queue.title} refused the job: {said}{advice(said, queue)}")
        # A silent scheduler may have accepted the job all the same; it then shows the job once it answers again.
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise SubmissionRefused(
                    f"{queue.title} has not answered for {patience_s} s ({said}); should it have taken the job, resume "
                    "and cancel find it",
                    may_be_queued=True,
                )
            print(
                f"{queue.title} does not answer ({said}); trying for another {left:.0f} s", file=sys.stderr, flush=True
            )
            time.sleep(min(pause, left))
            pause = min(2 * pause, 30.0)
            if queue.answers():
                break
        time.sleep(_SETTLING_S)
        if found := queue.find(job):
            return found


def by_command(words: Callable[[Job], Sequence[str]], silent: str) -> Callable[[Job], str]:
    """Return the `Queue.ask` of a scheduler whose command prints the id. The scheduler counts as silent if the command
    does not return, succeeds without printing an id, or prints something that matches the regular expression
    ``silent``."""

    def ask(job: Job) -> str:
        asking = words(job)
        answer = command(asking, min(_ANSWER_S, job.plans[0].patience_s))
        if answer is not None and answer.returncode == 0 and (printed := answer.stdout.split()):
            return printed[-1]
        said = _said(answer, asking[0])
        raise NotSubmitted(said, answer is None or answer.returncode == 0 or bool(re.search(silent, said)))

    return ask


def by_name(
    title: str, name: Callable[[Job], str], ids: Callable[[str], Sequence[str] | None]
) -> Callable[[Job], str | None]:
    """Return the `Queue.find` of a scheduler that keeps the token in the name of a job. ``ids`` returns the jobs with a
    name, or None if the scheduler does not answer."""

    def find(job: Job) -> str | None:
        found = ids(name(job))
        if found is None:
            raise unknown(job, title)
        return found[0] if found else None

    return find


def attach(job: Job, queue: Queue) -> str | None:
    """Return the id of a job whose answer was lost; None if the scheduler does not have it.

    Raises
    ------
    Refusal
        If the scheduler does not answer, or the command of the launcher that asked may still be at work.
    """
    for pause_s in (0.0, _SETTLING_S):  # a process that has just begun has no command line yet
        time.sleep(pause_s)
        if job.host == socket.gethostname() and (pid := next(submitting(job.token), None)):
            raise Refusal(
                f"process {pid} is still submitting {job.folder}: wait for its end, or kill it, then try again"
            )
        if found := queue.find(job):
            return found
    # The job may have ended, and the scheduler have forgotten it.
    if why := elsewhere(job):
        raise Refusal(f"{job.holder}: {why}")
    started = [event for run in job.run_dirs for event in run.events("started")]
    own = [str(event.get("job")) for event in started if event.get("submission") == job.number and event.get("job")]
    return job.id_of(own[0]) if own else None


def unknown(job: Job, title: str) -> Refusal:
    """Return the refusal for a search that the scheduler did not answer."""
    return Refusal(
        f"{title} does not answer, and may have taken a job for {job.holder} that nobody has noted: try again later"
    )


def submitting(token: str) -> Iterator[int]:
    """Yield the processes that have the token in their command line: the scheduler's command, and whatever a site has
    put in its place. They outlive a launcher that was killed, and wait for the scheduler."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if token.encode() in entry.read_bytes():
                yield int(entry.parent.name)


def refuse_own(plan: Plan, own: Mapping[str, str]) -> None:
    """Refuse options for the scheduler that the plan itself decides, and would then be wrong about.

    Parameters
    ----------
    plan : Plan
        The plan, whose ``sbatch_args`` are checked.
    own : mapping of str to str
        Regular expressions of such options, and what to give in their place.
    """
    for word in plan.sbatch_args:
        if instead := next((instead for pattern, instead in own.items() if re.match(pattern, word)), None):
            raise Refusal(f"--sbatch-arg={word}: the plan would not be what the job is: give {instead} in its place")


def advice(said: str, queue: Queue) -> str:
    """Return what to do about a refusal, as text to append to it; empty if nothing better than the scheduler's own
    words is known."""
    return next((f": {what}" for pattern, what in queue.advice if re.search(pattern, said)), "")


def _said(answer: object, program: str) -> str:
    if answer is None:
        return f"no answer to {program}"
    text = getattr(answer, "stderr", "").strip() or getattr(answer, "stdout", "").strip()
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("usage:")]
    best = [line for line in lines if re.match(r"(qsub|flux|\[Errno)", line)] or lines
    line = best[0] if best else f"exit status {getattr(answer, 'returncode', '')}"
    return re.sub(r"^(qsub|flux[- ]\w+): (ERROR: )?", "", line)
