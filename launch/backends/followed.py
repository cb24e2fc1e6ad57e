"""Jobs that may continue under new ids, because they were submitted again from within: see `launch.record.again`."""

from collections.abc import Callable, Sequence

from launch.backends.commands import command
from launch.backends.scheduler import ENDED, QUEUED, Answer, Part, about
from launch.record import again
from launch.record.job import Job

Ask = Callable[[Sequence[str]], Answer]
"""Asks a scheduler about ids."""


def poll(jobs: Sequence[Job], ask: Ask) -> Answer:
    """Return the states of jobs; for one that continues under a new id, the state of the new job."""
    later = {job.folder: again.ids(job) for job in jobs}
    while True:
        answer = ask([*(job.id for job in jobs if job.id), *(id for ids in later.values() for id in ids.values())])
        before, later = later, {job.folder: again.ids(job) for job in jobs}
        if answer.silence:
            return answer
        if later == before:
            break  # otherwise a job was submitted again meanwhile, so its end was not final
    return about(jobs, answer, lambda job, run: later[job.folder].get(run.path) or job.handle(run))


def ids(part: Part) -> list[str]:
    """Return the ids of the jobs that make a part, and forbid submitting it again, so that no others follow."""
    job, run = part
    for each in [run] if run else job.run_dirs:
        again.forbid(job, each)
    later = again.ids(job)
    if run is not None:
        return [later.get(run.path) or job.handle(run)]
    return list(dict.fromkeys([str(job.id), *later.values()]))


def warn(
    every: Sequence[str], ask: Ask, one: Callable[[str], Sequence[str]], end: Callable[[Sequence[str]], object]
) -> bool:
    """Do what `launch.backends.cancelling.Ending` says of ``warn``, for a scheduler that signals ids singly, by
    ``one``."""
    answer = ask(every)
    phases = {id: status.phase for id, status in answer.statuses.items()}
    if queued := [id for id in every if phases.get(id) == QUEUED]:
        end(queued)
    # In an array, each running task has its own id.
    for id in (id for id, phase in phases.items() if phase not in (QUEUED, ENDED) and "[]" not in id):
        command(one(id))
    return not answer.silence
