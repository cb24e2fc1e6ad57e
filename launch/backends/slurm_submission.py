"""Jobs handed in so that none is lost: what is to be noted of a job is written down before Slurm is asked to take it.

A launcher can be killed between Slurm's answer and its note. The job bears a token, by which `recover` finds it then.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from launch.backends import slurm_queue
from launch.errors import Refusal
from launch.plan.plan import Plan
from launch.record.files import Unreadable, publish_json, read_json
from launch.record.rundir import RunDir

Noted = Sequence[tuple[RunDir, dict[str, Any]]]
"""Runs, and what is to be noted of the job in each beside its number: the task of an array, how many attempts had ended."""


def hand_in(holder: RunDir, plan: Plan, runs: Noted) -> str:
    """Submit the script of a job and note it in its runs; return its number.

    Parameters
    ----------
    holder : RunDir
        Where the script lies: the run, or the folder of a job that holds several.
    plan : Plan
        Of the job.
    runs : sequence of (RunDir, dict)
        Those that it makes.

    Raises
    ------
    SubmissionRefused
        If Slurm refuses the job, or stays silent.
    """
    told = {
        "token": f"rankloop-{os.urandom(16).hex()}",
        "time": round(time.time(), 3),
        "command": sys.orig_argv,
        "runs": [{"run": os.path.relpath(run.path, holder.path), **more} for run, more in runs],
    }
    publish_json(holder.submission, told)
    number = slurm_queue.submit(holder, plan, told["token"])
    _note(holder, told, number)
    return number


def recover(runs: Iterable[RunDir]) -> None:
    """Note the jobs of runs that Slurm has and that nobody has noted.

    Raises
    ------
    Refusal
        If there may be one, and Slurm does not answer.
    """
    own = {run.path for run in runs}
    shared = {path for folder in {path.parent for path in own} for path in (folder / "arrays").glob("*")}
    holders = [RunDir(path) for path in sorted(own | shared)]
    lost = {}
    for holder in holders:
        with contextlib.suppress(Unreadable):  # it keeps nobody from the others
            note = read_json(holder.submission)
            if note and _lacking(holder, note):
                lost[holder] = note
    if not lost:
        return
    numbers = slurm_queue.by_comment()
    if numbers is None:
        raise Refusal(
            f"Slurm does not answer, and may have taken a job for {next(iter(lost)).path} that nobody has noted: try again later"
        )
    for holder, note in lost.items():
        if number := numbers.get(note["token"]):
            print(f"job            {number}: Slurm had taken it, which is noted only now", flush=True)
            _note(holder, note, number)


def _lacking(holder: RunDir, told: dict[str, Any]) -> list[tuple[RunDir, dict[str, Any]]]:
    """Those of the runs of a job that do not know of it; one that has begun has noted so itself."""
    found = []
    for more in told["runs"]:
        run = RunDir(os.path.normpath(holder.path / more["run"]))
        if not any(e["time"] >= told["time"] for e in run.events() if e["event"] in ("submitted", "started")):
            found.append((run, {name: value for name, value in more.items() if name != "run"}))
    return found


def _note(holder: RunDir, told: dict[str, Any], number: str) -> None:
    for run, more in _lacking(holder, told):
        task = more.pop("task", None)
        job = number if task is None else f"{number}_{task}"
        run.append_event("submitted", backend="slurm", job=job, **more, command=told["command"])
