"""Runs of a study, or a run by itself: submitted, and followed to their end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from launch.backends.scheduler import scheduler
from launch.errors import Refusal, command
from launch.plan.packing import in_order
from launch.plan.plan import Plan
from launch.record.job import Job
from launch.record.rundir import STATUS, RunDir
from launch.record.study import holder_of, is_study
from launch.submit import jobs

if TYPE_CHECKING:
    from launch.submit.lock import Hold


def run(folder: Path, runs: Sequence[tuple[RunDir, Plan]], how: str, throttle: int | None, hold: Hold) -> int:
    """Submit runs of a study, or a run by itself, and, unless ``how`` is "detach", stay until they have ended; return
    the exit status.

    If the site limits the number of jobs in the queue, the others are submitted once these have ended.

    Raises
    ------
    SubmissionRefused
        If the scheduler refuses a job; jobs submitted together with it have been cancelled.
    KeyboardInterrupt
        If the user asked for the end; no job is then left.
    """
    runs = left_over(runs)
    outcomes: dict[str, str] = {}
    count, all_runs = len(runs), [run for run, _ in runs]
    most = runs[0][1].max_jobs if runs and not runs[0][1].pack else None
    try:
        while runs:
            part, runs = runs[: most or len(runs)], runs[most or len(runs) :]
            if most and most < count:
                print(
                    f"{len(part)} of {len(part) + len(runs)} runs are submitted now, as {most} jobs may be in the "
                    "queue",
                    flush=True,
                )
            submitted = jobs.submit(jobs.make(folder, part, throttle, how == "detach"), hold)
            try:
                announce(submitted)
                from launch.submit.watching.watch import watch  # imported once the scheduler is at work
            except KeyboardInterrupt:  # from here on watch ends them
                if how != "detach":
                    jobs.end([(job, None) for job in submitted])
                raise
            if how == "detach":
                print(f"see its state: {command('status', folder)}", flush=True)
            else:
                outcomes |= watch(submitted, how == "follow")
            runs = left_over(runs)
    except KeyboardInterrupt:
        if is_study(folder):
            done = sum(run.result_json.exists() for run in all_runs)
            print(f"\ninterrupted: {done} of {count} runs are done\n{again(folder)}", flush=True)
        raise
    status = summary(folder, outcomes)
    if outcomes:
        _say_written(all_runs)
        _advise(folder)
    return status


def _advise(folder: Path) -> None:
    """Print what to ask for next time, if that gains something. Files that cannot be read are reported elsewhere."""
    from launch.submit.advice import advice

    with contextlib.suppress(Refusal, OSError):
        if gain := advice.brief(folder):
            print(gain, flush=True)


def _say_written(runs: Sequence[RunDir]) -> None:
    """Print where files are that programs wrote beside their code: users would look for them beside the original in
    vain."""
    from launch.record.code import compare, snapshot

    for run in {(holder_of(run), snapshot.name_of(run)): run for run in runs}.values():
        with contextlib.suppress(Refusal, OSError):  # the copy is gone
            if new := compare.written(run):
                print(
                    f"the program wrote files beside its code, so into the snapshot: {snapshot.some(new)}", flush=True
                )


def left_over(runs: Sequence[tuple[RunDir, Plan]]) -> list[tuple[RunDir, Plan]]:
    """Return the runs in the order in which it is best to submit them, without those that are not worth their
    node-hours."""
    runs = in_order(runs)
    if all(plan.stop_below is None for _, plan in runs):
        return runs
    from launch.submit import cutoff  # imported late, here and above: others do not need it

    return [(run, plan) for run, plan in runs if not cutoff.cut(run, plan)]


def announce(submitted: Sequence[Job]) -> None:
    """Print the jobs."""
    for job in submitted:
        if job.shape == "run":
            what = ""
        elif job.shape == "array":
            runs, nodes = len(job.runs), job.plans[0].nodes
            each = f"{nodes} node{'s' * (nodes > 1)}{' each' * (runs > 1)}"
            what = f": {runs} run{'s' * (runs > 1)} on {each}"
        else:
            what = f": {len(job.runs)} runs, one after the other"
        behind = f"; it waits for the end of job {', '.join(job.behind)}, as --throttle asks" if job.behind else ""
        if scheduler(job.backend).remote or job.detached:
            print(f"job            {job.id}{what}{behind}", flush=True)


def summary(folder: Path, outcomes: Mapping[str, str]) -> int:
    """Print how the runs of a study ended (a single run has printed this already); return the exit status."""
    statuses = [STATUS[outcome] for outcome in outcomes.values()]
    if not is_study(folder):
        return worst(statuses)
    bad = {name: outcome for name, outcome in outcomes.items() if outcome != "done"}
    if outcomes:
        print(f"\n{len(outcomes) - len(bad)} of {len(outcomes)} runs are done: {folder}", flush=True)
    for name, outcome in bad.items():
        print(f"  {name}: {outcome}", flush=True)
    if bad:
        print(again(folder), flush=True)
    elif outcomes:
        from launch.submit.study import scaling_table

        print(scaling_table.of(folder), end="", flush=True)
    return worst(statuses)


def again(folder: Path) -> str:
    """Return how to continue with what is not done."""
    return f"continue it: {command('resume', folder)}"


def worst(statuses: Iterable[int]) -> int:
    """Return the exit status of all together: a failure counts before a run that was only ended."""
    return max(statuses, key=[0, 4, 2, 1].index, default=0)
