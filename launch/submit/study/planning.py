"""The points of a study, the plans of their runs, and what the runs cost at most."""

import dataclasses
import datetime
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from launch.errors import Refusal
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.resolve import resolve
from launch.plan.shape import Machine
from launch.plan.site import Site
from launch.plan.sweep import Axes, refuse_too_large
from launch.plan.target.workload import Target
from launch.submit.study.naming import names


class Point(NamedTuple):
    """One run of a study.

    Parameters
    ----------
    nodes : int
        Number of nodes of the run.
    values : tuple of (str, str)
        Each axis and its value, in the order of the axes.
    repeat : int
        Number of the repeat, counted from 1.
    name : str
        Name of the run directory.
    """

    nodes: int
    values: tuple[tuple[str, str], ...]
    repeat: int
    name: str


def points(axes: Axes, repeats: int, mixed: bool = False) -> list[Point]:
    """Return all runs, in the order in which it is best to make them one after the other.

    All points are made once before any is repeated, so that drifts of the machine are spread over all points. If runs
    compare themselves with those before them, the points are ``mixed``, in an order that is always the same: along an
    axis each might be better than all before it.

    Raises
    ------
    Refusal
        If there are too many runs.
    """
    combinations = axes.combinations()
    refuse_too_large(len(combinations), repeats)
    labels = names(combinations)
    coordinates = [(int(each.pop("nodes")), tuple(each.items())) for each in combinations]
    labelled = list(zip(coordinates, labels))
    if mixed:
        from random import Random  # imported late, as it takes as long as everything else here

        Random(0).shuffle(labelled)
    return [
        Point(nodes, values, repeat, f"{label}-r{repeat}")
        for repeat in range(1, repeats + 1)
        for (nodes, values), label in labelled
    ]


def planned(request: Request, nodes: int, site: Site, target: Target, machine: Machine, now: datetime.datetime) -> Plan:
    """Return the plan of a run, with the environment to stage; see `launch.plan.resolve.resolve`."""
    plan = resolve(request, nodes, site, target, machine, now)
    if not request.stage_env:
        return plan
    from launch.record import packed

    return dataclasses.replace(plan, staged=packed.plan(request.runs))


def plans(
    asked: Request, target: Target, found: Sequence[Point], site: Site, machine: Machine, now: datetime.datetime
) -> list[Plan]:
    """Return the plan of each point.

    Raises
    ------
    Refusal
        If a shape is impossible, the workload does not know an axis, its runs would differ in what is the same within a
        study, or its batch cannot be divided for strong scaling, in which all runs have the global batch and learning
        rate of the fewest ranks.
    """

    def ranks(nodes: int) -> int:
        return resolve(asked, nodes, site, target, machine, now).size

    pairs = []
    nodes = {point.nodes for point in found} if target.kind != "workload" else set()
    shapes = {each: {"nodes": str(each), "ranks": str(ranks(each))} for each in nodes} if len(nodes) > 1 else {}
    repeated = found[-1].repeat > 1
    for point in found:
        known = shapes.get(point.nodes, {}) | ({"repeat": str(point.repeat)} if repeated else {})
        values = dict(point.values)
        request = dataclasses.replace(asked, seed=int(values.get("seed", asked.seed)), name=point.name)
        pairs.append((request, target.at(values, known)))
    refuse_mixed([what for _, what in pairs])
    made = [planned(request, point.nodes, site, what, machine, now) for point, (request, what) in zip(found, pairs)]
    if asked.scaling == "weak" or len({plan.nodes for plan in made}) == 1:
        return made
    if target.kind != "workload":
        return made  # the program divides its work itself, or reports how much it did
    if not hasattr(target.config, "strong"):
        raise Refusal(
            f"{target.name} does not say how its batch is divided: give its Config a method strong, or use --scaling "
            "weak"
        )
    base = min(plan.size for plan in made)
    held = [what._replace(config=what.config.strong(base, plan.size)) for (_, what), plan in zip(pairs, made)]
    return [
        planned(request, point.nodes, site, what, machine, now) for point, (request, _), what in zip(found, pairs, held)
    ]


def refuse_mixed(targets: Sequence[Target]) -> None:
    """Ask the workload whether its options may be those of the runs of one study, or of a single run.

    Raises
    ------
    Refusal
        If they may not.
    """
    if hasattr(targets[0].config, "refuse_mixed"):
        targets[0].config.refuse_mixed([target.config for target in targets])


def cost(plans: Iterable[Plan]) -> tuple[float | None, str]:
    """Return what a study costs at most, and the unit: GPU-hours, or node-hours without GPUs."""
    plans = list(plans)
    if not all(plan.time_s for plan in plans):
        return None, ""
    gpus = any(plan.gpus_per_node for plan in plans)
    hours = sum(
        plan.allocated_nodes * (plan.gpus_per_node if gpus else 1) * (plan.time_s or 0) / 3600 for plan in plans
    )
    return hours, "GPU-hours" if gpus else "node-hours"


def refuse_beyond_budget(plans: Sequence[Plan], budget: float | None) -> None:
    """Refuse a study that would cost more than the budget.

    Raises
    ------
    Refusal
        If it would, or if the cost is not known because no walltime is given.
    """
    if budget is None:
        return
    hours, unit = cost(plans)
    if hours is None:
        raise Refusal(f"--budget {budget:g} needs a walltime to count with: give --time")
    if hours > budget:
        raise Refusal(
            f"{f'{len(plans)} runs take' if len(plans) > 1 else 'it takes'} up to {hours:.4g} {unit}, more than "
            f"--budget {budget:g}: ask for less time, nodes or repeats"
        )
