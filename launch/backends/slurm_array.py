"""The runs of a study as Slurm arrays: one for each shape, as all tasks of an array have the same."""

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from launch.backends import slurm, slurm_submission
from launch.backends.slurm_queue import ENDED, ask_many, command, largest_array
from launch.backends.slurm_script import directives, script
from launch.errors import Refusal, SubmissionRefused
from launch.plan.plan import Plan
from launch.record.files import publish
from launch.record.rundir import RunDir
from launch.submit import cutoff, lock

STAY = "leave out --detach, so that we stay and submit as many at a time; or ask for fewer"


def start_many(folder: Path, runs: Sequence[tuple[RunDir, Plan]], how: str, throttle: int | None) -> dict[str, str]:
    """Submit the runs of a study and, unless ``how`` is "detach", stay until the last has ended.

    Where the site says how many jobs may be in the queue, no more are submitted before those have ended.

    Parameters
    ----------
    folder : Path
        Of the study.
    runs : sequence of (RunDir, Plan)
        What is to be run.
    how : str
        "follow", "wait" or "detach".
    throttle : int or None
        How many tasks of an array may run at once.

    Returns
    -------
    dict of str to str
        The outcome of each run, by its name; none when detached.

    Raises
    ------
    SubmissionRefused
        If Slurm refuses one of the arrays; those before it have been taken back.
    KeyboardInterrupt
        If the user asked for the end; the jobs have left the queue then.
    """
    if how == "detach":
        refuse_beyond_queue([plan for _, plan in runs], STAY)
    largest = runs[0][1].max_jobs or len(runs)
    outcomes: dict[str, str] = {}
    for first in range(0, len(runs), largest):
        part = runs[first : first + largest]
        if len(runs) > largest:
            lock.refuse_if_taken_over(folder)
            print(f"{len(part)} of {len(runs)} runs now: {largest} jobs may be in the queue", flush=True)
        if part := [(run, plan) for run, plan in part if not cutoff.cut(run, plan)]:
            hand_in(folder, part, throttle)
            outcomes |= {} if how == "detach" else watch(part, how)
    return outcomes


def refuse_beyond_queue(plans: Sequence[Plan], instead: str) -> None:
    """Refuse runs that would all have to wait in the queue at the same time.

    Raises
    ------
    Refusal
        If there are more for a partition than the site says; the message ends with what to do instead.
    """
    for partition in {plan.partition: None for plan in plans}:
        those = [plan for plan in plans if plan.partition == partition]
        most = those[0].max_jobs
        if most and len(those) > most:
            raise Refusal(
                f"{len(those)} runs are more than the {most} jobs that {those[0].site} lets you have in the queue of "
                f"{partition}: {instead}"
            )


def hand_in(folder: Path, runs: Sequence[tuple[RunDir, Plan]], throttle: int | None) -> None:
    """Submit the runs of a study, and note their jobs; all or none are taken."""
    numbers: list[str] = []
    largest = largest_array()
    for members in _by_shape(runs):
        for first in range(0, len(members), largest):
            chunk = members[first : first + largest]
            try:
                number = _submit(folder, chunk, throttle)
            except SubmissionRefused:
                if numbers:
                    slurm.cancel(numbers, save_first=False)
                raise
            numbers.append(number)
            print(f"job            {number}: {len(chunk)} runs on {chunk[0][1].nodes} nodes each", flush=True)


def watch(runs: Sequence[tuple[RunDir, Plan]], how: str) -> dict[str, str]:
    """Stay until the last of the runs that were handed in has ended; return the outcomes, as `start_many`."""
    jobs = {}  # by run: job, and how many of its attempts had ended before
    for run, plan in runs:
        submitted = run.events("submitted")[-1]
        jobs[run.path.name] = run, plan, submitted["job"], submitted["ends"]
    numbers = sorted({job.partition("_")[0] for _, _, job, _ in jobs.values()}, key=int)
    try:
        return _follow(jobs, numbers, how)
    except KeyboardInterrupt:
        slurm.cancel(numbers, save_first=runs[0][1].kind == "workload")
        for run, _, _, before in jobs.values():
            if len(run.events("ended")) <= before:
                run.append_event("cancelled")
        raise


def preview(folder: Path, runs: Sequence[tuple[RunDir, Plan]], throttle: int | None) -> str:
    """The scripts that would be submitted, one for each shape."""
    texts = []
    for number, members in enumerate(_by_shape(runs), 1):
        planned = _named(folder, members[0][1])
        array = RunDir(folder / "arrays" / f"{number}-n{planned.nodes}")
        texts.append(script(array, planned, _tasks(len(members), throttle)))
    return "\n" + "\n\n".join(texts)


def _by_shape(runs: Sequence[tuple[RunDir, Plan]]) -> list[list[tuple[RunDir, Plan]]]:
    shapes: dict[str, list[tuple[RunDir, Plan]]] = {}
    for run, plan in runs:
        shape = {name: value for name, value in directives(plan).items() if name != "job-name"}
        shapes.setdefault(repr((shape, plan.env, plan.modules, plan.setup)), []).append((run, plan))
    return list(shapes.values())


def _submit(folder: Path, runs: Sequence[tuple[RunDir, Plan]], throttle: int | None) -> str:
    plan = _named(folder, runs[0][1])
    taken = len(list((folder / "arrays").glob("*"))) if (folder / "arrays").is_dir() else 0
    array = RunDir(folder / "arrays" / f"{taken + 1}-n{plan.nodes}")
    array.create()
    publish(array.path / "runs.txt", "".join(f"../../{run.path.name}\n" for run, _ in runs))
    publish(array.script, script(array, plan, _tasks(len(runs), throttle)))
    tasks = [(run, {"task": task, "ends": len(run.events("ended"))}) for task, (run, _) in enumerate(runs)]
    return slurm_submission.hand_in(array, plan, tasks)


def _named(folder: Path, plan: Plan) -> Plan:
    """The plan with a job name for the whole array, unless one was asked for."""
    return dataclasses.replace(plan, job_name=f"{folder.name}-n{plan.nodes}") if plan.job_name == plan.name else plan


def _tasks(count: int, throttle: int | None) -> str:
    return f"0-{count - 1}" + (f"%{throttle}" if throttle else "")


def _follow(jobs: dict[str, tuple[RunDir, Plan, str, int]], numbers: Sequence[str], how: str) -> dict[str, str]:
    """Watch until no run is in the queue; say of each how it ended, as it does."""
    outcomes: dict[str, str] = {}
    missing_since: dict[str, float] = {}
    said = ""
    while len(outcomes) < len(jobs):
        time.sleep(slurm.POLL_S)
        queue = ask_many(numbers)
        if queue is None:
            continue
        now = time.monotonic()
        running = 0
        known = len(outcomes)
        for name, (run, _, job, before) in jobs.items():
            if name in outcomes:
                continue
            state = queue[job].state if job in queue else ""
            running += state not in ("", "PENDING")
            if state and state not in ENDED:
                continue
            ended = run.events("ended")
            # For what the nodes wrote to be seen here.
            if len(ended) <= before and now - missing_since.setdefault(name, now) < 10 and state != "CANCELLED":
                continue
            outcomes[name] = slurm.outcome(state, ended[-1]["outcome"] if len(ended) > before else None)
            if how == "follow":
                print(f"{name}: {outcomes[name]}", flush=True)
        # What has just ended may say that larger points are not worth their hours.
        for name, (run, plan, job, _) in list(jobs.items()) if len(outcomes) > known else ():
            if name not in outcomes and cutoff.cut(run, plan):
                command(["scancel", job])
                del jobs[name]
        news = f"{len(outcomes)} of {len(jobs)} runs have ended, {running} are running"
        if how == "follow" and news != said:
            print(news, file=sys.stderr, flush=True)
            said = news
    return outcomes
