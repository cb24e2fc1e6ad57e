"""python -m launch extend STUDY --nodes 8 --repeats 6 [--sweep lr=1e-4] [OPTIONS]: add points and repeats to a study,
and run them.

--nodes and --sweep add values to axes that the study has; --repeats is the number of runs that each point then has.
Everything else is as in the study: a job option that differs is refused. Other runs that the study lacks are run too,
as by resume.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launch import own_command
from launch.backends.scheduler import scheduler
from launch.cli import resume
from launch.errors import Refusal, command
from launch.plan import options, site
from launch.plan.request import Request
from launch.plan.shape import refuse_beyond_limits
from launch.plan.typed import Count, NotNegative
from launch.record.code import snapshot
from launch.record.rundir import RunDir
from launch.record.study import PREDICTIONS, is_study
from launch.record.table import aligned
from launch.submit import describe_parts, jobs, order, revise, states
from launch.submit.lock import alone
from launch.submit.study import folders, grow, planning
from launch.submit.study.grow import Growth


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(resume.Options):
    """What to add, and how to continue."""

    nodes: tuple[Count, ...] = field(
        default=(), metadata={"flags": ("-N",), "separator": ","}
    )  # numbers of nodes to add to the study
    sweep: tuple[str, ...] = ()  # values to add to an axis of the study: --sweep lr=1e-4
    repeats: Count | None = None  # runs that each point has afterwards, those that it has already included
    budget: NotNegative | None = None  # refuse what may take more than this many GPU-hours (node-hours without
    # GPUs)
    dry_run: bool = False  # print what would be added and submitted, and change nothing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Any(Request):
    """These options and all other options of a job, which must be as in the study."""

    exclude_bad_nodes: bool = False
    take_over: bool = False


_HOW = {
    "runs",
    "wait",
    "detach",
    "follow",
    "exclude_bad_nodes",
    "take_over",
    "budget",
    "dry_run",
    "time",
    "account",
    "qos",
    "partition",
    "new_job",
    "hang_timeout",
}


def main(argv: list[str]) -> int:
    """Add to a study and run what it lacks; return the exit status, as for a new one.

    Raises
    ------
    Refusal
        If it is not a study, nothing is new, an option differs from that of the study, or a launcher is at work on it.
    """
    given, how, words = _options(argv)
    if len(words) != 1:
        raise Refusal(
            f"extend needs one study and options, and {len(words)} are given: {command('extend STUDY --repeats 6')}"
        )
    folder = how.path(words[0]).absolute()
    if not is_study(folder):
        raise Refusal(f"{words[0]} is not a study: extend needs the folder of one, with a study.json")
    if how.dry_run:
        what = _planned(folder, given, how)
        print(_described(what))
        made = jobs.make(
            folder, [(RunDir(folder / point.name), plan) for point, plan in what.runs], what.before.get("throttle")
        )
        scripts = [scheduler(job.backend).script(job) for job in made]
        print("\n\n".join(["", *scripts]) if any(scripts) else "")
        return 0
    RunDir(folder).refuse_files_of_others()
    with alone(resume.outermost(folder), how.take_over) as hold:
        what = _planned(folder, given, how)
        lacking = [run for run in folders.runs_in(folder) if not run.result_json.exists()]
        busy = states.under_way(lacking) if lacking and not scheduler(what.plans[0].backend).remote else ()
        if busy:  # anything that runs beside a measurement disturbs it
            raise Refusal(f"{min(busy)} is running on this machine: wait for its end, then extend the study")
        print(_described(what), flush=True)
        with grow.grown(what):
            status = resume.go_on(folder, how, hold)
    if (folder / PREDICTIONS).exists():
        print(_score(folder, how.detach), flush=True)
    return status


def _options(argv: Sequence[str]) -> tuple[dict[str, Any], Options, list[str]]:
    """Return what the study gets or must have already, how to continue, and the other words."""
    try:
        values, words = options.given_with_words(_Any, argv, "extend")
    except Refusal as refusal:
        raise Refusal(f"{refusal}; what is run, and its own options, stay those of the study") from None
    how = Options(**{name: value for name, value in values.items() if name in _HOW - {"follow"}})
    return {name: value for name, value in values.items() if name not in _HOW}, how, words


def _planned(folder: Path, given: dict[str, Any], how: Options) -> Growth:
    """Return what the study would get, with the new runs as asked for and within the limits of site, scheduler and
    budget."""
    what = grow.growth(folder, given)
    runs = [(RunDir(folder / point.name), plan) for point, plan in what.runs]
    try:
        snapshot.copies(runs[0][0])
    except Refusal as refusal:
        gone = str(refusal).partition(": ")[0]
        raise Refusal(
            f"{gone}, so new runs would differ from the others: make a new study, under another --name"
        ) from None
    new = revise.revised(runs, how)
    revise.refuse_short_timeout(new, folders.runs_in(folder))
    what = Growth(
        folder=folder,
        before=what.before,
        after=what.after,
        runs=[(point, plan) for (point, _), (_, plan) in zip(what.runs, new)],
    )
    here = site.load(what.plans[0].site_file or what.plans[0].site)
    same = all(plan == old for (_, old), (_, plan) in zip(runs, new))  # else `revised` has checked them
    for job in {(job.nodes, job.time_s): job for job in what.jobs}.values() if same else ():
        refuse_beyond_limits(here, job.partition, job.nodes, job.time_s, job.spare_nodes)
        scheduler(job.backend).check(job)
    if how.detach and scheduler(what.plans[0].backend).remote:
        order.check_queue_limits(
            what.jobs, "leave out --detach, so that we stay and submit as many at a time; or ask for fewer"
        )
    planning.refuse_beyond_budget(what.jobs, how.budget)
    return what


def _described(what: Growth) -> str:
    """Return what is added, one line for each point, and its maximum cost."""
    first, had = what.plans[0], len(what.before["runs"])
    hours, unit = planning.cost(what.jobs)
    rows = {
        "study": f"{what.folder}: {had} runs, {len(what.runs)} more",
        "site": first.site,
        "backend": first.backend,
        **describe_parts.walltime_rows(first, " each"),
        "cost": f"{hours:.4g} {unit} at most" if hours is not None else "not known without a limit of --time",
    }
    repeats: dict[tuple, list[int]] = {}
    for point, _ in what.runs:
        repeats.setdefault((point.nodes, point.values), []).append(point.repeat)
    table = [["nodes", *(name for name, _ in what.runs[0][0].values), "repeats"]]
    for (nodes, values), own in repeats.items():
        table.append(
            [str(nodes), *(value for _, value in values), f"{own[0]} to {own[-1]}" if len(own) > 1 else str(own[0])]
        )
    return "\n".join([*(f"{name:<14} {value}" for name, value in rows.items()), "", aligned(table)])


def _score(folder: Path, later: bool) -> str:
    """Return how good the recorded predictions were, from `score`, which the launcher only runs as a command; or how to
    see that."""
    asked = own_command(sys.executable, "score", str(folder), str(folder))
    if not later:
        said = subprocess.run(asked, capture_output=True, text=True, check=False, env=os.environ)
        if not said.returncode:
            return f"\npredictions of it, and what was measured since:\n{said.stdout.rstrip()}"
    return f"score its predictions: {command('report', folder)}"
