"""What is going to be done, in words: the plan of a run, and that of a study."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from launch.plan import executable, figures, inherited, site
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.site import Site
from launch.plan.walltime import UNLIMITED, clock
from launch.record import cooperation
from launch.record.redact import without_secrets
from launch.record.rundir import RunDir
from launch.record.sources import Sources
from launch.record.table import aligned, on_a_line
from launch.submit import study
from launch.submit.naming import shown


def text(facts: Mapping[str, str], table: Sequence[Sequence[str]] = ()) -> str:
    """A line for each fact, and the table below them."""
    return "\n".join(
        [*(f"{name:<14} {on_a_line(value)}" for name, value in facts.items()), *(["", aligned(table)] if table else [])]
    )


def run_facts(planned: Plan, asked: Request, code: Sources, here: Site, why: str, run: RunDir) -> dict[str, str]:
    """The plan, fact by fact."""
    if planned.backend == "local":
        nodes = f"{planned.nodes} node{'s' * (planned.nodes > 1)} (groups of processes on this machine)"
    else:
        nodes = f"{planned.nodes} node{'s' * (planned.nodes > 1)}"
    return {
        "site": f"{here.name} ({why})",
        "backend": planned.backend,
        "shape": f"{nodes} x {planned.ranks_per_node} rank{'s' * (planned.ranks_per_node > 1)} = {planned.size} "
        f"rank{'s' * (planned.size > 1)}, {_gpus(planned)}",
        **({"container": f"{planned.container} ({planned.container_runtime})"} if planned.container else {}),
        **_program(planned),
        **planned.describe,
        **_figures(planned),
        **walltime_rows(planned, ""),
        "code": _code(code, asked),
        "run": str(run.path),
        **_not_known(planned, here),
        **inherited.rows(without_secrets(planned.inherited), planned.backend == "slurm"),
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
        "backend": first.backend + " (one run after the other)" * (first.backend == "local"),
        "study": f"{points} point{'s' * (points > 1)} x {repeats} repeat{'s' * (repeats > 1)} = {len(found)} "
        f"run{'s' * (len(found) > 1)}" + f", {asked.scaling} scaling" * several,
        **({"container": f"{first.container} ({first.container_runtime})"} if first.container else {}),
        **_program(max(plans, key=lambda plan: plan.size)),
        **{name: first.describe[name] for name in names if name not in differing},
        **_figures(first),
        **walltime_rows(first, whole),
        **_command(found[0], first),
        "cost": cost,
        **cutoff,
        "code": _code(code, asked),
        "folder": str(folder),
        **_not_known(max(plans, key=lambda plan: plan.nodes), here),
        **inherited.rows(without_secrets(first.inherited), first.backend == "slurm"),
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


def _command(point: study.Point, planned: Plan) -> dict[str, str]:
    """Where the values of a point stand among the words of a program."""
    if planned.kind == "workload" or not point.values:
        return {}
    words = [Path(planned.workload).name, *without_secrets(planned.arguments)]
    return {"first command": on_a_line(shlex.join(words))}


def _program(planned: Plan) -> dict[str, str]:
    """Of a program that is no workload: by what it is run where that is not its own choice, and what makes its ranks
    cooperate."""
    if planned.kind == "workload":
        return {}
    rows = {}
    if planned.kind == "program":
        rows["program"] = planned.workload
        found = None if planned.container else executable.unrunnable(planned.workload)
        if found and planned.backend == "slurm":
            rows["on the nodes"] = f"not known; here it cannot run: {found}"
    elif planned.kind == "script" and (line := executable.other_python(planned.workload)):
        rows["python"] = f"{planned.python}; its own first line, {line}, is followed where -- stands before the script"
    if ranks := cooperation.expected(planned):
        rows["ranks"] = ranks
    return rows


def _figures(planned: Plan) -> dict[str, str]:
    """What is looked for in what the program prints."""
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
    """How long a run may take, ``whole`` saying of what that is the time, and how the ranks learn that it is over."""
    if planned.time_s == UNLIMITED:
        return {"walltime": "unlimited"}
    time = f"{clock(planned.time_s)}{whole}" if planned.time_s else "none given"
    if not planned.time_s and planned.backend == "local":
        return {"walltime": time}
    warning = f"SIGUSR2 to all ranks, {planned.warning_s} s before the walltime is over"
    none = "only to a program that asks (rankloop.stop_requested()); --warn SECONDS sends SIGUSR2 to all ranks"
    return {
        "walltime": time + ", so the partition's own" * (not planned.time_s),
        "warning": warning if planned.warning_s else none,
    }


def _gpus(planned: Plan) -> str:
    """The GPUs of a node, and how they are divided where it is not one for each rank."""
    gpus, each = planned.gpus_per_node, planned.gpus_per_rank
    if not gpus:
        return "GPUs as sbatch's options say" if planned.sbatch_args and planned.gpu_binding != "none" else "no GPUs"
    idle = gpus - each * planned.ranks_per_node
    return (
        f"{gpus} GPU{'s' * (gpus > 1)} per node"
        + f", {each} for each rank" * (each > 1)
        + ", which trains on one of them"
        * (each > 1 and planned.kind == "workload" and "--strategy=mirrored" not in planned.entry)
        + f", {idle} of them idle" * (idle > 0)
    )


def _not_known(planned: Plan, here: Site) -> dict[str, str]:
    """What neither the site's file nor the request says."""
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
