"""The beginning of an attempt: whether it may be made, and its record in the run directory."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any

from launch.node import own_run
from launch.node.job import own_job
from launch.record import job
from launch.record.code import compare, snapshot
from launch.record.files import size_of
from launch.record.rundir import RunDir


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
    if last and last[0]["event"] == "started" and own_job.of(plan).is_at_work(last[0].get("job")):
        raise MayNotBegin(f"job {last[0].get('job')} is at work on it")
    run.make_folders()
    run.handles_warning.unlink(missing_ok=True)  # the program has yet to say so
    attempt = run.attempts() + 1
    more = (own_job.noted(plan) if step_of is None else _step(*step_of)) | (
        {"logs": _printed(run)} if attempt > 1 else {}
    )
    if plan.spare_nodes:
        from launch.node import spare

        more |= spare.choose(run, plan)
    code = _code(run)
    if job.is_cancelled(run, submission):  # comparing the code takes seconds
        raise MayNotBegin("it was cancelled")
    run.append_event(
        "started",
        attempt=attempt,
        submission=submission,
        host=socket.gethostname(),
        pid=os.getpid(),
        **more,
        **code,
    )
    own_run.begun(run)
    return attempt


def _printed(run: RunDir) -> list[int]:
    """Return how many bytes the ranks of each node have printed so far."""
    return [size_of(run.node_log(node)) for node in range(run.record()["nodes"])]


def _step(allocation: str, nodes: Sequence[str]) -> dict[str, Any]:
    return {"allocation": allocation, "nodes": ",".join(nodes)}


def _code(run: RunDir) -> dict[str, Any]:
    """Return which code the attempt runs, and what has changed in the original since; print the changes too."""
    record = snapshot.record_of(run)
    copied = bool(record and record.get("snapshot"))
    changes = compare.changes(run, 2.0 if copied else 30.0)
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
        print("launch: code: there was not enough time to check all its files", flush=True)
    return {
        "code": snapshot.name_of(run),
        "code_hash": record.get("hash") if copied else changes.hash,
        "changed": changes.files[:100],
    }
