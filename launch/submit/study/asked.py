"""The request for a study, kept in its index, so that missing runs can be planned again and further runs planned
alike."""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.plan import inherited, options, site, typed
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.shape import this_machine
from launch.plan.sweep import Axes
from launch.plan.target import workload
from launch.plan.target.workload import Target
from launch.record.code import snapshot
from launch.record.files import Damaged, Unreadable
from launch.record.rundir import RunDir
from launch.record.study import INDEX, Asked, StudyIndex
from launch.submit.study import planning

Key = tuple[int, tuple[tuple[str, str], ...], int]
"""Nodes, values of the axes and repeat: identifies a run of a study."""

_OF_THE_COMMAND = {"name", "runs", "dry_run", "json", "follow", "wait", "detach", "budget", "inherit", "new_job"}
_OF_THE_AXES = {"nodes", "sweep", "repeats"}
_OF_A_RUN = {
    "name", "job_name", "kind", "workload", "arguments", "entry", "describe", "seed", "nodes", "ranks_per_node",
    "gpus_per_node", "cpus_per_task", "cwd",
}  # fmt: skip
_AGAIN = ("arguments", "entry", "ranks_per_node", "gpus_per_node", "cpus_per_task")
"""The fields that planning a run again must reproduce; the site file and the workload determine them."""


def record(asked: Request, target: Target, axes: Axes, first: Plan) -> Asked:
    """Return what is kept of the request for a study. ``first`` is the plan of its first run."""
    request, _ = inherited.take(asked)
    default = Request()
    left_out = {name: getattr(default, name) for name in _OF_THE_COMMAND | _OF_THE_AXES}
    left_out |= {"site": first.site_file or first.site, "backend": first.backend}
    if first.backend == "allocation":  # it determines the shape too, and will be another one next time
        shape = {"ranks_per_node": first.ranks_per_node, "cpus_per_task": first.cpus_per_task}
        gpus = {"gpus_per_node": first.gpus_per_node} if first.gpus_per_node else {}
        left_out |= {"backend": "slurm", **shape, **gpus}
    request = dataclasses.replace(request, **left_out)
    shared = {name: value for name, value in first.to_json().items() if name not in _OF_A_RUN - {"cwd"}}

    def lists(tables: Sequence[Mapping[str, Sequence[str]]]) -> list[dict[str, list[str]]]:
        return [{name: list(values) for name, values in table.items()} for table in tables]

    return Asked(
        options=options.arguments(request),
        kind=target.kind,
        workload=target.name,
        arguments=list(target.arguments),
        steps=lists(axes.steps),
        only=lists(axes.only),
        exclude=lists(axes.exclude),
        repeats=asked.repeats,
        plan=shared,
    )


def of(folder: Path, index: StudyIndex) -> Asked:
    """Return the request for a study, as its index keeps it.

    Raises
    ------
    Refusal
        If its index does not hold it.
    """
    if (asked := index.get("asked")) is None:
        raise Refusal(
            f"{folder / INDEX} does not say how its runs were asked for, as it is of an older version: make a study "
            "of what is lacking, under another --name"
        )
    return asked


def request_of(folder: Path, asked: Asked) -> Request:
    """Return the request for a study, wherever its folder is now."""
    request = options.parse(Request, asked["options"])
    return dataclasses.replace(request, name=folder.name, runs=folder.parent, repeats=asked["repeats"])


def axes_of(asked: Asked) -> Axes:
    """Return the axes of a study."""

    def tuples(tables: Sequence[Mapping[str, Sequence[str]]]) -> tuple[dict[str, tuple[str, ...]], ...]:
        return tuple({name: tuple(values) for name, values in table.items()} for table in tables)

    return Axes(steps=tuples(asked["steps"]), only=tuples(asked["only"]), exclude=tuples(asked["exclude"]))


def plans(folder: Path, index: StudyIndex, axes: Axes, repeats: int) -> dict[Key, tuple[planning.Point, Plan]]:
    """Return the plans of all runs of a study with the given axes, made like those of its existing runs.

    Parameters
    ----------
    folder : Path
        Folder of the study.
    index : StudyIndex
        Its index.
    axes : Axes
        Its own axes, or these with further values.
    repeats : int
        Number of runs of each point.

    Raises
    ------
    Refusal
        If the index does not say what was asked for, a plan is impossible, or existing runs would have different plans
        today.
    """
    asked = of(folder, index)
    shared = _shared(folder, asked)
    request = request_of(folder, asked)
    points = planning.points(axes, repeats)
    try:
        with contextlib.chdir(shared["cwd"]):
            here = site.load(request.site or "")
            target = _target(folder, asked, request.container is not None)
            made = planning.plans(request, target, points, here, this_machine(), datetime.datetime.now())
    except FileNotFoundError as error:
        raise Refusal(
            f"{error.filename}, from which {folder} was launched, is gone: put it back, and try again"
        ) from None
    found = {key_of(point): (point, dataclasses.replace(plan, **shared)) for point, plan in zip(points, made)}
    if stray := next((name for key, name in keys_of(index).items() if key not in found), None):
        raise Damaged(folder / INDEX, f"it has the run {stray}, which is not among those that were asked for")
    _refuse_others(folder, index, found)
    return found


def key_of(point: planning.Point) -> Key:
    """Return the key of a point in its study."""
    return point.nodes, point.values, point.repeat


def keys_of(index: StudyIndex) -> dict[Key, str]:
    """Return the keys of a study's runs, with the names of the runs."""
    return {(each["nodes"], tuple(each["values"].items()), each["repeat"]): each["run"] for each in index["runs"]}


def _shared(folder: Path, asked: Asked) -> dict[str, Any]:
    """Return the fields of the plan that all runs share."""
    known = typed.hints(Plan)
    wrong = typed.mismatch(asked["plan"], known, "asked.plan")
    if wrong or "\0" in asked["plan"].get("cwd", "\0"):
        raise Damaged(folder / INDEX, wrong or "asked.plan does not say in which folder its runs work, cwd")
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in asked["plan"].items()
        if name in known
    }


def _target(folder: Path, asked: Asked, contained: bool) -> Target:
    """Return what the study runs, as it was found at that time: the same name may mean something else today.

    If a script is gone from its place, the study's copy of it is run.
    """
    if asked["kind"] == "script" and not os.path.lexists(asked["workload"]) and snapshot.has(folder, asked["workload"]):
        return Target("script", asked["workload"], tuple(asked["arguments"]))
    before = {"program": ["--"], "module": ["-m"]}.get(asked["kind"], [])
    name, *words = [*before, asked["workload"], *asked["arguments"]]
    return workload.find(name, words, contained=contained)


def _refuse_others(folder: Path, index: StudyIndex, found: Mapping[Key, tuple[planning.Point, Plan]]) -> None:
    """Make sure that an existing run would have the same plan today. The run is one with the fewest ranks, on which
    others depend."""
    there = [(key, name) for key, name in keys_of(index).items() if (folder / name / "run.json").exists()]
    for key, name in sorted(there)[:1]:
        with contextlib.suppress(Unreadable):
            before, (_, now) = RunDir(folder / name).plan(), found[key]
            for field in _AGAIN:
                if (old := getattr(before, field)) != (new := getattr(now, field)):
                    raise Refusal(
                        f"the runs of {folder} would not be as those that it has: {field} of {name} was {_shown(old)} "
                        f"and would be {_shown(new)} today; undo what has changed (the site file, the workload; with "
                        "strong scaling, fewer ranks), or make a new study"
                    )


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) or "nothing" if isinstance(value, tuple) else str(value)
