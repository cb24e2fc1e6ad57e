"""The beginning and the end of an attempt, noted in the run directory:   launch.node.attempt begin|end RUN [STATUS [ASKED]]

The job script calls it on the first node; the local backend calls the same functions.
"""

import os
import re
import socket
import subprocess
import sys

from launch.errors import Refusal
from launch.node import stop
from launch.plan.plan import Plan
from launch.record import diagnose, job, steps
from launch.record.environment import surroundings
from launch.record.files import publish_json
from launch.record.rundir import RunDir


class MayNotBegin(Exception):
    """Why an attempt is not to be made; nothing is wrong with the run."""


def begin(run: RunDir, submission: int | None = None) -> int:
    """Note that an attempt starts, here and now; return its number, counted from 1.

    Parameters
    ----------
    run : RunDir
        The run.
    submission : int, optional
        Number of the job that makes the attempt; None for a script that was submitted by hand.

    Raises
    ------
    MayNotBegin
        If the run has a result, was cancelled meanwhile, or has been given to a later job.
    Refusal
        If a file of another user lies in the run directory.
    """
    run.refuse_files_of_others()
    if run.result() is not None:
        raise MayNotBegin("it has a result")
    later = job.latest([run]).get(run.path)
    if submission is not None and later is not None and later.number > submission:
        raise MayNotBegin(f"a later job has it (number {later.number})")
    if any(event.get("submission") == submission for event in run.events("cancelled")):
        raise MayNotBegin("it was cancelled")
    run.make_folders()
    attempt = len(run.events("started")) + 1
    run.append_event(
        "started", attempt=attempt, submission=submission, host=socket.gethostname(), pid=os.getpid(), **_job()
    )
    publish_json(run.env_json, surroundings())
    return attempt


def end(run: RunDir, status: int, asked: bool = False) -> str:
    """Note how the attempt ended: done, stopped (with a checkpoint, to be resumed) or failed.

    Parameters
    ----------
    run : RunDir
        Of which all ranks have ended.
    status : int
        The exit status of srun, or of the first rank that failed.
    asked : bool
        Whether the job was told to end, where that does not stand in the run's own job.log.

    Returns
    -------
    str
        "done", "stopped" or "failed".
    """
    plan = run.plan()
    started = run.events("started")
    attempt = len(started)
    if status == 0 and plan.kind != "workload":
        about = {"status": "done", "ranks": plan.size, "nodes": plan.nodes, "attempts": attempt}
        publish_json(run.result_json, about | steps.reported(run, plan.size))
    failure = diagnose.first_failure(run, attempt) if not asked else None
    if run.result() is not None:
        outcome = "done"
    # Slurm brings a job back that has lost a node, if it may.
    elif failure is not None and failure.error == diagnose.NODE_FAILURE and plan.max_attempts > 1:
        outcome = "stopped"
    # srun reports the largest status of all, so 75 may hide a rank that failed with less: ask the failures as well.
    elif failure is None and (asked or status == stop.STOPPED or diagnose.ended_by_slurm(run)):
        outcome = "stopped"
    else:
        outcome = "failed"
    first = {} if failure is None or outcome == "done" else {"first_failure": failure._asdict()}
    reason = {"reason": why} if (why := diagnose.ended_by_slurm(run)) else {}
    submission = started[-1].get("submission") if started else None
    run.append_event(
        "ended", attempt=attempt, submission=submission, outcome=outcome, status=status, step=saved_step(run),
        **reason, **first,
    )  # fmt: skip
    return outcome


def saved_step(run: RunDir) -> int:
    """The step of the newest checkpoint, or 0."""
    steps = (re.fullmatch(r"step-(\d+)\.npz", path.name) for path in run.checkpoints.glob("step-*.npz"))
    return max((int(match[1]) for match in steps if match), default=0)


def requeue(run: RunDir, plan: Plan) -> str:
    """Put the job that this is back into the queue, if it has attempts left and gets further; return what was done."""
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    if plan.max_attempts <= 1 or "SLURM_JOB_ID" not in os.environ:
        return ""
    if restarts + 1 >= plan.max_attempts:
        return f"launch: not put back into the queue: {plan.max_attempts} attempts were made"
    last = [event.get("step", 0) for event in run.events("ended")][-3:]
    if len(last) == 3 and len(set(last)) == 1:
        return f"launch: not put back into the queue: two attempts got no further than step {last[0]}"
    subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=False)
    return f"launch: put back into the queue, to go on after step {last[-1]}"


def _job() -> dict[str, str]:
    told = {"job": "SLURM_JOB_ID", "nodes": "SLURM_JOB_NODELIST", "restarts": "SLURM_RESTART_COUNT"}
    return {name: os.environ[variable] for name, variable in told.items() if variable in os.environ}


def main(argv: list[str]) -> int:
    """Note a beginning or an end; return the exit status of the job script, of a begun attempt 0."""
    verb, folder, *rest = argv
    here = RunDir.open(folder)
    planned = here.plan()
    if verb == "begin":
        submission = int(rest[0]) if rest else None
        # Slurm itself puts a job back that was preempted or lost a node, as often as it likes.
        if int(os.environ.get("SLURM_RESTART_COUNT", "0")) >= max(planned.max_attempts, 1):
            why = f"{planned.max_attempts} attempts were made"
            here.append_event("ended", outcome="failed", status=1, reason=why, submission=submission)
            sys.exit(f"launch: not started again: {why}; go on by hand with resume")
        try:
            print(
                f"launch: attempt {begin(here, submission)}", flush=True
            )  # job.log holds all; diagnose looks for this
        except MayNotBegin as why:
            sys.exit(f"launch: not started: {why}")
        except Refusal as refusal:
            here.append_event(
                "ended", outcome="failed", status=refusal.status, reason=str(refusal), submission=submission
            )
            sys.exit(f"launch: {refusal}")
        return 0
    outcome = end(here, int(rest[0]), any(rest[1:]))
    if outcome == "failed":
        print(diagnose.paragraph(here), flush=True)
    # Where Slurm has ended the job, it also decides whether it comes back.
    if outcome == "stopped" and not diagnose.ended_by_slurm(here):
        print(requeue(here, planned), flush=True)
    return {"done": 0, "stopped": stop.STOPPED, "failed": 1}[outcome]
