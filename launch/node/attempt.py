"""Record the beginning and end of an attempt in the run directory, for the script of a job:

launch.node.attempt begin RUN [SUBMISSION [NOTE]]
launch.node.attempt again RUN
launch.node.attempt end RUN STATUS [ASKED]

The job script calls this module on the first node; schedulers of this machine call beginning.py and ending.py.
"""

import os
import sys
from pathlib import Path

from launch.errors import Refusal
from launch.node import stop
from launch.node.beginning import MayNotBegin, alone, begin
from launch.node.ending import end, may_start_again, why_ended
from launch.node.job import own_job
from launch.plan.plan import Plan
from launch.record.rundir import RunDir


def _begin(run: RunDir, plan: Plan, submission: int | None, note: Path | None) -> None:
    """Begin an attempt in a job, and tell the ranks its number in a note.

    Raises
    ------
    MayNotBegin
        If the attempt must not be made; the note then says 0.
    """
    attempt = 0
    try:
        with alone(run):
            attempt = _begun(run, plan, submission)
    finally:
        if note is not None:
            note.write_text(f"{attempt}\n")  # in place: see the script
    print(f"launch: attempt {attempt}", flush=True)  # job.log holds all; record.failures.job_log looks for this
    os.nice(10)  # the rest is for the record, and the ranks of this node are starting their programs
    from launch.record import environment

    environment.note(run, attempt)


def _begun(run: RunDir, plan: Plan, submission: int | None) -> int:
    try:
        # Slurm itself requeues a job that was preempted or lost a node, without any limit.
        if run.result() is None and own_job.made(run, plan, submission) >= max(plan.max_attempts, 1):
            raise Refusal(
                f"{plan.max_attempts} attempts were made, which is the maximum; start another by hand with resume"
            )
        return begin(run, submission)
    except Refusal as refusal:
        run.append_event("ended", outcome="failed", status=refusal.status, reason=str(refusal), submission=submission)
        raise


def _end(run: RunDir, plan: Plan, status: int, asked: bool) -> int:
    """End an attempt in a job, and requeue the job if the run continues; return the exit status of the script."""
    from launch.record.failures import paragraph

    made = own_job.made(run, plan, (run.events("started") or [{}])[-1].get("submission"), 1)
    outcome = end(run, status, reason := why_ended(run, status, asked), made)
    if outcome == "failed":
        print(paragraph.paragraph(run), flush=True)
    from launch.node import spare

    if outcome == "stopped" and not asked and (chosen := spare.after(run, plan)):
        if may_start_again(run, plan, made, None):
            print(f"launch: the next attempt starts within this allocation, on {chosen}", flush=True)
            return stop.AGAIN_HERE
        return stop.STOPPED
    # At the time limit Slurm's job has been put back already.
    if outcome == "stopped" and not (asked and reason == "time limit" and plan.backend == "slurm"):
        _again(run, plan, run.events("ended")[-1].get("reason"))
    return {"done": 0, "stopped": stop.STOPPED, "failed": 1}[outcome]


def _again(run: RunDir, plan: Plan, reason: str | None) -> None:
    """Put the job of a run that was stopped back into the queue, if it may start again."""
    submission = (run.events("started") or [{}])[-1].get("submission")
    if may_start_again(run, plan, own_job.made(run, plan, submission, 1), reason):
        print(f"launch: {own_job.again(run, plan, submission, reason)}", flush=True)


def main(argv: list[str]) -> int:
    """Begin or end an attempt of a run; return the exit status for the script, which is 0 for an attempt that has
    begun."""
    verb, folder, *rest = argv
    run = RunDir.open(folder)
    if verb == "again":
        # After a preemption, Slurm still waits for the ranks to save: requeuing the job now would kill them.
        if (reason := own_job.of(run.plan()).ended_by()) == "time limit":
            _again(run, run.plan(), reason)
        return 0
    if verb == "end":
        return _end(run, run.plan(), int(rest[0]), any(rest[1:]))
    try:
        _begin(run, run.plan(), int(rest[0]) if rest else None, run.meeting / rest[1] if rest[1:] else None)
    except (MayNotBegin, Refusal) as why:
        print(f"launch: not started: {why}", file=sys.stderr, flush=True)
        return 1
    return 0
