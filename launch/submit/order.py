"""An order: a run or a study, as it was asked for, then planned, then as a folder, then begun."""

import dataclasses
import datetime
import importlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.errors import SubmissionRefused
from launch.plan import packing
from launch.plan.plan import Plan, refuse_bad_name, resolve
from launch.plan.request import Request, StudyRequest
from launch.plan.shape import Machine, refuse_beyond_limits
from launch.plan.site import Site
from launch.plan.sweep import Axes
from launch.plan.workload import Target
from launch.record import code
from launch.record.files import publish_json
from launch.record.rundir import STATUS, RunDir
from launch.submit import describe, lock, study


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for.

    Parameters
    ----------
    asked : StudyRequest
        The job options.
    target : Target
        What is to be run.
    axes : Axes
        In what the runs differ.
    link : str
        Its name in a chain; empty outside of one.
    after : tuple of str
        Links of the chain that must be done before.
    """

    asked: StudyRequest
    target: Target
    axes: Axes
    link: str = ""
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """An order with the plans of its runs, and the folder that they will lie in; a run is itself that folder."""

    order: Order
    folder: Path
    plans: Sequence[Plan]
    points: Sequence[study.Point] = ()  # of a study, a plan each

    @property
    def runs(self) -> list[tuple[RunDir, Plan]]:
        """Each run and its plan."""
        names = [point.name for point in self.points] or ["."]
        return [(RunDir(self.folder / name), plan) for name, plan in zip(names, self.plans)]

    @property
    def jobs(self) -> Sequence[Plan]:
        """What is asked of the scheduler: a job for each run, or one allocation for them all."""
        return [packing.allocation(self.folder.name, self.plans)] if self.plans[0].pack else self.plans

    def described(self, here: Site, why: str) -> str:
        """The plan in words."""
        if self.points:
            scaling = self.order.asked.scaling
            return describe.study_plan(self.points, self.plans, self.jobs, scaling, here, why, self.folder)
        return describe.run_plan(self.plans[0], here, why, RunDir(self.folder))

    def check(self) -> None:
        """Refuse what the backend cannot run."""
        for planned in {planned.nodes: planned for planned in self.jobs}.values():
            _backend(planned).check(planned)
        if self.order.asked.detach and self.plans[0].backend == "slurm":
            from launch.backends.slurm_array import STAY, refuse_beyond_queue

            refuse_beyond_queue(self.jobs, STAY)

    def preview(self) -> str:
        """What would be submitted or started."""
        if self.points:
            return study.preview(self.folder, self.runs, self.order.asked.throttle)
        return _backend(self.plans[0]).preview(RunDir(self.folder), self.plans[0])

    def create(self) -> None:
        """Make the folder, and note in it what is to be run, and by which code."""
        if self.points:
            study.create(self.folder, self.order.asked, self.points, self.plans)
        else:
            run = RunDir(self.folder)
            run.create()
            commit = code.keep(run.patch, self.plans[0].cwd)
            publish_json(run.run_json, self.plans[0].to_json() | {"commit": commit})

    def start(self, how: str) -> int:
        """Begin, and unless ``how`` is "detach" stay to the end; return the exit status.

        Raises
        ------
        SubmissionRefused
            If Slurm refuses it; then nothing of it stays behind, unless a part has begun or may have been taken.
        """
        if self.points:
            try:
                with lock.alone(self.folder):
                    return study.make(self.folder, self.runs, how, self.order.asked.throttle)
            except SubmissionRefused as refusal:
                if not refusal.may_be_queued and not any(run.events_jsonl.exists() for run, _ in self.runs):
                    shutil.rmtree(self.folder)  # it would only be in the way of the next try
                raise
        return STATUS[_backend(self.plans[0]).start(RunDir(self.folder), self.plans[0], how)]


def plan(order: Order, here: Site, machine: Machine, now: datetime.datetime) -> Planned:
    """Work out the plans of an order.

    Raises
    ------
    Refusal
        If one is impossible.
    """
    asked = order.asked
    if asked.repeats != 1 or order.axes.vary:
        points = study.points(order.axes, asked.repeats)
        plans = study.plans(asked, order.target, points, here, machine, now)
        name = refuse_bad_name(asked.name) if asked.name else f"{order.target.short_name}-study-{now:%Y%m%d-%H%M%S}"
        packing.refuse_contradictions(asked, plans, study=True, watched=not asked.detach and not order.link)
        made = Planned(order=order, folder=(asked.runs / name).absolute(), plans=plans, points=points)
        for job in made.jobs:
            refuse_beyond_limits(here, job.partition, job.nodes, job.time_s)
        return made
    kept = {field.name: getattr(asked, field.name) for field in dataclasses.fields(Request)}
    request = Request(**kept | {"nodes": int(order.axes.combinations()[0]["nodes"])})
    planned = resolve(request, here, order.target, machine, now)
    packing.refuse_contradictions(asked, [planned], study=False, watched=True)
    return Planned(order=order, folder=(asked.runs / planned.name).absolute(), plans=[planned])


def _backend(planned: Plan):
    return importlib.import_module(f"launch.backends.{planned.backend}")
