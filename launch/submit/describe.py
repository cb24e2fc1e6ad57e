"""Describes in words what is going to be done: the plan of a run, and that of a study."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from launch.plan import executable, figures, inherited, site
from launch.plan.allocation import Allocation
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.shape import runs_at_once, this_machine
from launch.plan.site import Site
from launch.plan.walltime import UNLIMITED, clock, in_words
from launch.record import cooperation
from launch.record.redact import without_secrets
from launch.record.rundir import RunDir
from launch.record.sources import Sources
from launch.record.table import aligned, on_a_line
from launch.submit import study
from launch.submit.naming import shown


def text(facts: Mapping[str, str], table: Sequence[Sequence[str]] = ()) -> str:
    """One line for each fact, and the table below them."""
    return "\n".join(
        [*(f"{name:<14} {on_a_line(value)}" for name, value in facts.items()), *(["", aligned(table)] if table else [])]
    )


def run_facts(
    planned: Plan, asked: Request, code: Sources, here: Site, why: str, run: RunDir, within: Allocation | None
) -> dict[str, str]:
    """The plan, fact by fact."""
    if planned.backend == "local":
        nodes = f"{planned.nodes} node{'s' * (planned.nodes > 1)} (groups of processes on this machine)"
    else:
        nodes = f"{planned.nodes} node{'s' * (planned.nodes > 1)}"
    return {
        "site": f"{here.name} ({why})",
        "backend": _backend([planned], asked, within),
        "shape": f"{nodes} x {planned.ranks_per_node} rank{'s' * (planned.ranks_per_node > 1)} = {planned.size} "
        f"rank{'s' * (planned.size > 1)}, {_gpus(planned)}",
        **({"container": f"{planned.container} ({planned.container_runtime})"} if planned.container else {}),
        **_program(planned),
        **planned.describe,
        **_figures(planned),
        **walltime_rows(planned, ""),
        **_hang(planned),
        **_spare([planned]),
        "code": _code(code, asked),
        **_environment(planned),
        "run": str(run.path),
        **_not_known(planned, here),
        **inherited.rows(without_secrets(planned.inherited), planned.backend),
    }


def study_facts(
    found: Sequence[study.Point],
    plans: Sequence[Plan],
    jobs: Sequence[Plan],
    asked: Request,
    code: Sources,
    here: Site,
    why: str,
    folder: Path,
    within: Allocation | None,
) -> tuple[dict[str, str], list[list[str]]]:
    """The plan of a study: what its runs share and what it costs at most, fact by fact, and a table with a row for each
    point."""
    first = plans[0]
    repeats = max(point.repeat for point in found)
    points = len(found) // repeats
    several = len({plan.nodes for plan in plans}) > 1
    least = first.stop_below
    cutoff = (
        {"stop below": f"larger points are not made once the efficiency of one is below {least:g}"} if least else {}
    )
    hours, unit = study.cost(jobs)
    cost = f"{hours:.4g} {unit} at most" if hours is not None else "not known without a limit of --time"
    whole = " each"
    if first.pack:
        cost += f" ({study.cost(plans)[0]:.4g} as a job for each run)"
        one = "smallest" if least else "largest"
        whole += (
            f", {clock(jobs[0].time_s or 0)} in all: {jobs[0].nodes} nodes, the runs one after the other, {one} first"
        )
    axes = {name for name, _ in found[0].values}
    names = [name for name in dict.fromkeys(name for plan in plans for name in plan.describe) if name not in axes]
    differing = [name for name in names if len({plan.describe.get(name) for plan in plans}) > 1]
    facts = {
        "site": f"{here.name} ({why})",
        "backend": _backend(plans, asked, within),
        "study": f"{points} point{'s' * (points > 1)} x {repeats} repeat{'s' * (repeats > 1)} = {len(found)} "
        f"run{'s' * (len(found) > 1)}" + f", {asked.scaling} scaling" * several,
        **({"container": f"{first.container} ({first.container_runtime})"} if first.container else {}),
        **_program(max(plans, key=lambda plan: plan.size)),
        **{name: first.describe[name] for name in names if name not in differing},
        **_figures(first),
        **walltime_rows(first, whole),
        **_hang(first),
        **_command(found[0], first),
        "cost": cost,
        **_spare(plans),
        **cutoff,
        "code": _code(code, asked),
        **_environment(first),
        "folder": str(folder),
        **_not_known(max(plans, key=lambda plan: plan.nodes), here),
        **inherited.rows(without_secrets(first.inherited), first.backend),
    }
    table = [["nodes", "ranks", "GPUs", *(name for name, _ in found[0].values), *differing]]
    for point, plan in zip(found, plans):
        if point.repeat == 1:
            values = [on_a_line(shown(*each)) for each in point.values]
            table.append(
                [
                    str(plan.nodes),
                    str(plan.size),
                    str(plan.nodes * plan.gpus_per_node),
                    *values,
                    *(plan.describe.get(name, "") for name in differing),
                ]
            )
    return facts, table


def _backend(plans: Sequence[Plan], asked: Request, within: Allocation | None) -> str:
    """What runs them and, unless Slurm decides that, how many at a time."""
    backend, most = plans[0].backend, asked.throttle or len(plans)
    if plans[0].is_queued:
        return backend + (f", ranks start by {plans[0].launcher}" if plans[0].launcher else "")
    if within is None:
        have = this_machine()
        at_once, most = runs_at_once(plans, asked.throttle or 1, have.gpus, have.cores), asked.throttle or 1
        own = " and ".join(["GPUs"] * bool(have.gpus) + ["cores"] * (have.cores >= at_once))
        text, each = backend, f", each on {own} of its own" if own else ""
    else:
        most = 1 if plans[0].stop_below is not None and not asked.throttle else most
        at_once = min(most, len(within.nodes) // min(plan.nodes for plan in plans))
        text, each = f"steps of {within.text}", ""
    if len(plans) == 1 and within:
        text += f", on {plans[0].nodes} of its nodes" * (plans[0].nodes < len(within.nodes))
    elif len(plans) > 1 and at_once == 1:
        text += ", one run after the other"
        text += f": there is room for no more, of {most} asked for" * ((asked.throttle or 1) > 1)
    elif len(plans) > 1:
        text += f", up to {at_once} runs side by side{each}"
    return text + "; what is under way when it ends is ended" * bool(within and asked.detach)


def _command(point: study.Point, planned: Plan) -> dict[str, str]:
    """Where the values of a point appear among the words of a program."""
    if planned.kind == "workload" or not point.values:
        return {}
    words = [Path(planned.workload).name, *without_secrets(planned.arguments)]
    return {"first command": on_a_line(shlex.join(words))}


def _program(planned: Plan) -> dict[str, str]:
    """For a program that is not a workload: what runs it, unless it decides that itself, and how its ranks
    cooperate."""
    if planned.kind == "workload":
        return {}
    rows = {}
    if planned.kind == "program":
        rows["program"] = planned.workload
        found = None if planned.container else executable.unrunnable(planned.workload)
        if found and planned.backend != "local":
            rows["on the nodes"] = f"not known; here it cannot run: {found}"
    elif planned.kind == "script" and (line := executable.other_python(planned.workload)):
        rows["python"] = f"{planned.python}; its own first line, {line}, is followed where -- stands before the script"
    if ranks := cooperation.expected(planned):
        rows["ranks"] = ranks
    return rows


def _figures(planned: Plan) -> dict[str, str]:
    """The figures that are read from the program's output."""
    words = []
    for name, figure in planned.fom.items():
        how = [figure["kind"], figure.get("unit", ""), take if (take := figures.take(figure)) != "last" else ""]
        of = (
            "over all ranks"
            if figure.get("ranks") == "all"
            else f"of rank {figure['ranks']}"
            if "ranks" in figure
            else ""
        )
        words.append(f"{name} ({', '.join(filter(None, [*how, of]))})")
    return {"figures": "; ".join(words)} if words else {}


def _environment(planned: Plan) -> dict[str, str]:
    """The part of Python's environment that is staged."""
    if planned.staged is None:
        return {}
    from launch.record import packed

    return {"environment": packed.described(planned.staged)}


def _code(code: Sources, asked: Request) -> str:
    """Which code the ranks run."""
    parts = []
    copied = asked.snapshot and code.copied
    for tree in code.trees:
        size = sum(tree.sizes().values()) / 2**20
        commit = [f"commit {tree.commit[:8]}"] if tree.commit else []
        facts = [f"{len(tree.files)} file{'s' * (len(tree.files) != 1)}", f"{size:.3g} MiB"] if copied else []
        parts.append(", ".join([tree.what, *facts, *commit, *tree.notes]))
    how = "a snapshot of " if copied and parts else "as it is at the time, without a snapshot: "
    return how * bool(parts) + "; ".join([*parts, *code.notes])


def walltime_rows(planned: Plan, whole: str) -> dict[str, str]:
    """How long a run may take, and how the ranks learn that the time is over. ``whole`` says what the time covers."""
    if planned.time_s == UNLIMITED:
        return {"walltime": "unlimited"}
    time = f"{clock(planned.time_s)}{whole}" if planned.time_s else "none given"
    if not planned.time_s and planned.backend == "local":
        return {"walltime": time}
    if not planned.time_s and planned.backend == "allocation":
        time = "none given, so what is left of the job"
    warning = f"SIGUSR2 to all ranks, {planned.warning_s} s before the walltime is over"
    none = "only to a program that asks (rankloop.stop_requested()); --warn SECONDS sends SIGUSR2 to all ranks"
    return {
        "walltime": time + ", so the partition's own" * (not planned.time_s and planned.is_queued),
        "warning": warning if planned.warning_s else none,
    }


def _spare(plans: Sequence[Plan]) -> dict[str, str]:
    """The nodes of a job in addition to those of its ranks, and what they cost."""
    spare = plans[0].spare_nodes
    if not spare:
        return {}
    hours, unit = study.cost(plans)
    without, _ = study.cost([dataclasses.replace(plan, spare_nodes=0) for plan in plans])
    cost = f", {hours:.4g} {unit} at most with them, {without:.4g} without" if hours and without else ""
    return {"spare nodes": f"{spare} more in each job, for the attempts after one that a node has ended{cost}"}


def _hang(planned: Plan) -> dict[str, str]:
    """After which time a run counts as hung, and what then happens to it."""
    if not planned.hang_s:
        return {}
    more = planned.max_attempts > 1
    then = f"is started again, {planned.max_attempts} attempts in all" if more else "has failed"
    return {"hang timeout": f"{in_words(planned.hang_s)} without a step or other sign of life, and it {then}"}


def _gpus(planned: Plan) -> str:
    """The GPUs of a node, and how they are divided if not one per rank."""
    gpus, each = planned.gpus_per_node, planned.gpus_per_rank
    if not gpus:
        return "GPUs as sbatch's options say" if _by_sbatch(planned) else "no GPUs"
    idle = gpus - each * planned.ranks_per_node
    return (
        f"{gpus} GPU{'s' * (gpus > 1)} per node"
        + f", {each} for each rank" * (each > 1)
        + ", which trains on one of them"
        * (each > 1 and planned.kind == "workload" and "--strategy=mirrored" not in planned.entry)
        + f", {idle} of them idle" * (idle > 0)
    )


def _by_sbatch(planned: Plan) -> bool:
    return bool(planned.is_queued and planned.sbatch_args and planned.gpu_binding != "none")


def _not_known(planned: Plan, here: Site) -> dict[str, str]:
    """What neither the site file nor the request says."""
    filled = dataclasses.replace(
        here,
        backend=planned.backend,
        partition=planned.partition,
        qos=planned.qos,
        gpus_per_node=here.gpus_per_node or planned.gpus_per_node or None,
        cpus_per_node=here.cpus_per_node or planned.cpus_per_task,
        # Within a node Gloo needs no interface.
        rendezvous=planned.rendezvous if planned.nodes > 1 else "mpi",
    )
    open_ = site.unknown(filled)
    return {"not known": ", ".join(open_)} if open_ else {}
