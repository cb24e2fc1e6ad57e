"""Record the beginning and end of an attempt in the run directory, for the script of a job:

launch.node.attempt begin RUN [SUBMISSION [NOTE]]
launch.node.attempt again RUN
launch.node.attempt end RUN STATUS [ASKED]

The job script calls this module on the first node; the local scheduler calls the same functions.
"""

import contextlib
import fcntl
import importlib
import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.node import stop
from launch.plan.plan import Plan
from launch.record import job, snapshot
from launch.record.rundir import RunDir
from launch.record.writing import publish_json

_UNHANDLED = "ended by SIGUSR2, the request of the launcher to save and leave, which the program does not handle"

# The reasons for an end after which the run is started again. For other reasons Slurm itself decides.
_AGAIN = (None, "time limit", "preemption", "hung", _UNHANDLED)


class MayNotBegin(Exception):
    """The attempt must not be made, for the reason given; nothing is wrong with the run."""


@contextlib.contextmanager
def alone(run: RunDir) -> Iterator[None]:
    """Hold the run's lock. It is released when the process that holds it ends.

    Raises
    ------
    MayNotBegin
        If another process holds it. On a file system without locks this is never raised.
    """
    with open(run.path / ".lock", "ab") as lock:
        for _ in range(10):  # a process that only checks whether the run is active holds it for an instant
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:
                break
        else:
            raise MayNotBegin("it is running")
        yield


def begin(run: RunDir, submission: int | None = None, step_of: tuple[str, Sequence[str]] | None = None) -> int:
    """Record that an attempt starts here and now; return its number, counted from 1. The caller holds the run's lock.

    Parameters
    ----------
    run : RunDir
        The run.
    submission : int, optional
        Number of the job that makes the attempt; None for a script that was submitted by hand.
    step_of : tuple of str and sequence of str, optional
        The allocation in which the attempt becomes a step, and its nodes; given if this process is not on the first
        node.

    Raises
    ------
    MayNotBegin
        If the run has a result, was cancelled meanwhile, now belongs to a later job, or another job is working on it.
    Refusal
        If a file of another user lies in the run directory.
    """
    run.refuse_files_of_others()
    if run.result() is not None:
        raise MayNotBegin("it has a result")
    later = job.latest([run]).get(run.path)
    if submission is not None and later is not None and later.number > submission:
        raise MayNotBegin(f"a later job has it (number {later.number})")
    if job.is_cancelled(run, submission):
        raise MayNotBegin("it was cancelled")
    plan = run.plan()
    last = [event for event in run.events() if event["event"] in ("started", "ended")][-1:]
    if last and last[0]["event"] == "started" and _queue(plan).is_at_work(last[0].get("job")):
        raise MayNotBegin(f"job {last[0].get('job')} is at work on it")
    run.make_folders()
    run.handles_warning.unlink(missing_ok=True)  # the program has yet to say so
    attempt = len(run.events("started")) + 1
    more = (_job(plan) if step_of is None else _step(*step_of)) | ({"logs": _printed(run)} if attempt > 1 else {})
    if plan.spare_nodes:
        from launch.node import spare

        more |= spare.choose(run, plan)
    run.append_event(
        "started",
        attempt=attempt,
        submission=submission,
        host=socket.gethostname(),
        pid=os.getpid(),
        **more,
        **_code(run),
    )
    return attempt


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
        How many attempts the job has made, including this one.

    Returns
    -------
    str
        "done", "stopped" or "failed".
    """
    from launch.record import (  # imported late, here and below: no rank waits for this
        diagnose,
        figures,
        hang,
        steps,
    )

    plan = run.plan()
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
    if reason and reason != diagnose.NODE_FAILURE:
        failure = None  # a failure of the ranks is then only a consequence
    if run.result() is not None:
        outcome = "done"
    elif hung is not None:
        outcome = "failed" if _why_not_again(run, plan, made, saved_step(run)) else "stopped"
    # Slurm requeues a job that has lost a node, if it may.
    elif failure is not None and failure.error == diagnose.NODE_FAILURE and plan.max_attempts > 1:
        outcome = "stopped"
    elif (
        failure is not None and plan.spare_nodes and diagnose.is_of_the_node(failure.error) and made < plan.max_attempts
    ):
        outcome = "stopped"
    # srun reports the largest status of all ranks, so 75 may hide a rank that failed with a smaller one: check the
    # failures too.
    elif failure is None and (reason or status == stop.STOPPED and diagnose.handles_warning(run)):
        outcome = "stopped"
    else:
        outcome = "failed"
    more: dict[str, Any] = {"reason": reason} if reason and outcome != "done" else {}
    if failure is not None and outcome != "done":
        more["first_failure"] = failure._asdict()
    if hung is not None and outcome != "done":
        more["hang"] = hung
    submission = started[-1].get("submission") if started else None
    with contextlib.suppress(Refusal):  # of a copy that is gone
        if new := snapshot.written(run):
            print(f"launch: code: beside the code, so in its snapshot, were written: {snapshot.some(new)}", flush=True)
    run.append_event(
        "ended", attempt=attempt, submission=submission, outcome=outcome, status=status, step=saved_step(run), **more
    )
    return outcome


def saved_step(run: RunDir) -> int:
    """The step of the newest checkpoint, or 0."""
    steps = (re.fullmatch(r"step-(\d+)\.npz", path.name) for path in run.checkpoints.glob("step-*.npz"))
    return max((int(match[1]) for match in steps if match), default=0)


def may_start_again(run: RunDir, plan: Plan, made: int, reason: str | None) -> bool:
    """Whether a stopped run is started again automatically after this many attempts; prints why not."""
    if plan.max_attempts <= 1 or reason not in _AGAIN:
        return False
    if why := _why_not_again(run, plan, made):
        print(f"launch: not started again: {why}", flush=True)
    return not why


def _why_not_again(run: RunDir, plan: Plan, made: int, *step: int) -> str:
    """Why a run is not started again after this many attempts. ``step`` is where the last one got to, if not yet
    recorded."""
    steps = [*(event.get("step", 0) for event in run.events("ended")), *step][-3:]
    if made >= plan.max_attempts:
        return f"{made} attempts were made"
    if plan.kind == "workload" and len(steps) == 3 and len(set(steps)) == 1:
        return f"two attempts got no further than step {steps[0]}"
    return ""


def _printed(run: RunDir) -> list[int]:
    """How many bytes the ranks of each node have printed so far."""
    logs = (run.node_log(node) for node in range(run.record()["nodes"]))
    return [os.stat(log).st_size if os.path.exists(log) else 0 for log in logs]


def _queue(plan: Plan) -> Any:
    """The module about the job of which this process is part."""
    if plan.backend in ("pbs", "flux"):
        return importlib.import_module(f"launch.node.{plan.backend}_job")
    from launch.node import slurm_job

    return slurm_job


def _job(plan: Plan) -> dict[str, Any]:
    queue = _queue(plan)
    if (number := queue.number()) is None:
        return {}
    if plan.backend in ("pbs", "flux"):
        return {"job": number, "nodes": queue.nodes()}
    return {"job": number, "nodes": os.environ.get("SLURM_JOB_NODELIST"), "restarts": str(queue.restarts())}


def _step(allocation: str, nodes: Sequence[str]) -> dict[str, Any]:
    return {"allocation": allocation, "nodes": ",".join(nodes)}


def _code(run: RunDir) -> dict[str, Any]:
    """Which code the attempt runs, and what has changed in the original since; prints the changes too."""
    record = snapshot.record_of(run)
    copied = bool(record and record.get("snapshot"))
    changes = snapshot.changes(run, 2.0 if copied else 30.0)
    if record is None or changes is None:
        return {}
    if changes.files:
        what = (
            "the ranks run the snapshot, and files that they open by a path from the working directory are as they "
            "are now"
        )
        print(
            f"launch: code: changed since it was submitted: {snapshot.some(changes.files)}"
            + f"; {what if copied else 'the ranks run it as it is now (--no-snapshot)'}",
            flush=True,
        )
    if not changes.complete:
        print("launch: code: there was no time to look at all its files", flush=True)
    return {
        "code": snapshot.name_of(run),
        "code_hash": record.get("hash") if copied else changes.hash,
        "changed": changes.files[:100],
    }


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
    print(f"launch: attempt {attempt}", flush=True)  # job.log holds all; diagnose looks for this
    from launch.record import environment

    environment.note(run, attempt)


def _begun(run: RunDir, plan: Plan, submission: int | None) -> int:
    try:
        # Slurm itself requeues a job that was preempted or lost a node, without any limit.
        if run.result() is None and _made(run, submission) >= max(plan.max_attempts, 1):
            raise Refusal(f"{plan.max_attempts} attempts were made; go on by hand with resume")
        return begin(run, submission)
    except Refusal as refusal:
        run.append_event("ended", outcome="failed", status=refusal.status, reason=str(refusal), submission=submission)
        raise


def _end(run: RunDir, plan: Plan, status: int, asked: bool) -> int:
    """End an attempt in a job, and requeue the job if the run continues; return the exit status of the script."""
    from launch.record import diagnose

    made = _made(run, (run.events("started") or [{}])[-1].get("submission"), 1)
    outcome = end(run, status, reason := why_ended(run, status, asked), made)
    if outcome == "failed":
        print(diagnose.paragraph(run), flush=True)
    from launch.node import spare

    if outcome == "stopped" and not asked and (chosen := spare.after(run, plan)):
        if may_start_again(run, plan, made, None):
            print(f"launch: the next attempt is made within this allocation, on {chosen}", flush=True)
            return stop.AGAIN_HERE
        return stop.STOPPED
    # At the time limit Slurm's job has been put back already.
    if outcome == "stopped" and not (asked and reason == "time limit" and plan.backend == "slurm"):
        _again(run, plan, run.events("ended")[-1].get("reason"))
    return {"done": 0, "stopped": stop.STOPPED, "failed": 1}[outcome]


def why_ended(run: RunDir, status: int, asked: bool = False) -> str | None:
    """Why Slurm ended the last attempt, whose ``srun`` had this exit status; None if it did not.

    ``asked`` says whether the script was asked to end.
    """
    from launch.record import diagnose

    reason = diagnose.ended_by_slurm(run)
    if reason is None and (status or asked):  # Slurm keeps what it says of an array task elsewhere
        reason = _queue(run.plan()).ended_by() or ("cancelled" if asked else None)
    return reason


def _made(run: RunDir, submission: int | None, least: int = 0) -> int:
    """How many attempts a job has made: Slurm counts its starts, and a job with spare nodes may make several in one.
    Other schedulers do not count, and what they were given again counts as the same job."""
    plan = run.plan()
    own = [event for event in run.events("started") if submission is not None and event.get("submission") == submission]
    if plan.backend in ("pbs", "flux"):
        return len(own)
    return max(_queue(plan).restarts() + least, len(own) if plan.spare_nodes else 0)


def _again(run: RunDir, plan: Plan, reason: str | None) -> None:
    """Put the job of a run that was stopped back into the queue, if it may start again."""
    submission = (run.events("started") or [{}])[-1].get("submission")
    if may_start_again(run, plan, _made(run, submission, 1), reason):
        queue = _queue(plan)
        done = queue.requeue(run, submission, reason) if plan.backend in ("pbs", "flux") else queue.requeue()
        print(f"launch: {done}", flush=True)


def main(argv: list[str]) -> int:
    """Begin or end an attempt of a run; return the exit status for the script, which is 0 for an attempt that has
    begun."""
    verb, folder, *rest = argv
    run = RunDir.open(folder)
    if verb == "again":
        # After a preemption, Slurm still waits for the ranks to save: requeuing the job now would kill them.
        if (reason := _queue(run.plan()).ended_by()) == "time limit":
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
