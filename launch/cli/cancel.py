"""python -m launch cancel RUN|FOLDER ...: end runs that are queued or running, so that they can be resumed.

The ranks of a workload are first asked to save and leave. Of a study or workflow named by its folder nothing more begins; of
one of which a run is named the others go on. It returns when the runs have ended; Ctrl-C meanwhile ends them at once. A run
that is not running is said to be so, and is not an error.
"""

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from launch.backends.scheduler import Part
from launch.errors import Refusal, command
from launch.node.attempt import saved_step
from launch.record import job as record
from launch.record.job import Job
from launch.record.rundir import RunDir
from launch.submit import jobs, lock, stages, states, study

_ANSWER_S = 30.0  # that a launcher may take to write down the scheduler's answer


def main(argv: list[str]) -> int:
    """End the runs, and print what became of each; return 0.

    Raises
    ------
    Refusal
        If something named is not a run, or one runs where it cannot be reached; or if the scheduler does not answer.
    """
    if bad := next((word for word in argv if word.startswith("-")), None):
        raise Refusal(f"cancel has no option {bad!r}: {command('cancel RUN|FOLDER ...')}")
    if not argv:
        raise Refusal(f"cancel needs a run: {command('cancel RUN|FOLDER ...')}")
    paths = states.find(argv)
    for folder in _whole(paths, {Path(word).absolute() for word in argv}):
        with contextlib.suppress(OSError):  # of another user, whose launcher does not heed us anyway
            # Before its jobs are looked for: a launcher submits one only after it has looked for this order.
            lock.order_end(folder)
    before, silence = states.look(paths, fresh=True)
    active = {one.path: one for one in before if one.under_way}
    if silence and active:
        raise Refusal(f"the scheduler does not answer ({silence}), and nothing was cancelled: try again later")
    if elsewhere := next((one for one in active.values() if one.state == "unknown"), None):
        raise Refusal(f"{elsewhere.path}: {elsewhere.reason}; nothing was cancelled")
    parts = _parts([RunDir(path) for path in active])
    jobs.end(parts)
    for one in before:
        run = RunDir(one.path)
        if one.state in states.BROKEN:
            print(f"launch: {one.path}: {one.reason}; it was left alone", file=sys.stderr, flush=True)
        elif one.path not in active:
            print(f"{one.path}: is not running ({one.state})")
        else:
            print(f"{one.path}: {_became(run, one)}", flush=True)
    return 2 if any(one.state in states.BROKEN for one in before) else 0


def _whole(paths: Sequence[Path], named: set[Path]) -> set[Path]:
    """The workflows, studies and single runs that are named as a whole, or lie in a folder that is."""
    folders = {folder.absolute() for path in paths for folder in (path.parent.parent, path.parent, path)}
    held = {f for f in folders if os.path.isfile(f / stages.INDEX) or f == study.holder(f)}
    return {folder for folder in held if named & {folder, *folder.parents}}


def _parts(runs: Sequence[RunDir]) -> list[Part]:
    """The jobs of some runs: a whole job where all of its runs that are under way are among them."""
    latest = record.latest(runs)
    answered = {job.folder: _answered(job) for job in dict.fromkeys(latest.values())}
    jobs_of = {path: answered[job.folder] for path, job in latest.items()}
    parts: list[Part] = []
    for job in dict.fromkeys(jobs_of.values()):
        if job.id is None:
            continue
        chosen = [run for run in job.run_dirs if jobs_of.get(run.path) == job]
        others = [run.path for run in job.run_dirs if run.path not in jobs_of and run.result() is None]
        whole = not others or not any(one.under_way for one in states.look(others, fresh=True)[0])
        parts += [(job, None)] if whole else [(job, run) for run in chosen]
    return parts


def _answered(job: Job) -> Job:
    """The job with its id: its launcher may be waiting for the scheduler's answer, or may have been killed meanwhile.

    Raises
    ------
    Refusal
        If the launcher is still waiting.
    """
    deadline = time.monotonic() + _ANSWER_S
    while job.state == "asked" and time.monotonic() < deadline:
        outwards = (job.holder.parent, job.holder)
        if not any(lock.is_held(folder) for folder in outwards):
            with lock.alone(job.holder):  # the launcher is gone: nobody else may complete its record
                return jobs.attached(job)
        time.sleep(0.2)
        job = record.read(job.folder)
    if job.state == "asked":
        raise Refusal(
            f"a launcher still waits for the scheduler to take {job.holder}: end it with Ctrl-C, or try again later"
        )
    return job


def _became(run: RunDir, before: states.Known) -> str:
    if run.result() is not None:
        return "was done before it could be cancelled"
    saved = saved_step(run)
    what = f"ended, saved at step {saved}" if saved else "ended, nothing saved"
    if before.state == "queued" and not before.attempts:
        what = "taken out of the queue"
    return f"{what}; start it again: {command('resume', run.path)}"
