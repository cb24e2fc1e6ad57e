"""python -m launch resume RUN|STUDY|WORKFLOW [OPTIONS]: continue a run from its last checkpoint, or run what a study or
a workflow lacks, including runs whose folders were deleted.

To add points or repeats to a study, use extend: python -m launch extend STUDY --nodes 8 --repeats 6
"""

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from launch.cli.names import Named
from launch.errors import Refusal, command
from launch.plan import hostlist, options
from launch.plan.plan import Plan
from launch.plan.queueing import TITLES
from launch.record.failures import bad_nodes
from launch.record.files import Unreadable
from launch.record.rundir import RunDir
from launch.record.study import entries_of, is_study, names_in, read_index
from launch.submit import current_code, jobs, revise, running, states
from launch.submit.lock import Hold, alone
from launch.submit.study import folders, restore
from launch.submit.workflow import loop, stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(revise.Anew, Named):
    """How to continue."""

    wait: bool = False  # wait until the runs have ended, without showing progress
    detach: bool = False  # return as soon as the runs are submitted or started
    exclude_bad_nodes: bool = False  # do not use the nodes that keep failing, which status names (Slurm only)
    code: Literal["submitted", "current"] = "submitted"  # run the code as it was submitted, or as it is now
    take_over: bool = False  # take over the lock of a launcher that is gone, and jobs whose controller has moved


_OF_EXTEND = ("--nodes", "-N", "--repeats", "--sweep")


def main(argv: list[str]) -> int:
    """Start another attempt of what has not finished; return the exit status, as for a new run.

    Raises
    ------
    Refusal
        If there is no such run, it is finished or running, or another user has put something into it.
    """
    if any(word.startswith(_OF_EXTEND) for word in argv):
        raise Refusal(f"resume runs what is missing, and extend adds to a study: {command('extend', *argv)}")
    chosen, words = options.with_words(Options, argv, "resume")
    if len(words) != 1:
        raise Refusal(f"resume needs a run{', one at a time' if words else ''}: {command('resume RUN')}")
    named = chosen.path(words[0])
    folder = named.absolute()
    missing = folder.name in names_in(folder.parent) and RunDir(folder).is_missing
    if not missing and not stages.is_workflow(folder) and not is_study(folder):
        RunDir.open(named)
    RunDir(folder.parent if missing else folder).refuse_files_of_others()
    with alone(outermost(folder), chosen.take_over) as hold:
        return go_on(folder, chosen, hold)


def go_on(folder: Path, chosen: Options, hold: Hold) -> int:
    """Run what a run, study or workflow lacks, under the lock of the outermost one; return the exit status."""
    is_workflow = stages.is_workflow(folder)
    runs, broken = _members(folder)
    lacking = _lacking(runs, folder, broken)
    if chosen.take_over:
        jobs.take_over(lacking)
    jobs.find_lost(lacking)
    busy = states.under_way(lacking)
    lacking = _lacking(lacking, folder, broken)  # one may have got its result before the scheduler was asked about it
    if busy and (is_workflow or len(busy) == len(lacking)):
        one = next(iter(busy.values()))
        if one.state not in ("queued", "running"):
            raise Refusal(f"{one.path}: {one.reason}")
        raise Refusal(f"{one.path} is {one.state}: wait for its end, or end it: {command('cancel', folder)}")
    for line in broken:
        print(f"launch: {line}", file=sys.stderr, flush=True)
    idle = [run for run in lacking if run.path not in busy]
    with restore.restored(idle):
        status = _run(folder, idle, runs, chosen, hold)
    return 2 if broken and not status else status


def _run(folder: Path, idle_runs: Sequence[RunDir], runs: Sequence[RunDir], chosen: Options, hold: Hold) -> int:
    """Run those of the runs of a run, study or workflow that are neither finished nor under way."""
    how = "detach" if chosen.detach else "wait" if chosen.wait else "follow"
    change = _without_bad_nodes(runs) if chosen.exclude_bad_nodes else lambda plan: plan
    before = [(run, run.plan()) for run in idle_runs]
    after = revise.revised(before, chosen)
    revise.refuse_short_timeout(after, runs)
    idle = [(run, change(plan)) for run, plan in after]  # it may refuse, and then nothing may have changed
    if chosen.code == "current":
        current_code.take(idle_runs)
    for line in current_code.lines(idle_runs):
        print(f"code           {'as it is now: ' * (chosen.code == 'current')}{line}", flush=True)
    for python in dict.fromkeys(
        plan.python for _, plan in after if not (plan.container or os.path.exists(plan.python))
    ):
        print(f"python         {python} is not here any more: put its environment back, or start a new run", flush=True)
    with revise.recorded(before, after):
        if stages.is_workflow(folder):
            return loop.run(folder, how, hold, change)
        if is_study(folder):
            print(f"{len(idle)} of the runs of {folder} {'is' if len(idle) == 1 else 'are'} run now", flush=True)
        holder = folders.holder(folder)
        return running.run(holder, idle, how, (read_index(holder) or {}).get("throttle"), hold)


def _lacking(runs: Sequence[RunDir], folder: Path, broken: Sequence[str]) -> list[RunDir]:
    """Return the runs that have no result; refuse if there are none."""
    lacking = [run for run in runs if run.result() is None]
    if not lacking:
        raise Refusal(f"{folder} is finished: there is nothing left to run" if not broken else broken[0])
    return lacking


def outermost(folder: Path) -> Path:
    """Return the workflow or study that a folder is part of, on which no other launcher may be at work; else the folder
    itself."""
    outwards = (folder.parent.parent, folder.parent)
    return next((each for each in outwards if stages.is_workflow(each) or is_study(each)), folder)


def _members(folder: Path) -> tuple[list[RunDir], list[str]]:
    """Return the runs of a run, study or workflow, with missing ones, and why others of a study do not count."""
    if stages.is_workflow(folder):
        if gone := next((stage.name for stage in stages.read(folder) if not stage.folder.exists()), None):
            raise Refusal(
                f"stage {gone} of {folder} is gone, and workflow.json does not say what it ran: start the workflow "
                "again under another --name"
            )
        parts = [_members(stage.folder) for stage in stages.read(folder)]
        return [run for runs, _ in parts for run in runs], [line for _, lines in parts for line in lines]
    if not is_study(folder):
        is_missing = folder.name in names_in(folder.parent) and RunDir(folder).is_missing
        return [RunDir(folder) if is_missing else RunDir.open(folder)], []
    runs = [RunDir(folder / entry["run"]) for entry in entries_of(folder)]
    broken = {run: why for run in runs if not run.is_missing and (why := _unusable(run, folder))}
    return [run for run in runs if run not in broken], list(broken.values())


def _unusable(run: RunDir, study: Path) -> str:
    """Return why a run of a study does not count: its files do not say whether it is done, or how to start it. Empty if
    it does."""
    if not run.run_json.exists():
        how = f"remove what is left of it, and run it again: {command('resume', study)}"
        return f"{run.path} has no run.json: {how}"
    try:
        if run.result() is None:
            run.plan()
    except Unreadable as error:
        return str(error)
    except Refusal as error:
        return f"{run.path}: {error}"
    return ""


def without(plan: Plan, hosts: Sequence[str]) -> Plan:
    """Return the plan without these nodes, in addition to those that it already excludes.

    Raises
    ------
    Refusal
        If the plan is for this machine, which has no other node.
    """
    if plan.backend == "local":
        raise Refusal(
            f"--exclude-bad-nodes is for runs under Slurm, and {plan.name} runs on this machine: resume it without"
        )
    if plan.backend == "allocation":
        raise Refusal(
            f"--exclude-bad-nodes is for a new job, and {plan.name} would be a step of the job in which this runs: "
            "give --new-job"
        )
    if plan.backend != "slurm":
        raise Refusal(
            f"--exclude-bad-nodes is for runs under Slurm, and {plan.name} runs under {TITLES[plan.backend]}, which "
            "excludes nodes in ways of each site's own: give an option with --submit-arg to a new run"
        )
    flag = "--exclude="
    words = [word for word in plan.sbatch_args if not word.startswith(flag)]
    before = [word.removeprefix(flag) for word in plan.sbatch_args if word.startswith(flag)]
    before += [plan.directives["exclude"]] if "exclude" in plan.directives else []
    every = ",".join(dict.fromkeys(host for word in [*before, *hosts] for host in hostlist.expand(word)))
    return dataclasses.replace(plan, sbatch_args=(*words, *([flag + every] if every else [])))


def _without_bad_nodes(runs: Sequence[RunDir]) -> Callable[[Plan], Plan]:
    bad = bad_nodes.among(runs)
    print(
        "\n".join(
            [f"left out: {line}" for line in bad_nodes.said(bad)] or ["no node keeps failing, so none is left out"]
        )
    )
    hosts = [node.host for node in bad]
    return lambda plan: without(plan, hosts)
