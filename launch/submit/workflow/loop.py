"""The stages of a workflow, submitted or started one after the other, and followed to their end."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from launch import own_command
from launch.backends.scheduler import scheduler
from launch.errors import Refusal, command
from launch.plan.plan import Plan
from launch.record.job import Job
from launch.record.rundir import STATUS
from launch.record.study import read_index
from launch.submit import jobs, running
from launch.submit.lock import Hold
from launch.submit.study import folders
from launch.submit.watching.watch import watch
from launch.submit.workflow import stages
from launch.submit.workflow.stages import Stage

Unfinished = Sequence[tuple[Stage, jobs.Runs]]
"""Stages of a workflow in order, each with those of its runs that have no result."""


def run(folder: Path, how: str, hold: Hold, change: Callable[[Plan], Plan] = lambda plan: plan) -> int:
    """Run the unfinished stages of a workflow and print how they ended; return the exit status.

    If part of a stage is not done, the stages after it are cancelled. If the scheduler supports dependencies, all
    stages are submitted at once. Otherwise the launcher stays and submits each stage when those before it are done.

    Parameters
    ----------
    folder : Path
        Folder of the workflow.
    how : str
        "follow", "wait" or "detach".
    hold : Hold
        The lock of the folder.
    change : function
        Function that is applied to each plan.

    Raises
    ------
    Refusal
        If nothing is left to run.
    SubmissionRefused
        If the scheduler refuses a stage; those before it have been cancelled.
    KeyboardInterrupt
        If the user asked for the end; nothing of the workflow is then running or waiting.
    """
    lacking = [(stage, folders.unfinished(stage.folder)) for stage in stages.read(folder)]
    lacking = [(stage, [(run, change(plan)) for run, plan in runs]) for stage, runs in lacking if runs]
    if not lacking:
        raise Refusal(f"all stages of {folder} are finished: there is nothing left to run")
    remote = scheduler(lacking[0][1][0][1].backend).remote
    submitted = _submit(lacking, hold) if remote else {}
    if how == "detach":
        if not remote:
            _in_background(folder)
        print(f"see its state: {command('status', folder)}", flush=True)
        return 0
    statuses: dict[str, int] = {}
    try:
        _follow(lacking, submitted, statuses, how, hold)
    except KeyboardInterrupt:
        if waiting := [job for name, own in submitted.items() if name not in statuses for job in own]:
            jobs.end([(job, None) for job in waiting])
        print(running.again(folder), flush=True)
        raise
    count = len(stages.read(folder))
    print(
        f"\n{count - sum(status != 0 for status in statuses.values())} of {count} stages are done: {folder}", flush=True
    )
    if any(statuses.values()):
        print(running.again(folder), flush=True)
    return running.worst(statuses.values())


def _submit(lacking: Unfinished, hold: Hold) -> dict[str, list[Job]]:
    """Submit all stages, or none."""
    submitted: dict[str, list[Job]] = {}
    with jobs.all_or_none() as together:
        for stage, runs in lacking:
            after = tuple(str(job.id) for name in stage.after for job in submitted.get(name, ()))
            made = jobs.make(stage.folder, runs, _throttle(stage.folder))
            made = [dataclasses.replace(job, after=after) for job in made]
            print(f"stage          {stage.name}", flush=True)
            together += made
            submitted[stage.name] = jobs.in_turn(made, hold)
            running.announce(submitted[stage.name])
    return submitted


def _follow(
    lacking: Unfinished, submitted: dict[str, list[Job]], statuses: dict[str, int], how: str, hold: Hold
) -> None:
    """Wait for one stage after the other; record the exit status of each."""
    causes: dict[str, str] = {}
    for stage, runs in lacking:
        bad = next((name for name in stage.after if statuses.get(name)), None)
        if bad is None:
            print(f"\nstage {stage.name}", flush=True)
            if stage.name in submitted:
                outcomes = watch(submitted[stage.name], how == "follow")
                statuses[stage.name] = running.summary(stage.folder, outcomes)
            else:
                statuses[stage.name] = running.run(stage.folder, runs, how, _throttle(stage.folder), hold)
            if statuses[stage.name]:
                what = "was stopped" if statuses[stage.name] == STATUS["stopped"] else "has failed"
                causes[stage.name] = f"stage {stage.name} {what}"
            continue
        causes[stage.name], statuses[stage.name] = causes[bad], STATUS["cancelled"]
        if stage.name in submitted:  # the scheduler would do this itself, a while later
            jobs.end([(job, None) for job in submitted[stage.name]], save_first=False, reason=causes[bad])
        else:
            for run, _ in runs:
                run.append_event("cancelled", reason=causes[bad])
        print(f"\nstage {stage.name} is cancelled: {causes[bad]}", flush=True)


def _throttle(folder: Path) -> int | None:
    return (read_index(folder) or {}).get("throttle")


def _in_background(folder: Path) -> None:
    """Continue a workflow in a launcher that outlives this one."""
    log_file = folder / "workflow.log"
    with open(log_file, "ab") as log:
        command = own_command(sys.executable, "resume", str(folder), "--wait")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    print(f"started as process {process.pid}; its output goes to {log_file}")
