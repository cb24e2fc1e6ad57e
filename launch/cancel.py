"""python -m launch cancel RUN|FOLDER ...: end runs that are queued or running, so that they can be resumed.

The ranks of a workload are first asked to save and leave. It returns when the runs have ended; Ctrl-C meanwhile ends
them at once. A run that is not running is said to be so, and is no error.
"""

import re
from collections.abc import Sequence

from launch import runs
from launch.backends import local, slurm
from launch.backends.slurm_jobs import ask_all
from launch.backends.slurm_queue import ENDED, Job
from launch.errors import Refusal
from launch.rundir import RunDir, read_json


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
    known, silence = runs.look(runs.find(argv))
    if damaged := next((one for one in known if one.state == "damaged"), None):
        raise Refusal(f"{damaged.path}: {damaged.reason}; nothing was cancelled")
    here = [one for one in known if one.state in runs.UNDER_WAY and one.backend == "local"]
    there = [one for one in known if one.state in runs.UNDER_WAY and one.backend == "slurm"]
    if silence and there:
        raise Refusal(f"Slurm does not answer ({silence}), and nothing was cancelled: try again later")
    local.cancel([RunDir(one.path) for one in here])
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


def _cancel_jobs(there: Sequence[runs.Known]) -> list[runs.Known]:
    """End jobs; return the runs whose jobs are still there."""
    if not there:
        return []
    kinds = {one: read_json(RunDir(one.path).run_json)["kind"] for one in there}
    for save_first in (True, False):
        if numbers := [one.job for one in there if (kinds[one] == "workload") is save_first]:
            slurm.cancel(numbers, save_first)
    answer = ask_all()
    return [one for one in there if answer.silence or not _gone(answer.jobs.get(one.job))]


def _gone(job: Job | None) -> bool:
    return job is None or job.state in ENDED


def _became(run: RunDir, before: runs.Known) -> str:
    if run.result() is not None:
        return "was done before it could be cancelled"
    saved = [
        int(match[1]) for path in run.checkpoints.glob("*") if (match := re.fullmatch(r"step-(\d+)\..*", path.name))
    ]
    what = f"ended, saved at step {max(saved)}" if saved else "ended, nothing saved"
    if before.state == "queued" and not before.attempts:
        what = "taken out of the queue"
    return f"{what}; start it again: python -m launch resume {run.path}"
