"""Flux: jobs by flux batch, their states by flux jobs, their end by flux job kill and flux cancel."""

import shlex
from collections.abc import Sequence

from launch.backends import cancelling, followed, rank_command, submission
from launch.backends.commands import command
from launch.backends.flux import queue, script
from launch.backends.scheduler import Answer, Limits, Part
from launch.backends.script import allocated, write
from launch.plan.plan import Plan
from launch.record import again
from launch.record.job import Job

_ADVICE = (
    (r"Invalid queue", "name another with -p: flux queue list shows them"),
    (r"requested duration", "ask for less --time, or name another queue with -p"),
    (r"requested n\w+", "ask for fewer nodes, or name another queue with -p"),
    (r"unsatisfiable", "ask for fewer nodes, or less of each: flux resource list shows what there is"),
    (r"dependency", "the job that it depends on has failed, or is forgotten: resume that one first"),
    (r"bank|account", "name a bank of yours with -A"),
)

_OWN = {
    r"-N|--nodes(=|$)": "--nodes",
    r"-n|--nslots(=|$)": "--nodes and --ranks-per-node",
    r"-t|--time-limit(=|$)": "--time",
    r"--wait$": "--wait",
    r"--job-name(=|$)": "--job-name",  # the name that is submitted bears the token
}


class Flux:
    """The scheduler of El Capitan and Tuolumne; see `launch.backends.scheduler.Scheduler`."""

    name = "flux"
    remote = True
    poll_s = 2.0

    def check(self, plan: Plan) -> None:
        """Refuse what the plan would be wrong about, and what cannot run."""
        submission.refuse_own(plan, _OWN)
        rank_command.refuse_absent(plan)

    def script(self, job: Job) -> str:
        """Return the command and the script exactly as submitted."""
        job = allocated(job)
        return f"{shlex.join(_batch(job))}\n\n{script.script(job)}"

    def submit(self, job: Job) -> str:
        """Give Flux the script of a job, with patience while it is silent; return the job's id as a number."""
        job = allocated(job)
        write(job, script.script(job))
        if job.plans[0].max_attempts > 1:
            again.allow(job, script.batch(job, again=True))
        return queue.decimal(submission.submit(job, _QUEUE))

    def attach(self, job: Job) -> str | None:
        """Return the id of the job that has the token in its name."""
        return submission.attach(job, _QUEUE)

    def cluster(self, job: Job) -> str:
        """Return nothing: Flux has no name for an instance."""
        return ""

    def poll(self, jobs: Sequence[Job], shared: bool = False) -> Answer:
        """Return what Flux reports about jobs, and about those that were submitted from within them."""
        return followed.poll(jobs, queue.ask)

    def cancel(self, parts: Sequence[Part], save_first: bool) -> Sequence[Part]:
        """End jobs, and wait for them to leave the queue; return those that Flux may still run."""
        return cancelling.cancel(parts, save_first, _ENDING)

    def limits(self, plan: Plan) -> Limits:
        """Return that Flux has no arrays, so each run of a study is a job, and the queue's limit from the site file."""
        return Limits(1, plan.max_jobs)


SCHEDULER = Flux()


def _batch(job: Job) -> list[str]:
    return queue.words(*script.batch(job)[1:])


def _warn(ids: Sequence[str]) -> bool:
    return followed.warn(ids, queue.ask, lambda id: queue.words("job", "kill", "-s", "SIGUSR2", id), _end)


def _end(ids: Sequence[str]) -> None:
    command(queue.words("cancel", *ids))


_QUEUE = submission.Queue(
    "Flux",
    "flux",
    submission.by_command(_batch, queue.SILENT),
    submission.by_name("Flux", script.name, queue.by_name),
    queue.answers,
    _ADVICE,
)
_ENDING = cancelling.Ending("Flux", followed.ids, queue.ask, _warn, _end)
