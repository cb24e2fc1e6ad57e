"""The folder of a study: its index, and the folders of its runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.record.code.sources import Sources
from launch.record.rundir import RunDir
from launch.record.study import INDEX, holder_of, is_study, read_index
from launch.record.writing import as_text
from launch.submit.study.planning import Point


def write(
    folder: Path,
    asked: Request,
    coordinates: Sequence[Point],
    plans: Sequence[Plan],
    code: Sources | None = None,
    request: Mapping[str, Any] | None = None,
) -> None:
    """Write the index of a study, its runs and, if known, the code into an empty folder.

    The first attempt makes everything else that a run directory needs. ``request`` is what
    `launch.submit.study.asked.record` returns.
    """
    index: dict[str, Any] = {
        "workload": plans[0].workload,
        "scaling": asked.scaling,
        "throttle": asked.throttle,
        "asked": request,
        "runs": [entry(point, point.name) for point in coordinates],
    }
    for point, plan in zip(coordinates, plans):
        run = RunDir(folder / point.name)
        run.path.mkdir(mode=0o700)
        write_run(run, plan)
    if code is not None:
        from launch.record.code import snapshot

        snapshot.write(folder, snapshot.FIRST, code, asked.snapshot, asked.snapshot_limit)
    (folder / INDEX).touch(mode=0o600)  # as it holds the words of the command line
    (folder / INDEX).write_text(as_text(index))


def entry(point: Point, name: str) -> dict[str, Any]:
    """Return the entry of a run in the index."""
    return {"run": name, "nodes": point.nodes, "values": dict(point.values), "repeat": point.repeat}


def write_run(run: RunDir, plan: Plan) -> None:
    """Write the plan of a run of a study into its folder."""
    run.run_json.touch(mode=0o600)  # as it holds the words of the command line
    run.run_json.write_text(as_text(plan.to_json()))


def runs_in(folder: Path) -> list[RunDir]:
    """Return the runs of a study in the order of its index, without those that are missing or have lost their run.json.
    If the folder is a run, that run.

    Raises
    ------
    Refusal
        If the folder is neither.
    """
    if index := read_index(folder):
        runs = [RunDir(folder / entry["run"]) for entry in index["runs"]]
        return [run for run in runs if run.run_json.exists()]
    return [RunDir.open(folder)]


def unfinished(folder: Path) -> list[tuple[RunDir, Plan]]:
    """Return the runs in a folder that have no result yet."""
    return [(run, run.plan()) for run in runs_in(folder) if run.result() is None]


def holder(folder: Path) -> Path:
    """Return the folder that holds the jobs of a run (its study's folder, or its own) or of a study (its own)."""
    return folder if is_study(folder) else holder_of(RunDir(folder))
