"""An order for a run or a study. It is asked for, then planned, then written as a folder, then started."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.backends.scheduler import scheduler
from launch.errors import Refusal
from launch.plan import packing
from launch.plan.names import default_name, refuse_bad_name
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.shape import Machine, refuse_beyond_limits, refuse_too_many, runs_at_once
from launch.plan.site import Site
from launch.plan.sweep import Axes
from launch.plan.target.workload import Target
from launch.plan.within.allocation import Allocation
from launch.record.code import sources
from launch.record.code.tree import refuse_too_large
from launch.record.redact import without_secrets
from launch.record.rundir import RunDir
from launch.record.writing import as_text, publish
from launch.submit import describe, jobs
from launch.submit.study import planning

if TYPE_CHECKING:
    from launch.submit.lock import Hold


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Order:
    """What was asked for.

    Parameters
    ----------
    asked : Request
        The job options.
    target : Target
        What is to be run.
    axes : Axes
        The axes along which the runs differ.
    stage : str
        Name of the stage in a workflow; empty outside of a workflow.
    after : tuple of str
        Stages of the workflow that must be done before.
    allocation : Allocation, optional
        The job whose steps its runs become.
    passed_over : tuple of str
        Options of a definition or of the user's defaults that do not apply because of the allocation.
    """

    asked: Request
    target: Target
    axes: Axes
    stage: str = ""
    after: tuple[str, ...] = ()
    allocation: Allocation | None = None
    passed_over: tuple[str, ...] = ()

    def within(self, allocation: Allocation, given: Mapping[str, Any]) -> Order:
        """Return the order, changed for steps of an allocation.

        Raises
        ------
        Refusal
            If the command line gives an option that only a new job could have.
        """
        asked, passed_over = allocation.request(self.asked, given)
        return dataclasses.replace(self, asked=asked, allocation=allocation, passed_over=tuple(passed_over))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planned:
    """An order with the plans of its runs and the folder for them; for a single run this is its own folder."""

    order: Order
    folder: Path
    plans: Sequence[Plan]
    points: Sequence[planning.Point] = ()  # points of a study, one for each plan

    @property
    def runs(self) -> list[tuple[RunDir, Plan]]:
        """Each run and its plan."""
        names = [point.name for point in self.points] or ["."]
        return [(RunDir(self.folder / name), plan) for name, plan in zip(names, self.plans)]

    @property
    def jobs(self) -> Sequence[Plan]:
        """The plans that the scheduler gets: a job for each run, or one allocation for all of them."""
        return [packing.allocation(self.folder.name, self.plans)] if self.plans[0].pack else self.plans

    @property
    def sources(self) -> sources.Sources:
        """The code of its runs."""
        return sources.of(self.plans[0], self.folder.parent, self.order.asked.snapshot)

    def described(self, here: Site, why: str) -> str:
        """Return the plan as text."""
        return describe.text(*self._facts(here, why))

    def as_json(self, here: Site, why: str, after: Sequence[str] = ()) -> dict[str, Any]:
        """Return the same facts for programs, with the plan of each run and the scripts or commands for it."""
        facts, table = self._facts(here, why)
        head = table[0] if table else []
        return {
            "kind": "study" if self.points else "run",
            "folder": str(self.folder),
            "facts": facts,
            "points": [dict(zip(head, row)) for row in table[1:]],
            "runs": [{"path": str(run.path), "plan": without_secrets(plan.to_json())} for run, plan in self.runs],
            "scripts": self._scripts(after),
        }

    def _facts(self, here: Site, why: str) -> tuple[dict[str, str], list[list[str]]]:
        asked, code, within = self.order.asked, self.sources, self.order.allocation
        if self.points:
            study_of = (self.points, self.plans, self.jobs, asked, code, here, why, self.folder, within)
            facts, table = describe.study_facts(*study_of)
        else:
            facts = describe.run_facts(self.plans[0], asked, code, here, why, RunDir(self.folder), within)
            table = []
        if passed_over := ", ".join(name.replace("_", "-") for name in self.order.passed_over):
            facts["passed over"] = f"{passed_over}: only a new job could have that (--new-job)"
        return facts, table

    def check(self) -> None:
        """Refuse what the scheduler cannot run, and more code than may be copied."""
        if self.order.asked.snapshot and self.sources.copied:
            refuse_too_large(self.sources.trees, self.order.asked.snapshot_limit)
        if staged := self.plans[0].staged:
            from launch.record import packed

            packed.refuse_foreign(staged)
        for planned in {planned.nodes: planned for planned in self.jobs}.values():
            scheduler(planned.backend).check(planned)
        if self.order.asked.detach and scheduler(self.plans[0].backend).remote:
            check_queue_limits(
                self.jobs, "leave out --detach, so that we stay and submit as many at a time; or ask for fewer"
            )

    def preview(self, after: Sequence[str] = ()) -> str:
        """Return the text of what would be submitted or started, once the jobs of other stages have ended."""
        scripts = self._scripts(after)
        return "\n" + "\n\n".join(scripts) if scripts else ""

    def _scripts(self, after: Sequence[str]) -> list[str]:
        made = jobs.make(self.folder, self.runs, self.order.asked.throttle)
        scripts = [scheduler(job.backend).script(dataclasses.replace(job, after=tuple(after))) for job in made]
        return [script for script in scripts if script]

    def write(self, folder: Path) -> None:
        """Write the runs and their code into an empty folder; pack the environment if it is staged."""
        if staged := self.plans[0].staged:
            from launch.record import packed

            packed.pack(staged)
        if self.points:
            from launch.submit.study import folders  # imported late, here and below: a dry run does not need it
            from launch.submit.study.asked import record

            request = record(self.order.asked, self.order.target, self.order.axes, self.plans[0])
            folders.write(folder, self.order.asked, self.points, self.plans, self.sources, request)
        else:
            from launch.record.code import snapshot

            asked = self.order.asked
            kept = snapshot.write(folder, snapshot.FIRST, self.sources, asked.snapshot, asked.snapshot_limit)
            commit = kept.get("commit")
            publish(RunDir(folder).run_json, as_text(self.plans[0].to_json() | {"commit": commit}), mode=0o600)

    def create(self) -> None:
        """Make the folder, completely or not at all."""
        from launch.submit.create import whole

        with whole(self.folder, "study" if self.points else "run") as draft:
            self.write(draft)

    def run(self, how: str, hold: Hold) -> int:
        """Begin, and unless ``how`` is "detach" stay to the end; return the exit status."""
        from launch.submit import running

        return running.run(self.folder, self.runs, how, self.order.asked.throttle, hold)


def check_queue_limits(plans: Sequence[Plan], instead: str) -> None:
    """Refuse jobs that would all have to be in the queue at the same time.

    Raises
    ------
    Refusal
        If there are more for a partition than the site allows; the message ends with what to do instead.
    """
    for partition in {plan.partition: None for plan in plans}:
        those = [plan for plan in plans if plan.partition == partition]
        most = those[0].max_jobs
        if most and len(those) > most:
            raise Refusal(
                f"{len(those)} runs are more than the {most} jobs that {those[0].site} lets you have in the queue of "
                f"{partition}: {instead}"
            )


def plan(order: Order, here: Site, machine: Machine, now: datetime.datetime) -> Planned:
    """Work out the plans of an order.

    Raises
    ------
    Refusal
        If one is impossible.
    """
    within = order.allocation
    if within is None:
        return _plan(order, here, machine, now)
    try:
        made = _plan(order, within.site(here), machine, now)
    except Refusal as refusal:
        # A new job may have more than this allocation.
        raise Refusal(f"{refusal}, or give --new-job" if f"job {within.id}" in str(refusal) else str(refusal)) from None
    within.refuse(made.plans)
    return dataclasses.replace(made, plans=[dataclasses.replace(plan, site=here.name) for plan in made.plans])


def _plan(order: Order, here: Site, machine: Machine, now: datetime.datetime) -> Planned:
    asked = order.asked
    if asked.repeats != 1 or order.axes.vary:
        points = planning.points(order.axes, asked.repeats, mixed=bool(getattr(order.target.config, "until", "")))
        plans = planning.plans(asked, order.target, points, here, machine, now)
        default = default_name(f"{order.target.short_name}-study", now)
        name = default if asked.name is None else refuse_bad_name(asked.name)
        packing.refuse_contradictions(asked, plans, study=True, watched=not asked.detach and not order.stage)
        largest = max(plans, key=lambda plan: plan.size)
        at_once = runs_at_once([largest], min(len(plans), asked.throttle or 1), machine.gpus, machine.cores)
        refuse_too_many(largest.size, largest.backend, machine, at_once)
        made = Planned(order=order, folder=(asked.runs / name).absolute(), plans=plans, points=points)
        for job in made.jobs:
            refuse_beyond_limits(here, job.partition, job.nodes, job.time_s, job.spare_nodes)
        return made
    nodes = int(order.axes.combinations()[0]["nodes"])
    planning.refuse_mixed([order.target])
    planned = planning.planned(asked, nodes, here, order.target, machine, now)
    packing.refuse_contradictions(asked, [planned], study=False, watched=True)
    return Planned(order=order, folder=(asked.runs / planned.name).absolute(), plans=[planned])
