"""Restores runs of a study whose folders are gone: plans them as before and puts them back, to be run again."""

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from launch.errors import Refusal, SubmissionRefused
from launch.plan.plan import Plan
from launch.record.rundir import RunDir
from launch.record.study import read_index
from launch.submit.create import whole
from launch.submit.study import asked, folders


@contextlib.contextmanager
def restored(runs: Sequence[RunDir]) -> Iterator[None]:
    """Put back those of some runs of studies that are missing, as they were before their first attempt. If the block is
    refused before a scheduler has them, they are missing again.

    Raises
    ------
    Refusal
        If the runs cannot be planned again.
    """
    gone = [run for run in runs if run.is_missing]
    for folder in dict.fromkeys(run.path.parent for run in gone):
        _put_back(folder, [run.path.name for run in gone if run.path.parent == folder])
    try:
        yield
    except Refusal as refusal:
        may_be_queued = isinstance(refusal, SubmissionRefused) and refusal.may_be_queued
        for run in gone if not may_be_queued else ():
            last = [event["event"] for event in run.events() if event["event"] in ("submitted", "cancelled")][-1:]
            if not run.events("started") and last != ["submitted"]:
                shutil.rmtree(run.path)
        raise


def _put_back(folder: Path, names: Sequence[str]) -> None:
    if (index := read_index(folder)) is None:
        return
    request = asked.of(folder, index)
    planned = asked.plans(folder, index, asked.axes_of(request), request["repeats"])
    keys = {name: key for key, name in asked.keys_of(index).items()}
    write(folder, [(name, planned[keys[name]][1]) for name in names])
    some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    print(f"missing        {some}: {'their plans are' if len(names) > 1 else 'its plan is'} made again", flush=True)


def write(folder: Path, runs: Sequence[tuple[str, Plan]]) -> None:
    """Make the folders of runs in the folder of their study, each completely or not at all."""
    for name, plan in runs:
        if (folder / name).is_dir():
            (folder / name).rmdir()  # an empty one
        job_name = name if plan.job_name == plan.name else plan.job_name
        with whole(folder / name, "run") as draft:
            folders.write_run(RunDir(draft), dataclasses.replace(plan, name=name, job_name=job_name))
