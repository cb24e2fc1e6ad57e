"""The runs of a study as steps of one Slurm job, one after the other: it waits in the queue but once."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launch.backends import rank_command, slurm, slurm_submission
from launch.backends.slurm_queue import ENDED, Job, ask
from launch.backends.slurm_script import environment, filled, tasks
from launch.plan.packing import allocation, in_order
from launch.plan.plan import Plan
from launch.plan.walltime import minutes
from launch.record.files import publish
from launch.record.rundir import RunDir


def start_many(folder: Path, runs: Sequence[tuple[RunDir, Plan]], how: str, throttle: int | None) -> dict[str, str]:
    """Submit the job and, unless ``how`` is "detach", stay until it ends.

    Parameters
    ----------
    folder : Path
        Of the study.
    runs : sequence of (RunDir, Plan)
        What is to be run.
    how : str
        "follow", "wait" or "detach".
    throttle : None
        As only one run is made at a time.

    Returns
    -------
    dict of str to str
        The outcome of each run, by its name; none when detached.

    Raises
    ------
    SubmissionRefused
        If Slurm refuses the job.
    KeyboardInterrupt
        If the user asked for the end; the job has left the queue then.
    """
    hand_in(folder, runs, throttle)
    return {} if how == "detach" else watch(runs, how)


def hand_in(folder: Path, runs: Sequence[tuple[RunDir, Plan]], throttle: int | None) -> None:
    """Submit the runs of a study, and note their job."""
    taken = len(list((folder / "arrays").glob("*"))) if (folder / "arrays").is_dir() else 0
    plan = allocation(folder.name, [plan for _, plan in runs])
    job = RunDir(folder / "arrays" / f"{taken + 1}-pack-n{plan.nodes}")
    job.create()
    publish(job.script, script(job, plan, runs))
    number = slurm_submission.hand_in(job, plan, [(run, {"packed": job.path.name}) for run, _ in runs])
    print(f"job            {number}: {len(runs)} runs, one after the other on up to {plan.nodes} nodes", flush=True)


def watch(runs: Sequence[tuple[RunDir, Plan]], how: str) -> dict[str, str]:
    """Stay until the job of runs that were handed in has ended; say of each how it ended, as it does; return the outcomes."""
    number = runs[0][0].events("submitted")[-1]["job"]
    try:
        return _follow([run for run, _ in runs], number, how)
    except KeyboardInterrupt:
        slurm.cancel([number], save_first=runs[0][1].kind == "workload")
        for run, _ in runs:
            if not _since_submitted(run, "ended", "cancelled"):
                run.append_event("cancelled")
        raise


def preview(folder: Path, runs: Sequence[tuple[RunDir, Plan]], throttle: int | None) -> str:
    """The script that would be submitted."""
    plan = allocation(folder.name, [plan for _, plan in runs])
    return f"\n{script(RunDir(folder / 'arrays' / f'1-pack-n{plan.nodes}'), plan, runs)}"


def script(job: RunDir, plan: Plan, runs: Sequence[tuple[RunDir, Plan]]) -> str:
    """The text of the job script.

    Parameters
    ----------
    job : RunDir
        The folder of the job within that of the study.
    plan : Plan
        Of the allocation.
    runs : sequence of (RunDir, Plan)
        What is to be run in it.
    """
    a_run = minutes(max(each.time_s for _, each in runs))
    margin = min(plan.signal_s, 60 * a_run // 2)
    cut = f"if {_python(plan)} launch.submit.cutoff .; then lacking=$((lacking - 1)); return; fi"
    return filled(
        "slurm_pack.sh",
        job,
        plan,
        {},
        environment=environment(plan),
        latest=str(plan.time_s - margin),
        begin="\n        ".join(
            ([cut] if plan.stop_below is not None else [])
            + [
                f"{_python(plan)} launch.node.attempt begin . || {{ [ -e result.json ] && lacking=$((lacking - 1)); return; }}"
            ]
        ),
        longest=str(60 * a_run - (margin if plan.handles_warning else 0)),
        # As Slurm does for a job: a warning before the time of the run is over, and its end then.
        warn='timeout --preserve-status --signal=USR2 "$longest" \\\n            ' if plan.handles_warning else "",
        srun=shlex.join([f"--time={a_run}", *tasks(plan)]),
        worker=rank_command.line(plan),
        end=f"{_python(plan)} launch.node.attempt end .",
        runs="\n".join(
            f"run {shlex.quote(f'../../{run.path.name}')} {each.nodes} {each.size}" for run, each in in_order(runs)
        ),
    )


def _python(plan: Plan) -> str:
    return f"{shlex.quote(plan.python)} -m"


def _since_submitted(run: RunDir, *kinds: str) -> list[dict[str, Any]]:
    """The events of these kinds since the run was last handed in."""
    events = run.events()
    last = max(place for place, event in enumerate(events) if event["event"] == "submitted")
    return [event for event in events[last:] if event["event"] in kinds]


def _follow(runs: Sequence[RunDir], number: str, how: str) -> dict[str, str]:
    """Watch until the job has ended; say of each run how it ended, as it does."""
    outcomes: dict[str, str] = {}
    left, job, over_since = list(runs), Job("PENDING"), 0.0
    while left:
        time.sleep(slurm.POLL_S)
        job = ask(number) or job
        if job.state == "COMPLETING":  # how it ended is not said yet, and with it how its last run did
            continue
        over_since = over_since or time.monotonic() * (job.state in ENDED)
        for run in list(left):
            begun, last = _since_submitted(run, "started"), _since_submitted(run, "ended", "cancelled")[-1:]
            if last and "reason" in last[0] and last[0]["event"] == "cancelled":  # said and noted by the job itself
                print(f"{run.path.name}: not made: {last[0]['reason']}", flush=True)
                left.remove(run)
                continue
            if last and last[0]["event"] == "ended":
                outcome = slurm.outcome(job.state if over_since else "", last[0]["outcome"])
            elif over_since and (
                not begun or time.monotonic() - over_since > 10
            ):  # for what the nodes wrote to be seen
                # What has not begun when others have can be made another time.
                outcome = slurm.outcome(job.state, "stopped" if outcomes and not begun else None)
            else:
                continue
            outcomes[run.path.name] = outcome
            left.remove(run)
            if how == "follow":
                print(f"{run.path.name}: {outcome}", flush=True)
    if job.state == "FAILED" and not any(_since_submitted(run, "started") for run in runs):
        said = runs[0].events("submitted")[-1]["packed"]
        print(f"no run has begun: see {RunDir(runs[0].path.parent / 'arrays' / said).job_log}", flush=True)
    return outcomes
