"""The end of an attempt: how it ended, why, whether the run is started again, and its record in the run directory."""

import contextlib
import re
from typing import Any

from launch.errors import Refusal
from launch.node import own_run, stop
from launch.node.job import own_job
from launch.plan.plan import Plan
from launch.record.code import compare, snapshot
from launch.record.rundir import RunDir
from launch.record.writing import publish_json

_UNHANDLED = "ended by SIGUSR2, the request of the launcher to save and leave, which the program does not handle"

# The reasons for an end after which the run is started again. For other reasons Slurm itself decides.
_AGAIN = (None, "time limit", "preemption", "hung", _UNHANDLED)


def end(run: RunDir, status: int, reason: str | None = None, made: int = 1) -> str:
    """Record how the attempt ended: done, stopped (it can be started again) or failed.

    Parameters
    ----------
    run : RunDir
        The run; all its ranks have ended.
    status : int
        The exit status of srun, or of the first rank that failed.
    reason : str, optional
        Why the ranks were ended from outside, if they were.
    made : int
        Number of attempts that the job has made, including this one.

    Returns
    -------
    str
        "done", "stopped" or "failed".
    """
    from launch.record.failures import (  # imported late, here and below: no rank waits for this
        causes,
        diagnose,
        hang,
        job_log,
    )
    from launch.record.performance import figures, steps

    plan = run.plan()
    if own_run.is_replaced(run, own_job.of(plan).number()):
        print(
            "launch: nothing is recorded: the folder of the run was moved or removed, or is another run's now",
            flush=True,
        )
        return "failed"
    started = run.events("started")
    attempt = len(started)
    if (hung := hang.verdict(run, attempt)) is not None:
        reason = hang.REASON
        print(f"launch: hung: {hung.get('said')}", flush=True)
    # An srun that was ended together with its ranks may say 0.
    if status == 0 and plan.kind != "workload" and not reason:
        shape = {"status": "done", "ranks": plan.size, "nodes": plan.nodes, "attempts": attempt}
        before = started[-1].get("logs", []) if started else []
        publish_json(run.result_json, shape | figures.result(run, plan, steps.reported(run, plan.size), before))
    failure = diagnose.first_failure(run, attempt)
    if failure is not None and failure.error == "ended by SIGUSR2" and plan.handles_warning:
        reason = _UNHANDLED
    if reason and reason != causes.NODE_FAILURE:
        failure = None  # a failure of the ranks is then only a consequence
    if run.result() is not None:
        outcome = "done"
    elif hung is not None:
        outcome = "failed" if _why_not_again(run, plan, made, saved_step(run)) else "stopped"
    # Slurm requeues a job that has lost a node, if it may.
    elif failure is not None and failure.error == causes.NODE_FAILURE and plan.max_attempts > 1:
        outcome = "stopped"
    elif failure is not None and plan.spare_nodes and causes.is_of_the_node(failure.error) and made < plan.max_attempts:
        outcome = "stopped"
    # srun reports the largest status of all ranks, so 75 may hide a rank that failed with a smaller one: check the
    # failures too.
    elif failure is None and (reason or status == stop.STOPPED and job_log.handles_warning(run)):
        outcome = "stopped"
    else:
        outcome = "failed"
    more: dict[str, Any] = {"reason": reason} if reason and outcome != "done" else {}
    if failure is not None and outcome != "done":
        more["first_failure"] = failure._asdict()
    if hung is not None and outcome != "done":
        more["hang"] = hung
    submission = started[-1].get("submission") if started else None
    with contextlib.suppress(Refusal):  # the copy may be gone
        if new := compare.written(run):
            print(
                f"launch: code: the program wrote files beside its code, so into the snapshot: {snapshot.some(new)}",
                flush=True,
            )
    run.append_event(
        "ended", attempt=attempt, submission=submission, outcome=outcome, status=status, step=saved_step(run), **more
    )
    return outcome


def saved_step(run: RunDir) -> int:
    """Return the step of the newest checkpoint, or 0."""
    steps = (re.fullmatch(r"step-(\d+)\.npz", path.name) for path in run.checkpoints.glob("step-*.npz"))
    return max((int(match[1]) for match in steps if match), default=0)


def may_start_again(run: RunDir, plan: Plan, made: int, reason: str | None) -> bool:
    """Return whether a stopped run is started again automatically after this many attempts; print why not."""
    from launch.record.failures import causes

    lost = reason == causes.NODE_FAILURE and plan.scheduler != "slurm"
    if plan.max_attempts <= 1 or reason not in _AGAIN and not lost:
        return False
    if why := _why_not_again(run, plan, made):
        print(f"launch: not started again: {why}", flush=True)
    return not why


def _why_not_again(run: RunDir, plan: Plan, made: int, *step: int) -> str:
    """Return why a run is not started again after this many attempts. ``step`` is where the last one got to, if not yet
    recorded."""
    steps = [*(event.get("step", 0) for event in run.events("ended")), *step][-3:]
    if made >= plan.max_attempts:
        return f"{made} attempts were made"
    if plan.kind == "workload" and len(steps) == 3 and len(set(steps)) == 1:
        return f"two attempts got no further than step {steps[0]}"
    return ""


def why_ended(run: RunDir, status: int, asked: bool = False) -> str | None:
    """Return why Slurm ended the last attempt, whose ``srun`` had this exit status; None if it did not.

    ``asked`` says whether the script was asked to end.
    """
    from launch.record.failures import job_log

    if status or asked:
        own_job.note_lost(run, run.plan())
    reason = job_log.ended_by_slurm(run)
    if reason is None and (status or asked):  # Slurm keeps what it says of an array task elsewhere
        reason = own_job.of(run.plan()).ended_by() or ("cancelled" if asked else None)
    return reason
