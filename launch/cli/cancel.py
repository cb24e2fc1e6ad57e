"""python -m launch cancel RUN|FOLDER ... [--json]: end runs that are queued or running, so that they can be resumed.

The ranks of a workload are first asked to save and leave. If you name the folder of a study or workflow, nothing more
of it begins; if you name one of its runs, the others continue. The command returns when the runs have ended; Ctrl-C
meanwhile ends them at once. A run that is not running is reported, and is not an error.
"""

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.backends.scheduler import Part
from launch.cli.names import Named
from launch.errors import Refusal, command
from launch.node.ending import saved_step
from launch.node.stop import STOPPED
from launch.plan import options
from launch.record import job as record
from launch.record.job import Job
from launch.record.rundir import RunDir
from launch.submit import jobs, lock, places, states
from launch.submit.study import folders
from launch.submit.workflow import stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Named):
    """Where the runs are, and how to report what became of them."""

    json: bool = False  # print JSON, for programs


_ANSWER_S = 30.0  # time that a launcher may take to record the scheduler's answer


def main(argv: list[str]) -> int:
    """End the runs, and print what became of each; return 0.

    Raises
    ------
    Refusal
        If something named is not a run, a run cannot be reached from here, or the scheduler does not answer.
    """
    chosen, words = options.with_words(Options, argv, "cancel")
    if not words:
        raise Refusal(f"cancel needs a run: {command('cancel RUN|FOLDER ...')}")
    named = chosen.paths(words)
    paths = places.find(named)
    for folder in _whole(paths, {path.absolute() for path in named}):
        with contextlib.suppress(OSError):  # a folder of another user, whose launcher ignores the order anyway
            # This comes before the search for its jobs: a launcher submits a job only after it has checked for this
            # order.
            lock.order_end(folder)
    before, silence = states.look(paths, fresh=True)
    active = {one.path: one for one in before if one.under_way}
    if silence and active:
        raise Refusal(f"the scheduler does not answer ({silence}), and nothing was cancelled: try again later")
    if elsewhere := next((one for one in active.values() if one.state == "unknown"), None):
        raise Refusal(f"{elsewhere.path}: {elsewhere.reason}; nothing was cancelled")
    parts = _parts([RunDir(path) for path in active])
    jobs.end(parts)
    told: list[dict[str, Any]] = []
    for one in before:
        became, saved, text = _became(RunDir(one.path), one)
        told.append({"path": str(one.path), "before": one.state, "became": became, "saved_step": saved or None})
        if chosen.json:
            continue
        if became == "left alone":
            print(f"launch: {text}", file=sys.stderr, flush=True)
        else:
            print(text, flush=True)
    if chosen.json:
        print(json.dumps(told, indent=1), flush=True)
    return 2 if any(one.state in states.BROKEN for one in before) else 0


def _whole(paths: Sequence[Path], named: set[Path]) -> set[Path]:
    """Return the workflows, studies and single runs that are named as a whole, or are in a named folder."""
    above = {folder.absolute() for path in paths for folder in (path.parent.parent, path.parent, path)}
    held = {f for f in above if stages.is_workflow(f) or f == folders.holder(f)}
    return {folder for folder in held if named & {folder, *folder.parents}}


def _parts(runs: Sequence[RunDir]) -> list[Part]:
    """Return the jobs of some runs: a whole job if it has no other runs under way, else its parts."""
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
    """Return the job with its id: its launcher may be waiting for the scheduler's answer, or may have been killed
    meanwhile.

    Raises
    ------
    Refusal
        If the launcher is still waiting.
    """
    deadline = time.monotonic() + _ANSWER_S
    while job.state == "asked" and time.monotonic() < deadline:
        outwards = (job.holder.parent, job.holder)
        if not any(lock.is_held(folder) for folder in outwards):
            with lock.alone(job.holder):  # the launcher is gone, so its record can be completed here
                return jobs.attached(job)
        time.sleep(0.2)
        job = record.read(job.folder)
    if job.state == "asked":
        raise Refusal(
            f"a launcher still waits for the scheduler to take {job.holder}: end it with Ctrl-C, or try again later"
        )
    return job


def _left_with(run: RunDir, status: int) -> bool:
    """Return whether the last attempt has ended with an exit status."""
    ended = next(reversed(run.events("ended")), {})
    return ended.get("attempt") == run.attempts() and ended.get("status") == status


def _became(run: RunDir, before: states.Known) -> tuple[str, int, str]:
    """Return what became of a run, in one word; the step at which it has saved, or 0; and both as a line of text."""
    again = f"start it again: {command('resume', run.path)}"
    if before.state in states.BROKEN:
        return "left alone", 0, f"{run.path}: {before.reason}; it was left alone"
    if not before.under_way:
        why = f": {before.reason}" if before.state == "lost" else ""
        return "not running", 0, f"{run.path}: is not running ({before.state}){why}"
    if run.result() is not None:
        return "done", 0, f"{run.path}: was done before it could be cancelled"
    saved = saved_step(run)
    if not saved and run.handles_warning.exists() and _left_with(run, STOPPED):  # where it has saved is not known
        again = f"continue it: {command('resume', run.path)}"
        return "ended", saved, f"{run.path}: ended as it was asked to (status {STOPPED}); {again}"
    if before.state == "queued" and not before.attempts:
        return "taken out of the queue", saved, f"{run.path}: taken out of the queue; {again}"
    return "ended", saved, f"{run.path}: ended, {f'saved at step {saved}' if saved else 'nothing saved'}; {again}"
