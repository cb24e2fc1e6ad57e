"""python -m launch resume RUN|STUDY|CHAIN [OPTIONS]: go on with a run where its last checkpoint left it, or make what a study or
a chain lacks."""

import contextlib
import dataclasses
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.backends import slurm_submission
from launch.errors import Refusal
from launch.plan import hostlist, options
from launch.plan.plan import Plan
from launch.record import bad_nodes
from launch.record.rundir import STATUS, RunDir, read_index
from launch.submit import lock, stages, states, study


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to go on."""

    wait: bool = False  # wait for the end, without progress
    detach: bool = False  # return at once
    exclude_bad_nodes: bool = False  # leave out the nodes that keep failing, as status names them (Slurm)
    take_over: bool = False  # of a study or chain, from a launcher on another host that is gone and has not said so


def main(argv: list[str]) -> int:
    """Start another attempt of a run; return the exit status, as for a new one.

    Raises
    ------
    Refusal
        If there is no such run, it is finished, it is running, or another user has put something into it.
    """
    if not argv or argv[0].startswith("-"):
        raise Refusal("resume needs a run: python -m launch resume RUN")
    chosen = options.parse(Options, argv[1:], "resume")
    how = "detach" if chosen.detach else "wait" if chosen.wait else "follow"
    folder = Path(argv[0]).absolute()
    if _is(study.INDEX, folder):
        make = _study
    elif _is(stages.INDEX, folder):
        make = _chain
    else:
        RunDir.open(Path(argv[0]))
        make = _run
    RunDir(folder).refuse_files_of_others()
    with contextlib.ExitStack() as held:
        if whole := _whole(folder):
            held.enter_context(lock.alone(whole, chosen.take_over))
        return make(folder, how, chosen.exclude_bad_nodes)


def _is(index: str, folder: Path) -> bool:
    return (folder / index).is_file()


def _whole(folder: Path) -> Path | None:
    """The chain or study that a folder is or is part of, of which no other launcher may be at work; None for a run by itself."""
    outwards = (folder.parent.parent, folder.parent, folder)
    return next((each for each in outwards if _is(stages.INDEX, each) or _is(study.INDEX, each)), None)


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


def _bad_nodes(runs: Sequence[RunDir]) -> list[str]:
    bad = bad_nodes.among(runs)
    print(
        "\n".join([f"left out: {line}" for line in bad_nodes.said(bad)] or ["no node keeps failing: none is left out"])
    )
    return [node.host for node in bad]


def _run(folder: Path, how: str, exclude: bool) -> int:
    """Start another attempt of a run."""
    run = RunDir(folder)
    if run.result() is not None:
        raise Refusal(f"{run.path} is finished: there is nothing to go on with")
    plan = run.plan()
    if states.going_on([run], plan.backend):
        raise Refusal(f"{run.path} is running: wait for its end, or end it first")
    if exclude:
        plan = without(plan, _bad_nodes([run]))
    backend = importlib.import_module(f"launch.backends.{plan.backend}")
    return STATUS[backend.start(run, plan, how)]


def _study(folder: Path, how: str, exclude: bool) -> int:
    """Make the runs of a study that have no result; those that have one are left alone."""
    lacking = study.unfinished(folder)
    if not lacking:
        raise Refusal(f"all runs of {folder} are finished: there is nothing to go on with")
    busy = states.going_on([run for run, _ in lacking], lacking[0][1].backend)
    idle = [(run, plan) for run, plan in lacking if run.path not in busy]
    if not idle:
        raise Refusal(f"the unfinished runs of {folder} are running: wait for their end, or end them first")
    index = read_index(folder)
    if exclude:
        hosts = _bad_nodes([RunDir(folder / entry["run"]) for entry in index["runs"]])
        idle = [(run, without(plan, hosts)) for run, plan in idle]
    print(f"{len(idle)} of the runs of {folder} are to be made", flush=True)
    return study.make(folder, idle, how, index.get("throttle"))


def _chain(folder: Path, how: str, exclude: bool) -> int:
    """Make the links of a chain that are not done; of a study in it, the runs that have no result."""
    from launch.submit import workflow

    paths = states.find([folder])
    slurm_submission.recover(map(RunDir, paths))
    known, _ = states.look(paths)
    if busy := next((one for one in known if one.state in states.UNDER_WAY), None):
        raise Refusal(f"{busy.path} is {busy.state}: wait for the end of the chain, or end it: cancel {folder}")
    hosts = _bad_nodes([RunDir(one.path) for one in known]) if exclude else None
    return workflow.make(folder, how, lambda plan: plan if hosts is None else without(plan, hosts))
