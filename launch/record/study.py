"""The folder of a study: its index, which says which run is which point."""

import os
from pathlib import Path
from typing import Any, Required, TypedDict

from launch.plan.figures import Scaling
from launch.record.contents import Count
from launch.record.files import Damaged, Unreadable, read_object
from launch.record.rundir import RunDir


class Entry(TypedDict):
    """A run of a study, in its index."""

    run: str
    nodes: Count
    values: dict[str, str]
    repeat: Count


class Asked(TypedDict):
    """The request for a study, from which missing and further runs are planned like the others."""

    options: list[str]  # options of the job, as words of a command line
    kind: str
    workload: str
    arguments: list[str]
    steps: list[dict[str, list[str]]]  # these three are as in `launch.plan.sweep.Axes`
    only: list[dict[str, list[str]]]
    exclude: list[dict[str, list[str]]]
    repeats: Count
    plan: dict[str, Any]  # the fields of the plan that all runs share


class StudyIndex(TypedDict, total=False):
    """The content of study.json."""

    workload: str
    scaling: Scaling
    throttle: Count
    asked: Asked  # absent in files of older versions
    runs: Required[list[Entry]]


INDEX = "study.json"
"""The file that makes a folder a study: says which run is which point."""

PREDICTIONS = "predictions.jsonl"
"""File in the folder of a study: a line for each prediction, in the form of ``predict --json``. It is only appended
to."""


def is_study(folder: Path) -> bool:
    """Return whether a folder is that of a study."""
    return os.path.isfile(folder / INDEX)


def holder_of(run: RunDir) -> Path:
    """Return the folder that holds the jobs and the code of a run: its study's, or its own."""
    return run.path.parent if is_study(run.path.parent) else run.path


def read_index(folder: Path) -> StudyIndex | None:
    """Return the index of a study, which says which run is which point; None if the folder is not a study."""
    index = read_object(folder / INDEX, StudyIndex)
    for name in (entry["run"] for entry in (index["runs"] if index else ())):
        if name in ("", ".", "..") or set(name) & {"/", "\0"}:
            raise Damaged(folder / INDEX, f"a run cannot have the name {name!r}")
    return index


def entries_of(folder: Path) -> list[Entry]:
    """Return the runs in the index of a study; none if the folder is not a study."""
    return (read_index(folder) or {"runs": []})["runs"]


def names_in(folder: Path) -> set[str]:
    """Return the runs in the index of a study; empty if the folder is not a study, or the index cannot be read."""
    try:
        return {entry["run"] for entry in entries_of(folder)}
    except Unreadable:
        return set()


def strangers(folder: Path) -> list[str]:
    """Return the runs in the folder of a study that are not part of it."""
    with os.scandir(folder) as entries:
        inner = [each.name for each in entries if each.is_dir(follow_symlinks=False) and each.name[0] != "."]
    known = names_in(folder)
    return sorted(name for name in inner if name not in known and os.path.lexists(folder / name / "run.json"))
