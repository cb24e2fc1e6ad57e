"""The stages of a workflow: their order, and the index that makes a folder a workflow."""

import graphlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from launch.errors import Refusal, nearest
from launch.record.files import read_object
from launch.record.writing import publish_json
from launch.submit.study.folders import runs_in

INDEX = "workflow.json"
"""The file that makes a folder a workflow: it holds the stages, in order."""


class _Entry(TypedDict):
    stage: str
    after: list[str]


class _Index(TypedDict):
    stages: list[_Entry]


class Stage(NamedTuple):
    """A run or a study in a workflow."""

    name: str
    after: tuple[str, ...]  # stages that must be done before
    folder: Path


def in_order(after: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the stages, ordered so that each follows those that it depends on.

    Parameters
    ----------
    after : dict of str to sequence of str
        The stages that must be done before each stage, by its name.

    Raises
    ------
    Refusal
        If a stage comes after something that is not a stage, or after itself.
    """
    for name, before in after.items():
        if unknown := next((stage for stage in before if stage not in after), None):
            raise Refusal(f"stage {name} comes after {unknown!r}, which is not a stage: {nearest(unknown, after)}")
    try:
        return list(graphlib.TopologicalSorter(after).static_order())
    except graphlib.CycleError as error:
        circle = " after ".join(reversed(error.args[1]))
        raise Refusal(f"stages wait for each other: {circle}: leave out one of these") from None


def all_before(after: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """Return all stages that must be done before a stage, directly or indirectly."""
    return {stage for before in after[name] for stage in {before} | all_before(after, before)}


def is_workflow(folder: Path) -> bool:
    """Return whether a folder is that of a workflow."""
    return os.path.isfile(folder / INDEX)


def write(folder: Path, stages: Sequence[Stage]) -> None:
    """Make a folder a workflow."""
    publish_json(folder / INDEX, {"stages": [{"stage": stage.name, "after": stage.after} for stage in stages]})


def read(folder: Path) -> list[Stage]:
    """Return the stages of a workflow, in order; empty if the folder is not a workflow."""
    index = read_object(folder / INDEX, _Index) or {"stages": []}
    in_order({entry["stage"]: entry["after"] for entry in index["stages"]})
    return [Stage(entry["stage"], tuple(entry["after"]), folder / entry["stage"]) for entry in index["stages"]]


def ended_before(run: Path) -> str:
    """Return the stage that kept a run of a workflow from starting, and how that stage ended; empty if there is
    none."""
    for stage in (run, run.parent):  # either the run or its study is a stage
        stages = {each.name: each for each in read(stage.parent)}
        if stage.name in stages:
            before = all_before({name: each.after for name, each in stages.items()}, stage.name)
            for name in (name for name in stages if name in before):
                for one in runs_in(stages[name].folder):
                    if (ended := one.events("ended")) and one.result() is None:
                        return f"stage {name}: {ended[-1].get('outcome')}"
    return ""
