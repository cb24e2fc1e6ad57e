"""A study: runs that differ along axes - nodes, options, seeds - and their repeats, in one folder."""

import dataclasses
import datetime
import importlib
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.plan import Plan, resolve
from launch.request import Request, StudyRequest
from launch.rundir import STATUS, RunDir, publish_json, read_json
from launch.shape import Machine
from launch.site import Site
from launch.workload import Target, find

INDEX = "study.json"
"""Which run is which point: the file that makes a folder a study."""


@dataclass(frozen=True, slots=True)
class Point:
    """One run of a study.

    Parameters
    ----------
    nodes : int
        Of the run.
    values : tuple of (str, str)
        Axis and value, in the order of the axes.
    repeat : int
        Counted from 1.
    """

    nodes: int
    values: tuple[tuple[str, str], ...]
    repeat: int

    @property
    def name(self) -> str:
        """Name of its run directory."""
        values = "".join(f"-{axis}{re.sub(r'[^A-Za-z0-9.+-]', '_', value)}" for axis, value in self.values)
        return f"n{self.nodes}{values}-r{self.repeat}"


def is_study(asked: StudyRequest) -> bool:
    """Whether more than one run is asked for."""
    return len(asked.nodes) > 1 or asked.repeats != 1 or bool(asked.array)


def points(asked: StudyRequest) -> list[Point]:
    """All runs, in the order in which they are best made one after the other.

    The repeats come last in turn, so that what drifts in the machine meanwhile is spread over all points.

    Raises
    ------
    Refusal
        If an axis is not understood, or a value stands twice.
    """
    if asked.repeats < 1:
        raise Refusal(f"--repeats {asked.repeats}: give 1 or more")
    axes = [axis(text) for text in asked.array]
    named = [name for name, _ in axes]
    for name, values in [("nodes", asked.nodes), *axes]:
        if len(set(values)) < len(values):
            raise Refusal(
                f"a value of {name} stands twice in {','.join(map(str, values))}: give each once; --repeats runs all again"
            )
    if len(set(named)) < len(named):
        raise Refusal(f"an axis stands twice in --array {' --array '.join(asked.array)}: give all its values at once")
    product = itertools.product(asked.nodes, *([(name, value) for value in values] for name, values in axes))
    coordinates = [(nodes, tuple(values)) for nodes, *values in product]
    found = [Point(nodes, values, repeat) for repeat in range(1, asked.repeats + 1) for nodes, values in coordinates]
    if len({point.name for point in found}) < len(found):
        raise Refusal(
            f"two values of an axis give the same name of a run in --array {' --array '.join(asked.array)}: make them differ in letters or digits"
        )
    return found


def axis(text: str) -> tuple[str, list[str]]:
    """``lr=1e-3,1e-2`` or ``seed=0..4`` -> name and values."""
    name, equals, listed = text.partition("=")
    name = name.lstrip("-").strip()
    if span := re.fullmatch(r"(-?\d+)\.\.(-?\d+)", listed):
        low, high = map(int, span.groups())
        values = [str(number) for number in range(low, high + 1)]
    else:
        values = [value.strip() for value in listed.split(",")]
    if not (name and equals) or not all(values) or not values:
        raise Refusal(
            f"--array {text!r} is no axis: give NAME=VALUE,VALUE,... or NAME=FIRST..LAST, with an option of the workload, or seed"
        )
    return name, values


def plans(
    asked: StudyRequest, target: Target, found: Sequence[Point], site: Site, machine: Machine, now: datetime.datetime
) -> list[Plan]:
    """The plan of each point.

    Raises
    ------
    Refusal
        If a shape is impossible, the workload does not know an axis, or its batch cannot be divided as strong scaling
        wants: global batch and learning rate are then those of the fewest ranks, in all runs.
    """
    kept = {field.name: getattr(asked, field.name) for field in dataclasses.fields(Request)}
    pairs = []
    for point in found:
        values = dict(point.values)
        seed = values.pop("seed", str(asked.seed))
        if not re.fullmatch(r"-?\d+", seed):
            raise Refusal(f"--array seed={seed}: a seed is a whole number")
        request = Request(**kept | {"nodes": point.nodes, "seed": int(seed), "name": point.name})
        words = [f"--{name}={value}" for name, value in values.items()]
        pairs.append((request, find(target.name, [*target.arguments, *words])))
    made = [resolve(request, site, what, machine, now) for request, what in pairs]
    if asked.scaling == "weak" or len(asked.nodes) == 1:
        return made
    if not hasattr(target.config, "strong"):
        raise Refusal(
            f"{target.name} does not say how its batch is divided: --scaling strong is for workloads; use weak"
        )
    base = min(plan.size for plan in made)
    held = [
        dataclasses.replace(what, config=what.config.strong(base, plan.size)) for (_, what), plan in zip(pairs, made)
    ]
    return [resolve(request, site, what, machine, now) for (request, _), what in zip(pairs, held)]


def cost(plans: Iterable[Plan]) -> tuple[float | None, str]:
    """What a study takes at most, and in which unit: GPU-hours, or node-hours where there are no GPUs."""
    plans = list(plans)
    if any(plan.time_s is None for plan in plans):
        return None, ""
    gpus = any(plan.gpus_per_node for plan in plans)
    hours = sum(plan.nodes * (plan.gpus_per_node if gpus else 1) * plan.time_s / 3600 for plan in plans)
    return hours, "GPU-hours" if gpus else "node-hours"


def refuse_beyond_budget(plans: Sequence[Plan], budget: float | None) -> None:
    """Refuse a study that would take more than it may.

    Raises
    ------
    Refusal
        If it does, or if nobody can say because no walltime is given.
    """
    if budget is None:
        return
    hours, unit = cost(plans)
    if hours is None:
        raise Refusal(f"--budget {budget:g} needs a walltime to count with: give --time")
    if hours > budget:
        raise Refusal(
            f"{len(plans)} runs take up to {hours:.4g} {unit}, more than --budget {budget:g}: ask for less time, nodes or repeats"
        )


def create(folder: Path, asked: StudyRequest, found: Sequence[Point], plans: Sequence[Plan]) -> list[RunDir]:
    """Make the folder of a study, its index and its run directories.

    Raises
    ------
    Refusal
        If the folder exists or cannot be made.
    """
    try:
        folder.mkdir(parents=True, mode=0o700)
    except FileExistsError:
        raise Refusal(
            f"the study {folder} exists already: give another --name, or go on with it: python -m launch resume {folder}"
        ) from None
    except OSError as error:
        raise Refusal(
            f"cannot make the study {folder} ({error.strerror}): give a folder that can be written to with --runs"
        ) from None
    runs = [RunDir(folder / point.name) for point in found]
    for run in runs:
        run.create()
    for run, plan in zip(runs, plans):
        publish_json(run.run_json, plan.to_json())
    index: dict[str, Any] = {
        "workload": plans[0].workload,
        "scaling": asked.scaling,
        "throttle": asked.throttle,
        "runs": [
            {"run": point.name, "nodes": point.nodes, "values": dict(point.values), "repeat": point.repeat}
            for point in found
        ],
    }
    publish_json(folder / INDEX, index)
    return runs


def unfinished(folder: Path) -> list[tuple[RunDir, Plan]]:
    """The runs of a study that have no result yet, in the order of the index."""
    runs = [RunDir.open(folder / entry["run"]) for entry in read_json(folder / INDEX)["runs"]]
    return [(run, Plan.from_json(read_json(run.run_json))) for run in runs if run.result() is None]


def preview(folder: Path, found: Sequence[Point], plans: Sequence[Plan], throttle: int | None) -> str:
    """The very scripts that would be submitted; of a local study its plan says all."""
    if plans[0].backend == "local":
        return ""
    from launch.backends import slurm_array

    return slurm_array.preview(folder, [(RunDir(folder / p.name), plan) for p, plan in zip(found, plans)], throttle)


def make(folder: Path, runs: Sequence[tuple[RunDir, Plan]], how: str, throttle: int | None) -> int:
    """Make the runs of a study by their backend; say what came of them; return the exit status."""
    # Slurm has a way of its own for many jobs of one shape.
    module = {"local": "launch.backends.local", "slurm": "launch.backends.slurm_array"}[runs[0][1].backend]
    again = f"go on with it: python -m launch resume {folder}"
    try:
        outcomes = importlib.import_module(module).start_many(folder, runs, how, throttle)
    except KeyboardInterrupt:
        print(again, flush=True)
        raise
    bad = {name: outcome for name, outcome in outcomes.items() if outcome != "done"}
    if outcomes:
        print(f"\n{len(outcomes) - len(bad)} of {len(outcomes)} runs are done: {folder}", flush=True)
    for name, outcome in bad.items():
        print(f"  {name}: {outcome}", flush=True)
    if bad:
        print(again, flush=True)
    elif outcomes and len({plan.nodes for _, plan in runs}) > 1:
        print(f"its scaling table: python -m profiling report {folder}", flush=True)
    return max((STATUS[outcome] for outcome in outcomes.values()), key=[0, 4, 1].index, default=0)
