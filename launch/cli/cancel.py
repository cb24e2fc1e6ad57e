"""python -m launch cancel RUN|FOLDER ...: end runs that are queued or running, so that they can be resumed.

The ranks of a workload are first asked to save and leave. Of a study or chain named by its folder nothing more begins; of one
of which a run is named the others go on. It returns when the runs have ended; Ctrl-C meanwhile ends
them at once. A run that is not running is said to be so, and is no error.
"""

import os
import signal
import socket
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from launch.backends import local, slurm, slurm_submission, supervise
from launch.backends.slurm_jobs import ask_all
from launch.backends.slurm_queue import ENDED, Job
from launch.errors import Refusal
from launch.node.attempt import saved_step
from launch.plan.plan import Plan
from launch.record.diagnose import handles_warning
from launch.record.files import read_json
from launch.record.rundir import RunDir
from launch.submit import states


def main(argv: list[str]) -> int:
    """End the runs, and say what became of each; return 0.

    Raises
    ------
    Refusal
        If one is no run, or runs where it cannot be reached; or if Slurm does not answer.
    """
    if bad := next((word for word in argv if word.startswith("-")), None):
        raise Refusal(f"cancel has no option {bad!r}: python -m launch cancel RUN|FOLDER ...")
    if not argv:
        raise Refusal("cancel needs a run: python -m launch cancel RUN|FOLDER ...")
    paths = states.find(argv)
    slurm_submission.recover(map(RunDir, paths))
    known, silence = states.look(paths)
    if damaged := next((one for one in known if one.state == "damaged"), None):
        raise Refusal(f"{damaged.path}: {damaged.reason}; nothing was cancelled")
    here = [one for one in known if one.state in states.UNDER_WAY and one.backend == "local"]
    there = [one for one in known if one.state in states.UNDER_WAY and one.backend == "slurm"]
    if silence and there:
        raise Refusal(f"Slurm does not answer ({silence}), and nothing was cancelled: try again later")
    _refuse_parts(there)
    _cancel_here([RunDir(one.path) for one in here], {Path(word).absolute() for word in argv})
    left = _cancel_jobs(there)
    for one in known:
        if one not in here and one not in there:
            print(f"{one.path}: is not running ({one.state})")
            continue
        if one not in left:
            RunDir(one.path).append_event("cancelled")
            print(f"{one.path}: {_became(RunDir(one.path), one)}", flush=True)
    if left:
        raise Refusal(f"{left[0].path}: its job {left[0].job} stays in the queue: see squeue --me, and try again")
    return 0


def _refuse_parts(there: Sequence[states.Known]) -> None:
    """Refuse to end a run whose job holds others too, which were not named.

    Raises
    ------
    Refusal
        Of such a run; then nothing is cancelled.
    """
    named = {one.path.absolute() for one in there}
    for folder in {
        one.path.absolute().parent for one in there if RunDir(one.path).events("submitted")[-1].get("packed")
    }:
        for other in states.look(states.find([folder]))[0]:
            if other.state in states.UNDER_WAY and other.path not in named:
                raise Refusal(
                    f"job {other.job} holds other runs of {folder} too, as {other.path.name}: cancel them all by naming that folder"
                )


def _cancel_here(asked: Iterable[RunDir], named: set[Path]) -> None:
    """Ask the launchers of runs on this machine to end them, and wait for that; an interrupt ends them at once.

    The launcher of a study or chain of which one run is named goes on with the others.

    Raises
    ------
    Refusal
        If one was started on another host, or cannot be reached; then none is asked.
    """
    asked = list(asked)
    for run in asked:
        host, here = next((event["host"] for event in run.events("started")[-1:]), None), socket.gethostname()
        if host not in (None, here):
            raise Refusal(f"{run.path} was started on {host}, and this is {here}: cancel it there")
    left = [run for run in asked if _ask_to_end(run, supervise.END_THIS if run.path in named else signal.SIGTERM)]
    deadline = time.monotonic() + supervise.GRACE_S + 10
    while left := [run for run in left if supervise.is_running(run)]:
        try:
            time.sleep(0.1)
        except KeyboardInterrupt:
            deadline = 0
        if time.monotonic() > deadline:  # its ranks die with it
            left = [run for run in left if _ask_to_end(run, signal.SIGKILL)]


def _ask_to_end(run: RunDir, number: int) -> bool:
    """Send a signal to the launcher of a run; False if there is none any more."""
    deadline = time.monotonic() + local.STARTING_S
    while (last := _last_of_life(run))["event"] == "submitted":  # it has yet to say who it is
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    if last["event"] == "ended" or not supervise.is_running(run):
        return False
    try:
        os.kill(last["pid"], number)
    except OSError as error:
        raise Refusal(
            f"the launcher of {run.path}, process {last['pid']}, cannot be ended ({error.strerror}): end it where it was started"
        ) from None
    return True


def _last_of_life(run: RunDir) -> dict[str, Any]:
    return [event for event in run.events() if event["event"] in ("submitted", "started", "ended")][-1]


def _cancel_jobs(there: Sequence[states.Known]) -> list[states.Known]:
    """End jobs; return the runs whose jobs are still there."""
    if not there:
        return []
    runs = {one: RunDir(one.path) for one in there}
    saves = {one: handles_warning(run, Plan.from_json(read_json(run.run_json))) for one, run in runs.items()}
    for save_first in (True, False):
        if numbers := {one.job: None for one in there if saves[one] is save_first}:
            slurm.cancel(list(numbers), save_first)
    answer = ask_all()
    return [one for one in there if answer.silence or not _gone(answer.jobs.get(one.job))]


def _gone(job: Job | None) -> bool:
    return job is None or job.state in ENDED


def _became(run: RunDir, before: states.Known) -> str:
    if run.result() is not None:
        return "was done before it could be cancelled"
    saved = saved_step(run)
    what = f"ended, saved at step {saved}" if saved else "ended, nothing saved"
    if before.state == "queued" and not before.attempts:
        what = "taken out of the queue"
    return f"{what}; start it again: python -m launch resume {run.path}"
