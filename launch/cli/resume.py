"""python -m launch resume RUN|STUDY|WORKFLOW [OPTIONS]: go on with a run where its last checkpoint left it, or run what a study
or a workflow lacks."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from launch.errors import Refusal, command
from launch.plan import hostlist, options
from launch.plan.plan import Plan
from launch.record import bad_nodes
from launch.record.rundir import RunDir, is_study, read_index
from launch.submit import current_code, jobs, stages, states, study, workflow
from launch.submit.lock import alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to go on."""

    wait: bool = False  # wait for the end, without progress
    detach: bool = False  # return at once
    exclude_bad_nodes: bool = False  # leave out the nodes that keep failing, as status names them (Slurm)
    code: Literal["submitted", "current"] = "submitted"  # run the code of the submission, or that of today
    take_over: bool = False  # take over from a launcher on another host that is gone and has not said so


def main(argv: list[str]) -> int:
    """Start another attempt of what has not finished; return the exit status, as for a new one.

    Raises
    ------
    Refusal
        If there is no such run, it is finished, it is running, or another user has put something into it.
    """
    if not argv or argv[0].startswith("-"):
        raise Refusal(f"resume needs a run: {command('resume RUN')}")
    chosen = options.parse(Options, argv[1:], "resume")
    how = "detach" if chosen.detach else "wait" if chosen.wait else "follow"
    folder = Path(argv[0]).absolute()
    is_workflow = stages.is_workflow(folder)
    if not is_workflow and not is_study(folder):
        RunDir.open(Path(argv[0]))
    RunDir(folder).refuse_files_of_others()
    with alone(_outermost(folder), chosen.take_over) as hold:
        runs = [RunDir(path) for path in states.find([folder])]
        lacking = [run for run in runs if run.result() is None]
        if not lacking:
            raise Refusal(f"{folder} is finished: there is nothing to go on with")
        jobs.find_lost(lacking)
        busy = states.under_way(lacking)
        if busy and (is_workflow or len(busy) == len(lacking)):
            raise Refusal(f"{next(iter(busy))} is running: wait for its end, or end it: {command('cancel', folder)}")
        change = _without_bad_nodes(runs) if chosen.exclude_bad_nodes else lambda plan: plan
        idle_runs = [run for run in lacking if run.path not in busy]
        if chosen.code == "current":
            current_code.take(idle_runs)
        for line in current_code.lines(idle_runs):
            print(f"code           {'as it is now: ' * (chosen.code == 'current')}{line}", flush=True)
        if is_workflow:
            return workflow.run(folder, how, hold, change)
        idle = [(run, change(plan)) for run, plan in study.unfinished(folder) if run.path not in busy]
        if is_study(folder):
            print(f"{len(idle)} of the runs of {folder} are to be run", flush=True)
        throttle = (read_index(folder) or {}).get("throttle")
        return study.run(study.holder(folder), idle, how, throttle, hold)


def _outermost(folder: Path) -> Path:
    """The workflow or study that a folder is part of, of which no other launcher may be at work; else itself."""
    outwards = (folder.parent.parent, folder.parent)
    return next((each for each in outwards if stages.is_workflow(each) or is_study(each)), folder)


def without(plan: Plan, hosts: Sequence[str]) -> Plan:
    """The plan on other nodes than these, and than those that it leaves out already.

    Raises
    ------
    Refusal
        If it is of this machine, which has no other node.
    """
    if plan.backend != "slurm":
        raise Refusal(
            f"--exclude-bad-nodes is for runs under Slurm, and {plan.name} runs on this machine: resume it without"
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
        "\n".join([f"left out: {line}" for line in bad_nodes.said(bad)] or ["no node keeps failing: none is left out"])
    )
    hosts = [node.host for node in bad]
    return lambda plan: without(plan, hosts)
