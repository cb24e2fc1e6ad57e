"""Ranks as tasks of a Slurm job: from the submission to its end."""

import contextlib
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence

from launch.backends import rank_command, slurm_submission
from launch.backends.slurm_queue import ENDED, Job, ask, ask_many, command, refuse_beyond_limits
from launch.backends.slurm_script import sbatch, script
from launch.errors import SubmissionRefused
from launch.plan.plan import Plan
from launch.record import diagnose
from launch.record.files import publish
from launch.record.progress import Progress, closing
from launch.record.rundir import RunDir

POLL_S = 2.0  # between questions to the controller, however many of us ask
GRACE_S = 30.0  # for ranks that were asked to save and leave


def check(plan: Plan) -> None:
    """Refuse what this Slurm cannot run, where there is one to be asked."""
    if shutil.which("sbatch"):
        refuse_beyond_limits(plan)
        rank_command.refuse_absent(plan)


def preview(run: RunDir, plan: Plan) -> str:
    """The command and the very script that would be submitted."""
    return f"\n{shlex.join(sbatch(run, plan))}\n\n{script(run, plan)}"


def start(run: RunDir, plan: Plan, how: str) -> str:
    """Submit a run and, unless ``how`` is "detach", stay until its job ends: with progress ("follow") or without ("wait").

    Returns
    -------
    str
        How the run ended: "done", "stopped", "failed", "refused" (by a rank, as bad input), "cancelled" or "timeout";
        "done" at once when detached.

    Raises
    ------
    SubmissionRefused
        If Slurm refuses the job, or stays silent; the message is what it said.
    KeyboardInterrupt
        If the user asked for the end; the job has left the queue then.
    """
    try:
        hand_in(run, plan)
    except SubmissionRefused as refusal:
        if not refusal.may_be_queued and not run.events("started"):
            shutil.rmtree(run.path)  # it would only be in the way of the next try
        raise
    return "done" if how == "detach" else watch(run, plan, how)


def hand_in(run: RunDir, plan: Plan) -> None:
    """Submit a run, and note its job."""
    publish(run.script, script(run, plan))
    job = slurm_submission.hand_in(run, plan, [(run, {"ends": len(run.events("ended"))})])
    print(f"job            {job}", flush=True)


def watch(run: RunDir, plan: Plan, how: str) -> str:
    """Stay until the job of a run that was handed in ends; return the outcome, as `start`."""
    submitted = run.events("submitted")[-1]
    job = submitted["job"]
    show = Progress(run, plan) if how == "follow" else lambda waiting_for="": None
    try:
        outcome = follow(run, job, submitted["ends"], show)
    except KeyboardInterrupt:
        cancel([job], plan.kind == "workload")
        run.append_event("cancelled")
        print(f"go on with it: python -m launch resume {run.path}", file=sys.stderr, flush=True)
        raise
    finally:
        if how == "follow":
            show.close()
    print(closing(run, plan, outcome), flush=True)
    return diagnose.named(run, outcome)


def follow(run: RunDir, number: str, before: int, show: Callable[..., None]) -> str:
    """Watch a job to its end, by its files and, every few seconds, by the controller; return the outcome.

    ``before`` is how many attempts of the run had ended when the job was handed in.
    """
    asked, job, waiting = 0.0, Job("PENDING"), "waiting in the queue"
    while True:
        if time.monotonic() - asked >= POLL_S:
            asked = time.monotonic()
            answer = ask(number)
            if answer is not None:
                job = answer
                reason = f": {job.reason}" if job.reason not in ("", "None") else ""
                waiting = f"job {number} is {job.state.lower()}{reason}" if job.state != "RUNNING" else ""
            if job.state in ENDED:
                break
        show(waiting)
        time.sleep(0.2)
    deadline = time.monotonic() + 10  # for what the nodes wrote to be seen here
    while len(ended := run.events("ended")) <= before and time.monotonic() < deadline and job.state != "CANCELLED":
        time.sleep(0.2)
    return outcome(job.state, ended[-1]["outcome"] if len(ended) > before else None)


def outcome(state: str, noted: str | None) -> str:
    """How a run ended, by the state of its job and by what its script noted."""
    if noted == "done":
        return "done"
    by_slurm = {"TIMEOUT": "timeout", "DEADLINE": "timeout", "CANCELLED": "cancelled", "PREEMPTED": "stopped"}
    return by_slurm.get(state) or noted or "failed"


def cancel(numbers: Sequence[str], save_first: bool) -> None:
    """End jobs; return when they have left the queue. Ranks that can are first asked to save and leave."""
    print(
        f"\nending job {', '.join(numbers)}: the ranks are asked to save and leave; Ctrl-C again ends them at once",
        file=sys.stderr,
        flush=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        if save_first:
            command(["scancel", "--state=PENDING", *numbers])
            if command(["scancel", "--signal=USR2", *numbers]) is not None:
                _wait_until_gone(numbers, GRACE_S)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    command(["scancel", *numbers])
    _wait_until_gone(numbers, 60)
    signal.signal(signal.SIGINT, before)


def _wait_until_gone(numbers: Sequence[str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        jobs = ask_many(numbers)
        if jobs is not None and all(job.state in ENDED for job in jobs.values()):
            return
        time.sleep(0.5)
