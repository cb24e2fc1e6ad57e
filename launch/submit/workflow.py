"""A workflow: stages in one folder, each a run or a study. A stage begins when those before it are done."""

import dataclasses
import datetime
import difflib
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch import own_command
from launch.backends.scheduler import scheduler
from launch.errors import Refusal, command, nearest
from launch.plan.placeholders import fill
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.resolve import refuse_bad_name
from launch.plan.shape import Machine
from launch.plan.site import Site
from launch.plan.workload import Target
from launch.record.job import Job
from launch.record.rundir import STATUS, read_index
from launch.submit import jobs, order, stages, study
from launch.submit.create import whole
from launch.submit.lock import Hold
from launch.submit.order import Order, Planned
from launch.submit.stages import Stage
from launch.submit.watch import watch

Unfinished = Sequence[tuple[Stage, jobs.Runs]]
"""Stages of a workflow in order, each with those of its runs that have no result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A workflow with the plans of all its stages; the counterpart of `launch.submit.order.Planned` for a run or
    study."""

    folder: Path
    stages: Sequence[Planned]

    @property
    def plans(self) -> list[Plan]:
        """The plans of all runs."""
        return [plan for stage in self.stages for plan in stage.plans]

    @property
    def jobs(self) -> list[Plan]:
        """The plans that the scheduler gets for them."""
        return [job for stage in self.stages for job in stage.jobs]

    def as_json(self, here: Site, why: str) -> dict[str, Any]:
        """The plan for programs: each stage as `launch.submit.order.Planned.as_json` gives it."""
        hours, unit = study.cost(self.jobs)
        parts = [
            {
                "stage": each.order.stage,
                "after": list(each.order.after),
                **each.as_json(here, why, _jobs_of(each.order.after)),
            }
            for each in self.stages
        ]
        return {
            "kind": "workflow",
            "folder": str(self.folder),
            "cost": hours,
            "cost_unit": unit or None,
            "stages": parts,
        }

    def described(self, here: Site, why: str) -> str:
        """The plan as text."""
        hours, unit = study.cost(self.jobs)
        orders = [stage.order for stage in self.stages]
        text = [
            f"workflow       {len(orders)} stages, {len(self.plans)} runs",
            *(
                f"  {each.stage:<12} {'after ' + ' and '.join(each.after) if each.after else 'at once'}"
                for each in orders
            ),
            f"cost           {f'{hours:.4g} {unit} at most' if hours is not None else 'not known without --time'}",
            f"folder         {self.folder}",
        ]
        return "\n".join(
            [*text, *(f"\nstage {stage.order.stage}\n{stage.described(here, why)}" for stage in self.stages)]
        )

    def check(self) -> None:
        """Refuse what the scheduler cannot run."""
        for stage in self.stages:
            stage.check()
        if scheduler(self.plans[0].backend).remote:
            order.check_queue_limits(self.jobs, "make its studies smaller, as a workflow is submitted whole")

    def preview(self) -> str:
        """The text of what would be submitted or started for each stage."""
        return "\n".join(
            f"\nstage {stage.order.stage}\n{stage.preview(_jobs_of(stage.order.after))}" for stage in self.stages
        )

    def create(self) -> None:
        """Make the folder of the workflow, with its index and the folders of its stages, completely or not at all."""
        with whole(self.folder, "workflow") as draft:
            for stage in self.stages:
                path = draft / stage.order.stage
                path.mkdir(mode=0o700)
                stage.write(path)
            stages.write(draft, [Stage(each.order.stage, each.order.after, each.folder) for each in self.stages])

    def run(self, how: str, hold: Hold) -> int:
        """Begin, and unless ``how`` is "detach" stay to the end; return the exit status."""
        return run(self.folder, how, hold)


def _jobs_of(names: Sequence[str]) -> list[str]:
    return [f"<job of {name}>" for name in names]


def plan(asked: Request, orders: Sequence[Order], here: Site, machine: Machine, now: datetime.datetime) -> Workflow:
    """Work out the plans of a workflow.

    Raises
    ------
    Refusal
        If a plan is impossible, or a word of a stage has ``{STAGE}`` (the folder of an earlier stage) with a name that
        is not, or is only almost, that of an earlier stage.
    """
    folder = (asked.runs / refuse_bad_name(asked.name or "")).absolute()
    after = {each.stage: each.after for each in orders}
    planned = []
    for each in orders:
        job_name = each.asked.job_name or f"{asked.name}-{each.stage}"
        own = dataclasses.replace(each.asked, runs=folder, name=each.stage, job_name=job_name)
        target = _with_folders(each, folder, stages.all_before(after, each.stage), after)
        planned.append(order.plan(dataclasses.replace(each, asked=own, target=target), here, machine, now))
    return Workflow(folder=folder, stages=planned)


def run(folder: Path, how: str, hold: Hold, change: Callable[[Plan], Plan] = lambda plan: plan) -> int:
    """Run the unfinished stages of a workflow and print how they ended; return the exit status.

    If part of a stage is not done, the stages after it are cancelled. If the scheduler supports dependencies, all
    stages are submitted at once. Otherwise the launcher stays and submits each stage when those before it are done.

    Parameters
    ----------
    folder : Path
        Of the workflow.
    how : str
        "follow", "wait" or "detach".
    hold : Hold
        The lock of the folder.
    change : function
        Applied to each plan.

    Raises
    ------
    Refusal
        If nothing is left to run.
    SubmissionRefused
        If the scheduler refuses a stage; those before it have been cancelled.
    KeyboardInterrupt
        If the user asked for the end; nothing of the workflow is then running or waiting.
    """
    lacking = [(stage, study.unfinished(stage.folder)) for stage in stages.read(folder)]
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
        print(study.again(folder), flush=True)
        raise
    count = len(stages.read(folder))
    print(
        f"\n{count - sum(status != 0 for status in statuses.values())} of {count} stages are done: {folder}", flush=True
    )
    if any(statuses.values()):
        print(study.again(folder), flush=True)
    return study.worst(statuses.values())


def _with_folders(each: Order, folder: Path, before: set[str], names: Iterable[str]) -> Target:
    """What a stage runs, with the names of earlier stages in braces replaced by their folders; other braces belong to
    the program."""
    own = {name for step in each.axes.steps for name in step}
    for name in re.findall(r"(?<!\{)\{([\w.+-]+)\}", " ".join(each.target.arguments)):
        mistaken = name in names or difflib.get_close_matches(name, before, 1, 0.8)
        if mistaken and name not in before | own:
            raise Refusal(
                f"stage {each.stage} is given {{{name}}}, which is not a stage before it: {nearest(name, before)}"
            )
    words, _ = fill(each.target.arguments, {name: str(folder / name) for name in before - own})
    return each.target.given(words)


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
            submitted[stage.name] = [jobs.submit_one(job, hold) for job in made]
            study.announce(submitted[stage.name])
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
                statuses[stage.name] = study.summary(stage.folder, outcomes)
            else:
                statuses[stage.name] = study.run(stage.folder, runs, how, _throttle(stage.folder), hold)
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
