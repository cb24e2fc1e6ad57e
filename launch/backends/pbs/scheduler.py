"""PBS (OpenPBS, PBS Professional): jobs by qsub, their states by qstat, their end by qsig and qdel."""

import shlex
import shutil
import time
from collections.abc import Sequence

from launch.backends import cancelling, followed, rank_command, submission
from launch.backends.commands import command
from launch.backends.pbs import queue, script
from launch.backends.scheduler import QUEUED, Answer, Limits, Part
from launch.backends.script import allocated, write
from launch.errors import SubmissionRefused
from launch.plan.plan import Plan
from launch.record import again
from launch.record.job import Job

_FIRST_S = 2.0  # time within which PBS says why a job waits
_ADVICE = (
    (r"Unknown queue", "name another with -p: qstat -Q lists them"),
    (r"not enabled", "this queue takes no jobs just now: name another with -p"),
    (r"Unauthorized", "this queue is not open to you: name another with -p, or an account with -A"),
    (
        r"resource limits",
        "ask for less --time or fewer nodes, or name another queue with -p: qstat -Qf says what each allows",
    ),
    (r"Unknown resource", "this PBS does not count it: see gpu_resource, chunk and resources in the site file"),
    (r"Illegal attribute or resource value", "see chunk, place and resources in the site file"),
    (r"Array job exceeds", "give a study one job with --pack, or make it smaller"),
    (r"would exceed|limit on|limit of", "wait for some of your jobs to end, or give a study one job with --pack"),
    (r"[Aa]ccount|[Pp]roject|allocation", "name an account of yours with -A"),
    (r"Bad UID", "submit from a host of the cluster, and not as root"),
)

_OWN = {
    r"(-l ?)?walltime=": "--time",
    r"(-l ?)?nodes=": "--nodes",
    "-J": "--sweep or --repeats",
    "-N": "--job-name",  # the name that is submitted bears the token
    "-W ?block": "--wait",
}


class Pbs:
    """The scheduler of many machines in America, Japan and Australia; see `launch.backends.scheduler.Scheduler`."""

    name = "pbs"
    remote = True
    poll_s = 2.0

    def check(self, plan: Plan) -> None:
        """Refuse what the plan would be wrong about and, if there is a PBS to ask, what it cannot run."""
        submission.refuse_own(plan, _OWN)
        if shutil.which("qsub"):
            queue.check_queue_limits(plan)
            rank_command.refuse_absent(plan)

    def script(self, job: Job) -> str:
        """Return the command and the script exactly as submitted."""
        job = allocated(job)
        return f"{shlex.join(script.qsub(job))}\n\n{script.script(job)}"

    def submit(self, job: Job) -> str:
        """Give PBS the script of a job, with patience while it is silent; return the job's id."""
        job = allocated(job)
        write(job, script.script(job))
        if job.plans[0].max_attempts > 1:
            again.allow(job, script.qsub(job, again=True))
        id = submission.submit(job, _QUEUE)
        if why := _never(id, job):
            command(["qdel", id])
            raise SubmissionRefused(f"PBS could never run the job: {why}: ask for fewer nodes, or less of each")
        return id

    def attach(self, job: Job) -> str | None:
        """Return the id of the job that has the token in its name."""
        return submission.attach(job, _QUEUE)

    def cluster(self, job: Job) -> str:
        """Return nothing: the id of a job names its server, and qstat asks that one."""
        return ""

    def poll(self, jobs: Sequence[Job], shared: bool = False) -> Answer:
        """Return what qstat reports about jobs, and about those that were submitted from within them."""
        return followed.poll(jobs, queue.ask)

    def cancel(self, parts: Sequence[Part], save_first: bool) -> Sequence[Part]:
        """End jobs and tasks of arrays, and wait for them to leave the queue; return those that PBS may still run."""
        return cancelling.cancel(parts, save_first, _ENDING)

    def limits(self, plan: Plan) -> Limits:
        """Return max_array_size of this PBS, and the queue's limit from the site file."""
        return Limits(queue.largest_array(), plan.max_jobs)


SCHEDULER = Pbs()


def _warn(ids: Sequence[str]) -> bool:
    return followed.warn(ids, queue.ask, lambda id: ["qsig", "-s", "USR2", id], _end)


def _end(ids: Sequence[str]) -> None:
    command(["qdel", *ids])


_QUEUE = submission.Queue(
    "PBS",
    "qsub",
    submission.by_command(script.qsub, queue.SILENT),
    submission.by_name("PBS", script.name, queue.by_name),
    queue.answers,
    _ADVICE,
)
_ENDING = cancelling.Ending("PBS", followed.ids, queue.ask, _warn, _end)


def _never(id: str, job: Job) -> str:
    """Return why PBS can never run a job that it has accepted, which it says once it has looked at the job; otherwise
    empty."""
    deadline = time.monotonic() + _FIRST_S
    while not (job.after or job.behind) and time.monotonic() < deadline:
        answer = queue.ask([id])
        status = answer.statuses.get(id)
        if status is None or status.phase != QUEUED or status.reason:
            return queue.never(status)
        time.sleep(0.1)
    return ""
