"""Describes in words what is going to be done: the plan of a run, and that of a study."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from launch.plan import inherited
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.shape import runs_at_once, this_machine
from launch.plan.site import Site
from launch.plan.walltime import clock
from launch.plan.within.allocation import Allocation
from launch.record.code.sources import Sources
from launch.record.redact import without_secrets
from launch.record.rundir import RunDir
from launch.record.table import aligned, on_a_line
from launch.submit.describe_parts import (
    code_of,
    environment,
    figures_of,
    gpus,
    hang,
    not_known,
    program,
    spare,
    walltime_rows,
)
from launch.submit.study import planning
from launch.submit.study.naming import shown


def text(facts: Mapping[str, str], table: Sequence[Sequence[str]] = ()) -> str:
    """Return one line for each fact, and the table below them."""
    return "\n".join(
        [*(f"{name:<14} {on_a_line(value)}" for name, value in facts.items()), *(["", aligned(table)] if table else [])]
    )


def run_facts(
    planned: Plan, asked: Request, code: Sources, here: Site, why: str, run: RunDir, within: Allocation | None
) -> dict[str, str]:
    """Return the plan, fact by fact."""
    hours, unit = planning.cost([planned])
    if planned.backend == "local":
        nodes = f"{planned.nodes} node{'s' * (planned.nodes > 1)} (groups of processes on this machine)"
    else:
        nodes = f"{planned.nodes} node{'s' * (planned.nodes > 1)}"
    return {
        "site": f"{here.name} ({why})",
        "backend": _backend([planned], asked, within),
        "shape": f"{nodes} x {planned.ranks_per_node} rank{'s' * (planned.ranks_per_node > 1)} = {planned.size} "
        f"rank{'s' * (planned.size > 1)}, {gpus(planned)}",
        **({"container": f"{planned.container} ({planned.container_runtime})"} if planned.container else {}),
        **program(planned),
        **planned.describe,
        **figures_of(planned),
        **walltime_rows(planned, ""),
        **hang(planned),
        **({"cost": f"{hours:.4g} {unit} at most"} if hours is not None and planned.is_queued else {}),
        **spare([planned]),
        "code": code_of(code, asked),
        **environment(planned),
        "run": str(run.path),
        **not_known(planned, here),
        **inherited.rows(without_secrets(planned.inherited), planned.backend),
    }


def study_facts(
    found: Sequence[planning.Point],
    plans: Sequence[Plan],
    jobs: Sequence[Plan],
    asked: Request,
    code: Sources,
    here: Site,
    why: str,
    folder: Path,
    within: Allocation | None,
) -> tuple[dict[str, str], list[list[str]]]:
    """Return the plan of a study: what its runs share and what it costs at most, fact by fact, and a table with a row
    for each point."""
    first = plans[0]
    repeats = max(point.repeat for point in found)
    points = len(found) // repeats
    several = len({plan.nodes for plan in plans}) > 1
    least = first.stop_below
    cutoff = {"stop below": f"larger points are skipped once the efficiency of one is below {least:g}"} if least else {}
    hours, unit = planning.cost(jobs)
    cost = f"{hours:.4g} {unit} at most" if hours is not None else "not known without a limit of --time"
    whole = " each"
    if first.pack:
        cost += f" ({planning.cost(plans)[0]:.4g} as a job for each run)"
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
        **program(max(plans, key=lambda plan: plan.size)),
        **{name: first.describe[name] for name in names if name not in differing},
        **figures_of(first),
        **walltime_rows(first, whole),
        **hang(first),
        **_command(found[0], plans),
        "cost": cost,
        **spare(plans),
        **cutoff,
        "code": code_of(code, asked),
        **environment(first),
        "folder": str(folder),
        **not_known(max(plans, key=lambda plan: plan.nodes), here),
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
    """Return what runs the plans and, unless Slurm decides that, how many of them at a time."""
    backend, most = plans[0].backend, asked.throttle or len(plans)
    if plans[0].is_queued:
        limit = f", up to {asked.throttle} run{'s' * (most > 1)} at a time" if asked.throttle and len(plans) > 1 else ""
        return backend + limit + (f", ranks start by {plans[0].launcher}" if plans[0].launcher else "")
    if within is None:
        have = this_machine()
        at_once, most = runs_at_once(plans, asked.throttle or 1, have.gpus, have.cores), asked.throttle or 1
        own = " and ".join(["GPUs"] * bool(have.gpus) + ["cores"] * (have.cores >= at_once))
        text, each = backend, f", each on {own} of its own" if own else ""
    else:
        most = 1 if plans[0].stop_below is not None and not asked.throttle else most
        at_once = min(most, len(within.nodes) // min(plan.nodes for plan in plans))
        by = f", ranks start by {plans[0].launcher}" if plans[0].launcher else ""
        text, each = f"steps of {within.text}{by}", ""
    if len(plans) == 1 and within:
        text += f", on {plans[0].nodes} of its nodes" * (plans[0].nodes < len(within.nodes))
    elif len(plans) > 1 and at_once == 1:
        text += ", one run after the other"
        text += f": there is room for no more, of {most} asked for" * ((asked.throttle or 1) > 1)
    elif len(plans) > 1:
        text += f", up to {at_once} runs side by side{each}"
    return text + "; what is under way when it ends is ended" * bool(within and asked.detach)


def _command(point: planning.Point, plans: Sequence[Plan]) -> dict[str, str]:
    """Return where the values of a point appear among the words of a program."""
    first = plans[0]
    if first.kind == "workload" or not point.values and all(plan.arguments == first.arguments for plan in plans):
        return {}
    words = [Path(first.workload).name, *without_secrets(first.arguments)]
    return {"first command": on_a_line(shlex.join(words))}
