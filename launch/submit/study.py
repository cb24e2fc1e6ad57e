"""A study: runs that differ along axes (nodes, options, seeds), and their repeats, in one folder."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.backends.scheduler import scheduler
from launch.errors import Refusal, command
from launch.plan.packing import in_order
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.resolve import resolve
from launch.plan.shape import Machine
from launch.plan.site import Site
from launch.plan.sweep import Axes, refuse_too_large
from launch.plan.workload import Target
from launch.record.job import Job
from launch.record.rundir import INDEX, STATUS, RunDir, holder_of, is_study, read_index
from launch.record.sources import Sources
from launch.record.writing import as_text
from launch.submit import jobs
from launch.submit.naming import names

if TYPE_CHECKING:
    from launch.submit.lock import Hold


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
    name : str
        Of its run directory.
    """

    nodes: int
    values: tuple[tuple[str, str], ...]
    repeat: int
    name: str


def points(axes: Axes, repeats: int) -> list[Point]:
    """All runs, in the order in which it is best to make them one after the other.

    All points are made once before any is repeated, so that drifts of the machine are spread over all points.

    Raises
    ------
    Refusal
        If there are too many runs.
    """
    combinations = axes.combinations()
    refuse_too_large(len(combinations), repeats)
    labels = names(combinations)
    coordinates = [(int(each.pop("nodes")), tuple(each.items())) for each in combinations]
    return [
        Point(nodes, values, repeat, f"{label}-r{repeat}")
        for repeat in range(1, repeats + 1)
        for (nodes, values), label in zip(coordinates, labels)
    ]


def planned(request: Request, nodes: int, site: Site, target: Target, machine: Machine, now: datetime.datetime) -> Plan:
    """The plan of a run, with the environment to stage; see `launch.plan.resolve.resolve`."""
    plan = resolve(request, nodes, site, target, machine, now)
    if not request.stage_env:
        return plan
    from launch.record import packed

    return dataclasses.replace(plan, staged=packed.plan(request.runs))


def plans(
    asked: Request, target: Target, found: Sequence[Point], site: Site, machine: Machine, now: datetime.datetime
) -> list[Plan]:
    """The plan of each point.

    Raises
    ------
    Refusal
        If a shape is impossible, the workload does not know an axis, its runs would differ in what is the same within a
        study, or its batch cannot be divided for strong scaling, in which all runs have the global batch and learning
        rate of the fewest ranks.
    """

    def ranks(nodes: int) -> int:
        return resolve(asked, nodes, site, target, machine, now).size

    pairs = []
    nodes = {point.nodes for point in found} if target.kind != "workload" else set()
    shapes = {each: {"nodes": str(each), "ranks": str(ranks(each))} for each in nodes} if len(nodes) > 1 else {}
    repeated = found[-1].repeat > 1
    for point in found:
        known = shapes.get(point.nodes, {}) | ({"repeat": str(point.repeat)} if repeated else {})
        values = dict(point.values)
        request = dataclasses.replace(asked, seed=int(values.get("seed", asked.seed)), name=point.name)
        pairs.append((request, target.at(values, known)))
    if hasattr(target.config, "refuse_mixed"):
        target.config.refuse_mixed([what.config for _, what in pairs])
    made = [planned(request, point.nodes, site, what, machine, now) for point, (request, what) in zip(found, pairs)]
    if asked.scaling == "weak" or len({plan.nodes for plan in made}) == 1:
        return made
    if target.kind != "workload":
        return made  # the program divides its work itself, or reports how much it did
    if not hasattr(target.config, "strong"):
        raise Refusal(
            f"{target.name} does not say how its batch is divided: give its Config a method strong, or use --scaling "
            "weak"
        )
    base = min(plan.size for plan in made)
    held = [
        dataclasses.replace(what, config=what.config.strong(base, plan.size)) for (_, what), plan in zip(pairs, made)
    ]
    return [
        planned(request, point.nodes, site, what, machine, now) for point, (request, _), what in zip(found, pairs, held)
    ]


def cost(plans: Iterable[Plan]) -> tuple[float | None, str]:
    """What a study costs at most, and the unit: GPU-hours, or node-hours without GPUs."""
    plans = list(plans)
    if not all(plan.time_s for plan in plans):
        return None, ""
    gpus = any(plan.gpus_per_node for plan in plans)
    hours = sum(
        plan.allocated_nodes * (plan.gpus_per_node if gpus else 1) * (plan.time_s or 0) / 3600 for plan in plans
    )
    return hours, "GPU-hours" if gpus else "node-hours"


def refuse_beyond_budget(plans: Sequence[Plan], budget: float | None) -> None:
    """Refuse a study that would cost more than the budget.

    Raises
    ------
    Refusal
        If it would, or if the cost is not known because no walltime is given.
    """
    if budget is None:
        return
    hours, unit = cost(plans)
    if hours is None:
        raise Refusal(f"--budget {budget:g} needs a walltime to count with: give --time")
    if hours > budget:
        raise Refusal(
            f"{f'{len(plans)} runs take' if len(plans) > 1 else 'it takes'} up to {hours:.4g} {unit}, more than "
            f"--budget {budget:g}: ask for less time, nodes or repeats"
        )


def write(
    folder: Path,
    asked: Request,
    coordinates: Sequence[Point],
    plans: Sequence[Plan],
    code: Sources | None = None,
    request: Mapping[str, Any] | None = None,
) -> None:
    """Write the index of a study, its runs and, if known, the code into an empty folder.

    The first attempt makes everything else that a run directory needs. ``request`` is what `launch.submit.asked.record`
    returns.
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
        from launch.record import snapshot

        snapshot.write(folder, snapshot.FIRST, code, asked.snapshot, asked.snapshot_limit)
    (folder / INDEX).touch(mode=0o600)  # as it holds the words of the command line
    (folder / INDEX).write_text(as_text(index))


def entry(point: Point, name: str) -> dict[str, Any]:
    """The entry of a run in the index."""
    return {"run": name, "nodes": point.nodes, "values": dict(point.values), "repeat": point.repeat}


def write_run(run: RunDir, plan: Plan) -> None:
    """Write the plan of a run of a study into its folder."""
    run.run_json.touch(mode=0o600)  # as it holds the words of the command line
    run.run_json.write_text(as_text(plan.to_json()))


def runs_in(folder: Path) -> list[RunDir]:
    """The runs of a study in the order of its index, without those that are missing or have lost their run.json. If the
    folder is a run, that run.

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
    """Those of the runs in a folder that have no result yet."""
    return [(run, run.plan()) for run in runs_in(folder) if run.result() is None]


def run(folder: Path, runs: Sequence[tuple[RunDir, Plan]], how: str, throttle: int | None, hold: Hold) -> int:
    """Submit runs of a study, or a run by itself, and, unless ``how`` is "detach", stay until they have ended; return
    the exit status.

    If the site limits the number of jobs in the queue, the others are submitted once these have ended.

    Raises
    ------
    SubmissionRefused
        If the scheduler refuses a job; jobs submitted together with it have been cancelled.
    KeyboardInterrupt
        If the user asked for the end; no job is then left.
    """
    runs = left_over(runs)
    outcomes: dict[str, str] = {}
    count, all_runs = len(runs), [run for run, _ in runs]
    most = runs[0][1].max_jobs if runs and not runs[0][1].pack else None
    try:
        while runs:
            part, runs = runs[: most or len(runs)], runs[most or len(runs) :]
            if most and most < count:
                print(f"{len(part)} of {len(part) + len(runs)} runs now: {most} jobs may be in the queue", flush=True)
            submitted = jobs.submit(jobs.make(folder, part, throttle, how == "detach"), hold)
            announce(submitted)
            if how == "detach":
                print(f"its state: {command('status', folder)}", flush=True)
            else:
                from launch.submit.watch import watch  # imported once the scheduler is at work

                outcomes |= watch(submitted, how == "follow")
            runs = left_over(runs)
    except KeyboardInterrupt:
        if is_study(folder):
            print(again(folder), flush=True)
        raise
    status = summary(folder, outcomes)
    if outcomes:
        _say_written(all_runs)
        _advise(folder)
    return status


def _advise(folder: Path) -> None:
    """Print what to ask for next time, if that gains something. Files that cannot be read are reported elsewhere."""
    from launch.submit import advice

    with contextlib.suppress(Refusal, OSError):
        if gain := advice.brief(folder):
            print(gain, flush=True)


def _say_written(runs: Sequence[RunDir]) -> None:
    """Print where files are that programs wrote beside their code: users would look for them beside the original in
    vain."""
    from launch.record import snapshot

    for run in {(holder_of(run), snapshot.name_of(run)): run for run in runs}.values():
        with contextlib.suppress(Refusal, OSError):  # the copy is gone
            if new := snapshot.written(run):
                print(f"beside the code, so in its snapshot, were written: {snapshot.some(new)}", flush=True)


def holder(folder: Path) -> Path:
    """The folder that holds the jobs of a run (its study's folder, or its own) or of a study (its own)."""
    return folder if is_study(folder) else holder_of(RunDir(folder))


def left_over(runs: Sequence[tuple[RunDir, Plan]]) -> list[tuple[RunDir, Plan]]:
    """The runs in the order in which it is best to submit them, without those that are not worth their node-hours."""
    runs = in_order(runs)
    if all(plan.stop_below is None for _, plan in runs):
        return runs
    from launch.submit import cutoff  # imported late, here and above: others do not need it

    return [(run, plan) for run, plan in runs if not cutoff.cut(run, plan)]


def announce(submitted: Sequence[Job]) -> None:
    """Print the jobs."""
    for job in submitted:
        if job.shape == "run":
            what = ""
        elif job.shape == "array":
            runs, nodes = len(job.runs), job.plans[0].nodes
            each = f"{nodes} node{'s' * (nodes > 1)}{' each' * (runs > 1)}"
            what = f": {runs} run{'s' * (runs > 1)} on {each}"
        else:
            what = f": {len(job.runs)} runs, one after the other"
        if scheduler(job.backend).remote or job.detached:
            print(f"job            {job.id}{what}", flush=True)


def summary(folder: Path, outcomes: Mapping[str, str]) -> int:
    """Print how the runs of a study ended (a single run has printed this already); return the exit status."""
    statuses = [STATUS[outcome] for outcome in outcomes.values()]
    if not is_study(folder):
        return worst(statuses)
    bad = {name: outcome for name, outcome in outcomes.items() if outcome != "done"}
    if outcomes:
        print(f"\n{len(outcomes) - len(bad)} of {len(outcomes)} runs are done: {folder}", flush=True)
    for name, outcome in bad.items():
        print(f"  {name}: {outcome}", flush=True)
    if bad:
        print(again(folder), flush=True)
    elif outcomes:
        from launch.submit import scaling_table

        print(scaling_table.of(folder), end="", flush=True)
    return worst(statuses)


def again(folder: Path) -> str:
    """How to continue with what is not done."""
    return f"continue it: {command('resume', folder)}"


def worst(statuses: Iterable[int]) -> int:
    """The exit status of all together: a failure counts before a run that was only ended."""
    return max(statuses, key=[0, 4, 2, 1].index, default=0)
