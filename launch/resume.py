"""python -m launch resume RUN [--detach | --wait]: go on with a run where its last checkpoint left it."""

import importlib
from dataclasses import dataclass
from pathlib import Path

from launch import options, study
from launch.errors import Refusal
from launch.plan import Plan
from launch.rundir import STATUS, RunDir, read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to go on."""

    wait: bool = False  # wait for the end, without progress
    detach: bool = False  # return at once


def main(argv: list[str]) -> int:
    """Start another attempt of a run; return the exit status, as for a new one.

    Raises
    ------
    Refusal
        If there is no such run, it is finished, or it is running.
    """
    if not argv or argv[0].startswith("-"):
        raise Refusal("resume needs a run: python -m launch resume RUN")
    chosen = options.parse(Options, argv[1:], "resume")
    how = "detach" if chosen.detach else "wait" if chosen.wait else "follow"
    if (Path(argv[0]) / study.INDEX).is_file():
        return _study(Path(argv[0]).absolute(), how)
    run = RunDir.open(Path(argv[0]))
    if run.result() is not None:
        raise Refusal(f"{run.path} is finished: there is nothing to go on with")
    plan = Plan.from_json(read_json(run.run_json))
    backend = importlib.import_module(f"launch.backends.{plan.backend}")
    if backend.is_running(run):
        raise Refusal(f"{run.path} is running: wait for its end, or end it first")
    return STATUS[backend.start(run, plan, how)]


def _study(folder: Path, how: str) -> int:
    """Make the runs of a study that have no result; those that have one are left alone."""
    runs = study.unfinished(folder)
    if not runs:
        raise Refusal(f"all runs of {folder} are finished: there is nothing to go on with")
    backend = importlib.import_module(f"launch.backends.{runs[0][1].backend}")
    idle = [(run, plan) for run, plan in runs if not backend.is_running(run)]
    if not idle:
        raise Refusal(f"the unfinished runs of {folder} are running: wait for their end, or end them first")
    print(f"{len(idle)} of the runs of {folder} are to be made", flush=True)
    return study.make(folder, idle, how, read_json(folder / study.INDEX)["throttle"])
