"""The states and the end of jobs that may go on under new ids, as they were submitted again from within: see
`launch.record.again`."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Sequence

from launch.backends.commands import command
from launch.backends.scheduler import ENDED, QUEUED, Answer, Part
from launch.errors import Refusal
from launch.record import again
from launch.record.job import Job

_GRACE_S = 30.0  # for ranks that were asked to save and leave
_LEAVING_S = 90.0  # for ended jobs to leave the queue: PBS kills up to half a minute after it has asked

Ask = Callable[[Sequence[str]], Answer]
"""Asks a scheduler about ids."""


def poll(jobs: Sequence[Job], ask: Ask) -> Answer:
    """The states of jobs, of each that goes on under a new id those of the new one."""
    later = [again.ids(job) for job in jobs]
    while True:
        answer = ask([*(job.id for job in jobs if job.id), *(id for ids in later for id in ids.values())])
        before, later = later, [again.ids(job) for job in jobs]
        if answer.silence:
            return answer
        if later == before:
            break  # else one was submitted again meanwhile, and its end is not the end
    statuses = dict(answer.statuses)
    for job, ids in zip(jobs, later):
        for run in job.run_dirs if ids else ():
            if (id := ids.get(run.path)) is not None:
                statuses.pop(job.handle(run), None)
                if id in answer.statuses:
                    statuses[job.handle(run)] = answer.statuses[id]
    return Answer(statuses)


def cancel(
    parts: Sequence[Part],
    save_first: bool,
    ask: Ask,
    warn: Callable[[str], Sequence[str]],
    end: Callable[[Sequence[str]], Sequence[str]],
) -> Sequence[Part]:
    """End jobs and single runs of them, and wait until they have left the queue.

    Parameters
    ----------
    parts, save_first
        As `launch.backends.scheduler.Scheduler.cancel` has them.
    ask : function
        Asks for the states of ids.
    warn : function
        The command that asks the ranks of an id to save and leave.
    end : function
        The command that ends ids.

    Returns
    -------
    sequence of Part
        Those that may still run.

    Raises
    ------
    Refusal
        If one is a run of a packed study, whose job holds the others too.
    """
    if packed := next((job for job, run in parts if run and job.shape == "pack"), None):
        raise Refusal(f"job {packed.id} holds other runs of {packed.holder} too: name that folder to cancel them all")
    for job, run in parts:
        for each in [run] if run else job.run_dirs:
            again.forbid(job, each)
    ids = [_ids(part) for part in parts]
    every = list(dict.fromkeys(id for those in ids for id in those))
    how = ": the ranks are asked to save and leave; Ctrl-C again ends them at once" if save_first else ""
    print(f"\nending job {', '.join(every)}{how}", file=sys.stderr, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        if save_first:
            phases = {id: status.phase for id, status in ask(every).statuses.items()}
            if queued := [id for id in every if phases.get(id) == QUEUED]:
                command(end(queued))
            # Of an array, each task that runs.
            for id in (id for id, phase in phases.items() if phase not in (QUEUED, ENDED) and "[]" not in id):
                command(warn(id))
            _wait_until_gone(every, ask, _GRACE_S)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    command(end(every))
    left = _wait_until_gone(every, ask, _LEAVING_S)
    signal.signal(signal.SIGINT, before)
    return [part for part, those in zip(parts, ids) if left & {*those}]


def _ids(part: Part) -> list[str]:
    job, run = part
    later = again.ids(job)
    if run is not None:
        return [later.get(run.path) or job.handle(run)]
    return list(dict.fromkeys([str(job.id), *later.values()]))


def _wait_until_gone(ids: Sequence[str], ask: Ask, seconds: float) -> set[str]:
    """Wait for jobs and tasks to leave the queue; return those that have not, all if the scheduler is silent."""
    deadline = time.monotonic() + seconds
    left = {*ids}
    while left and time.monotonic() < deadline:
        answer = ask(sorted(ids))
        if not answer.silence:
            left = {id for id in ids if (status := answer.statuses.get(id)) and status.phase != ENDED}
        if left:
            time.sleep(0.5)
    return left
