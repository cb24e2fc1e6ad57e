"""Restores runs of a study whose folders are gone: plans them as before and puts them back, to be run again."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from launch.plan.plan import Plan
from launch.record.rundir import RunDir
from launch.record.study import StudyIndex, read_index
from launch.submit.create import whole
from launch.submit.study import asked, folders


def missing(folder: Path, index: StudyIndex) -> list[str]:
    """Return the runs that a study's index names, but of which nothing is left."""
    return [entry["run"] for entry in index["runs"] if RunDir(folder / entry["run"]).is_missing]


def put_back(folder: Path, only: Sequence[str] = ()) -> list[str]:
    """Put back all or some of the missing runs of a study, as they were before their first attempt; return their names.

    Raises
    ------
    Refusal
        If the runs cannot be planned again.
    """
    index = read_index(folder)
    names = [name for name in missing(folder, index) if not only or name in only] if index else []
    if index is None or not names:
        return []
    request = asked.of(folder, index)
    planned = asked.plans(folder, index, asked.axes_of(request), request["repeats"])
    keys = {name: key for key, name in asked.keys_of(index).items()}
    write(folder, [(name, planned[keys[name]][1]) for name in names])
    return names


def write(folder: Path, runs: Sequence[tuple[str, Plan]]) -> None:
    """Make the folders of runs in the folder of their study, each completely or not at all."""
    for name, plan in runs:
        if (folder / name).is_dir():
            (folder / name).rmdir()  # an empty one
        job_name = name if plan.job_name == plan.name else plan.job_name
        with whole(folder / name, "run") as draft:
            folders.write_run(RunDir(draft), dataclasses.replace(plan, name=name, job_name=job_name))
