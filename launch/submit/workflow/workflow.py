"""The plans of a workflow, in words and for programs, and its folder."""

import dataclasses
import datetime
import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.backends.scheduler import scheduler
from launch.errors import Refusal, nearest
from launch.plan.names import refuse_bad_name
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.shape import Machine
from launch.plan.site import Site
from launch.plan.target.placeholders import fill
from launch.plan.target.workload import Target
from launch.submit import order
from launch.submit.create import whole
from launch.submit.lock import Hold
from launch.submit.order import Order, Planned
from launch.submit.study import planning
from launch.submit.workflow import loop, stages
from launch.submit.workflow.stages import Stage


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
        """Return the plan for programs: each stage as `launch.submit.order.Planned.as_json` gives it."""
        hours, unit = planning.cost(self.jobs)
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
        """Return the plan as text."""
        hours, unit = planning.cost(self.jobs)
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
        """Return the text of what would be submitted or started for each stage."""
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
        return loop.run(self.folder, how, hold)


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


def _with_folders(each: Order, folder: Path, before: set[str], names: Iterable[str]) -> Target:
    """Return what a stage runs, with the names of earlier stages in braces replaced by their folders; other braces
    belong to the program."""
    own = {name for step in each.axes.steps for name in step}
    for name in re.findall(r"(?<!\{)\{([\w.+-]+)\}", " ".join(each.target.arguments)):
        mistaken = name in names or difflib.get_close_matches(name, before, 1, 0.8)
        if mistaken and name not in before | own:
            raise Refusal(
                f"stage {each.stage} is given {{{name}}}, which is not a stage before it: {nearest(name, before)}"
            )
    words, _ = fill(each.target.arguments, {name: str(folder / name) for name in before - own})
    return each.target.given(words)
