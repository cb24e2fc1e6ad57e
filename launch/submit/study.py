"""A study: runs that differ along axes - nodes, options, seeds - and their repeats, in one folder."""

import contextlib
import dataclasses
import datetime
import errno
import importlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.plan import options
from launch.plan.packing import in_order
from launch.plan.plan import Plan, resolve
from launch.plan.request import Request, StudyRequest
from launch.plan.shape import Machine
from launch.plan.site import Site
from launch.plan.sweep import Axes
from launch.plan.workload import Target
from launch.record import code
from launch.record.files import as_text, read_json, refuse_full_disk, to_disk
from launch.record.rundir import STATUS, RunDir
from launch.submit import cutoff

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


def points(axes: Axes, repeats: int) -> list[Point]:
    """All runs, in the order in which they are best made one after the other.

    The repeats come last in turn, so that what drifts in the machine meanwhile is spread over all points.

    Raises
    ------
    Refusal
        If there is nothing to repeat, or two points would have the same name.
    """
    if repeats < 1:
        raise Refusal(f"--repeats {repeats}: give 1 or more")
    coordinates = []
    for combination in axes.combinations():
        nodes = int(combination.pop("nodes"))
        coordinates.append((nodes, tuple(combination.items())))
    found = [Point(nodes, values, repeat) for repeat in range(1, repeats + 1) for nodes, values in coordinates]
    if len({point.name for point in found}) < len(found):
        raise Refusal("two values of an axis give the same name of a run: make them differ in letters or digits")
    return found


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
        seed = int(values.pop("seed", asked.seed))
        request = Request(**kept | {"nodes": point.nodes, "seed": seed, "name": point.name})
        pairs.append((request, target.with_words(options.words(values)) if values else target))
    made = [resolve(request, site, what, machine, now) for request, what in pairs]
    if asked.scaling == "weak" or len({plan.nodes for plan in made}) == 1:
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
    if not all(plan.time_s for plan in plans):
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
            f"{f'{len(plans)} runs take' if len(plans) > 1 else 'it takes'} up to {hours:.4g} {unit}, more than --budget {budget:g}: ask for less time, nodes or repeats"
        )


def create(folder: Path, asked: StudyRequest, found: Sequence[Point], plans: Sequence[Plan]) -> None:
    """Make the folder of a study, its index and its run directories, and note the state of the code: all of it, or nothing.

    It is written under a hidden name and brought to the disk in one go, as to wait for each file of each run would take
    many times as long; it gets its own name when it is whole. The first attempt makes what else a run directory needs.

    Raises
    ------
    Refusal
        If the folder exists or cannot be made, or there is no room for it.
    """
    draft = None
    index: dict[str, Any] = {
        "workload": plans[0].workload,
        "scaling": asked.scaling,
        "throttle": asked.throttle,
        "runs": [
            {"run": point.name, "nodes": point.nodes, "values": dict(point.values), "repeat": point.repeat}
            for point in found
        ],
    }
    try:
        with contextlib.suppress(FileExistsError):  # a file there makes the next lines say that it is no directory
            folder.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(folder):
            raise FileExistsError
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))  # mode 0700
        for point, plan in zip(found, plans):
            run = RunDir(draft / point.name)
            run.path.mkdir(mode=0o700)
            run.run_json.write_text(as_text(plan.to_json()))
        commit = code.keep(draft / "code.patch", plans[0].cwd)
        (draft / "code.json").write_text(as_text({"commit": commit}))
        (draft / INDEX).write_text(as_text(index))
        refuse_full_disk(draft)
        to_disk(draft)
        draft.rename(folder)
    except BaseException as error:
        if draft:
            shutil.rmtree(draft, ignore_errors=True)
        if isinstance(error, OSError):
            raise _cannot_make("study", folder, error) from None
        raise


def make_folder(what: str, folder: Path) -> None:
    """Make the folder of a chain, mode 0700.

    Raises
    ------
    Refusal
        If it exists or cannot be made.
    """
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise _cannot_make(what, folder, error) from None


def _cannot_make(what: str, folder: Path, error: OSError) -> Refusal:
    if isinstance(error, FileExistsError) or error.errno == errno.ENOTEMPTY:  # of a rename onto a folder
        return Refusal(
            f"the {what} {folder} exists already: give another --name, or go on with it: python -m launch resume {folder}"
        )
    return Refusal(
        f"cannot make the {what} {folder} ({error.strerror}): give a folder that can be written to with --runs"
    )


def runs_in(folder: Path) -> list[RunDir]:
    """The runs of a study in the order of its index; or the one run that a folder is.

    Raises
    ------
    Refusal
        If it is neither.
    """
    if index := read_json(folder / INDEX):
        return [RunDir.open(folder / entry["run"]) for entry in index["runs"]]
    return [RunDir.open(folder)]


def unfinished(folder: Path) -> list[tuple[RunDir, Plan]]:
    """Those of them that have no result yet."""
    return [(run, Plan.from_json(read_json(run.run_json))) for run in runs_in(folder) if run.result() is None]


def preview(folder: Path, runs: Sequence[tuple[RunDir, Plan]], throttle: int | None) -> str:
    """The very scripts that would be submitted; of a local study its plan says all."""
    if runs[0][1].backend == "local":
        return ""
    return maker(runs).preview(folder, in_order(runs), throttle)


def make(folder: Path, runs: Sequence[tuple[RunDir, Plan]], how: str, throttle: int | None) -> int:
    """Make the runs of a study by their backend; say what came of them; return the exit status."""
    runs = [(run, plan) for run, plan in in_order(runs) if not cutoff.cut(run, plan)]
    try:
        outcomes = maker(runs).start_many(folder, runs, how, throttle) if runs else {}
    except KeyboardInterrupt:
        print(again(folder), flush=True)
        raise
    return tell(folder, runs, outcomes)


def maker(runs: Sequence[tuple[RunDir, Plan]]):
    """The module that makes the runs of a study: Slurm has ways of its own for many of them."""
    plan = runs[0][1]
    slurm = "slurm_pack" if plan.pack else "slurm_array"
    return importlib.import_module(f"launch.backends.{'local' if plan.backend == 'local' else slurm}")


def tell(folder: Path, runs: Sequence[tuple[RunDir, Plan]], outcomes: Mapping[str, str]) -> int:
    """Say what came of the runs of a study; return the exit status."""
    bad = {name: outcome for name, outcome in outcomes.items() if outcome != "done"}
    if outcomes:
        print(f"\n{len(outcomes) - len(bad)} of {len(outcomes)} runs are done: {folder}", flush=True)
    for name, outcome in bad.items():
        print(f"  {name}: {outcome}", flush=True)
    if bad:
        print(again(folder), flush=True)
    elif outcomes and len({plan.nodes for _, plan in runs}) > 1:
        print(f"its scaling table: python -m profiling report {folder}", flush=True)
    return worst(STATUS[outcome] for outcome in outcomes.values())


def again(folder: Path) -> str:
    """How to go on with what is not done."""
    return f"go on with it: python -m launch resume {folder}"


def worst(statuses: Iterable[int]) -> int:
    """The exit status of all together: that of a failure before that of what was only ended."""
    return max(statuses, key=[0, 4, 2, 1].index, default=0)
