"""Lets a study grow: adds nodes, values and repeats to its index, all or none. The new runs are then run like missing
ones."""

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.errors import Refusal, SubmissionRefused
from launch.plan import options, packing
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.site import own_file
from launch.plan.sweep import Axes, axis
from launch.record import job
from launch.record.rundir import RunDir
from launch.record.study import INDEX, read_index
from launch.record.writing import as_text, publish
from launch.submit.study import asked, folders, planning, restore

GROWS = {"nodes", "sweep", "repeats"}
"""The job options in which a study can grow; all runs of a study have the same other options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What a study has, and what it gets.

    Parameters
    ----------
    folder : Path
        Folder of the study.
    before, after : dict
        Index of the study before and after its growth.
    runs : list of (Point, Plan)
        The new runs.
    """

    folder: Path
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    runs: Sequence[tuple[planning.Point, Plan]]

    @property
    def plans(self) -> list[Plan]:
        """The plans of the new runs."""
        return [plan for _, plan in self.runs]

    @property
    def jobs(self) -> list[Plan]:
        """The plans that the scheduler gets for them."""
        return [packing.allocation(self.folder.name, self.plans)] if self.plans[0].pack else self.plans


def growth(folder: Path, given: Mapping[str, Any]) -> Growth:
    """Work out what a study would get, without writing anything.

    Parameters
    ----------
    folder : Path
        Folder of the study.
    given : dict
        Job options, by the names of their fields. Only those in `GROWS` may differ from those of the study.

    Raises
    ------
    Refusal
        If nothing is new, another option differs from that of the study, or a plan is impossible.
    """
    index = read_index(folder)
    if index is None:
        raise Refusal(f"{folder} is not a study: extend needs the folder of one")
    of = asked.of(folder, index)
    _refuse_others(folder, asked.request_of(folder, of), given)
    axes = _with_more(folder, asked.axes_of(of), given)
    repeats = given.get("repeats", of["repeats"])
    if repeats < of["repeats"]:
        raise Refusal(f"--repeats {repeats}: {folder} has {of['repeats']} of each point already: give more")
    known = asked.keys_of(index)
    new = [point for point in planning.points(axes, repeats) if asked.key_of(point) not in known]
    if not new:
        raise Refusal(f"{folder} has all of that already: give nodes, values or repeats that it does not have")
    for point in new:
        if (folder / point.name).exists() or point.name in known.values():
            raise Refusal(f"{folder / point.name} exists, and is not the new run of that name: rename it, or remove it")
    planned = asked.plans(folder, index, axes, repeats)
    steps = [{name: list(values) for name, values in step.items()} for step in axes.steps]
    after = dict(index) | {
        "asked": {**of, "steps": steps, "repeats": repeats},
        "runs": [*index["runs"], *(folders.entry(point, point.name) for point in new)],
    }
    return Growth(folder=folder, before=dict(index), after=after, runs=[planned[asked.key_of(point)] for point in new])


@contextlib.contextmanager
def grown(what: Growth) -> Iterator[None]:
    """Add the new runs to a study. If the process is killed, the index has all of them or none; runs without a folder
    are then missing.

    If the block fails before a scheduler has any of the new runs, the study is as before.
    """
    index = what.folder / INDEX
    before = index.read_bytes()
    publish(index, as_text(dict(what.after)), mode=0o600)
    restore.write(what.folder, [(point.name, plan) for point, plan in what.runs])
    try:
        yield
    except Refusal as refusal:
        runs = [RunDir(what.folder / point.name) for point, _ in what.runs]
        if isinstance(refusal, SubmissionRefused):  # the submission has cancelled what the scheduler had
            begun = refusal.may_be_queued or any(run.events("started") for run in runs)
        else:
            begun = bool(job.latest(runs))
        if not begun:
            publish(index, before, mode=0o600)
            for run in runs:
                shutil.rmtree(run.path)
        raise


def _refuse_others(folder: Path, request: Request, given: Mapping[str, Any]) -> None:
    fields = {field.name: field for field in dataclasses.fields(Request)}
    for name, value in given.items():
        own = getattr(request, name)
        if name == "site":
            value = own_file(value, None) or value
        if name not in GROWS and value != own:
            said = "not given" if own is None else "none" if own == () else own
            raise Refusal(
                f"{options.flags(fields[name])[-1]} {_text(value)} differs from that of {folder} ({_text(said)}), "
                "where all runs "
                "share it: leave it out, or make a new study"
            )


def _text(value: Any) -> str:
    return (
        ",".join(map(str, value))
        if isinstance(value, tuple)
        else str(value).lower()
        if value in (True, False)
        else str(value)
    )


def _with_more(folder: Path, axes: Axes, given: Mapping[str, Any]) -> Axes:
    """Return the axes with further values; values that they already have count once."""
    more: dict[str, list[str]] = {}
    for name, values in [("nodes", [str(n) for n in given.get("nodes", ())]), *map(axis, given.get("sweep", ()))]:
        more.setdefault(name.replace("-", "_"), []).extend(values)
    steps = []
    for step in axes.steps:
        found = {}
        for name, values in step.items():
            found[name] = tuple(dict.fromkeys([*values, *more.pop(name.replace("-", "_"), ())]))
        steps.append(found)
    if more:
        names = ", ".join(name for step in axes.steps for name in step)
        raise Refusal(
            f"{next(iter(more))} is not an axis of {folder}, which has {names}: for another option, make a new study"
        )
    return Axes(steps=tuple(steps), only=axes.only, exclude=axes.exclude)
