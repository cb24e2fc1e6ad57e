"""Describes in words the parts of a plan that a run and a study have in common."""

import dataclasses
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from launch.plan import figures, site
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.site import Site
from launch.plan.walltime import UNLIMITED, clock, in_words
from launch.record.code.sources import Sources
from launch.submit.study import planning

_ASKS_FOR_GPUS = re.compile(r"-[Gg]|--gpus|--gres(=.*gpu|$)|--tres-per-task(=.*gpu|$)|.*ngpus=")
"""Options of sbatch, flux batch and qsub; what follows ``--gres`` as a word of its own is not looked at."""


def program(planned: Plan) -> dict[str, str]:
    """Return what runs a program that is not a workload, unless it decides that itself, and how its ranks cooperate."""
    if planned.kind == "workload":
        return {}
    from launch.plan.target import executable, imports  # imported late, as a workload needs neither
    from launch.record import cooperation

    rows = {}
    if planned.kind == "program":
        rows["program"] = planned.workload
        found = None if planned.container else executable.unrunnable(planned.workload)
        if found and planned.backend != "local":
            rows["on the nodes"] = f"not known; here it cannot run: {found}"
    elif planned.kind == "script" and not planned.container and (lacking := imports.missing(planned.workload)):
        rows["not installed"] = (
            f"{', '.join(lacking)}, which {Path(planned.workload).name} imports, for {planned.python}: install "
            f"{'it' if len(lacking) == 1 else 'them'} there, or start the rankloop that is installed beside "
            f"{'it' if len(lacking) == 1 else 'them'}" + ", unless the job brings it" * (planned.backend != "local")
        )
    if planned.kind == "script" and (line := executable.other_python(planned.workload)):
        rows["python"] = f"{planned.python}; its own first line, {line}, is followed if you put -- before the script"
    if ranks := cooperation.expected(planned):
        rows["ranks"] = ranks
    if _input_waits():
        rows["input"] = (
            "what standard input holds does not reach the ranks: give the file as an argument, or run "
            "-- sh -c 'PROGRAM < FILE'"
        )
    return rows


def _input_waits() -> bool:
    """Return whether there is something to read in standard input, which is a file or a pipe."""
    try:
        status = os.fstat(0)
        if stat.S_ISREG(status.st_mode):
            return os.lseek(0, 0, os.SEEK_CUR) < status.st_size
        if not stat.S_ISFIFO(status.st_mode):
            return False
        import fcntl
        import termios

        return any(fcntl.ioctl(0, termios.FIONREAD, bytes(4)))
    except OSError:  # it is closed
        return False


def figures_of(planned: Plan) -> dict[str, str]:
    """Return the figures that are read from the program's output."""
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


def environment(planned: Plan) -> dict[str, str]:
    """Return the part of Python's environment that is staged."""
    if planned.staged is None:
        return {}
    from launch.record import packed

    return {"environment": packed.described(planned.staged)}


def code_of(code: Sources, asked: Request) -> str:
    """Return which code the ranks run."""
    parts = []
    copied = asked.snapshot and code.copied
    for tree in code.trees:
        size = sum(tree.sizes().values()) / 2**20
        commit = [f"commit {tree.commit[:8]}"] if tree.commit else []
        facts = [f"{len(tree.files)} file{'s' * (len(tree.files) != 1)}", f"{size:.3g} MiB"] if copied else []
        parts.append(", ".join([tree.what, *facts, *commit, *tree.notes]))
    how = "a snapshot of " if copied and parts else "as it is when the run starts, without a snapshot: "
    return how * bool(parts) + "; ".join([*parts, *code.notes])


def walltime_rows(planned: Plan, whole: str) -> dict[str, str]:
    """Return how long a run may take, and how the ranks learn that the time is over. ``whole`` says what the time
    covers."""
    if planned.time_s == UNLIMITED:
        return {"walltime": "unlimited"}
    time = f"{clock(planned.time_s)}{whole}" if planned.time_s else "none given"
    if not planned.time_s and planned.backend == "local":
        return {"walltime": time}
    if not planned.time_s and planned.backend == "allocation":
        time = "none given, so what is left of the job"
    warning = f"SIGUSR2 to all ranks, {planned.warning_s} s before the walltime is over"
    none = "only a program that asks is told (rankloop.stop_requested()); --warn SECONDS sends SIGUSR2 to all ranks"
    return {
        "walltime": time + ", so the partition's own" * (not planned.time_s and planned.is_queued),
        "stop signal": warning if planned.warning_s else none,
    }


def spare(plans: Sequence[Plan]) -> dict[str, str]:
    """Return the nodes of a job in addition to those of its ranks, and what they cost."""
    spare = plans[0].spare_nodes
    if not spare:
        return {}
    hours, unit = planning.cost(plans)
    without, _ = planning.cost([dataclasses.replace(plan, spare_nodes=0) for plan in plans])
    cost = f", {hours:.4g} {unit} at most with them, {without:.4g} without" if hours and without else ""
    return {"spare nodes": f"{spare} more in each job, for attempts that follow the failure of a node{cost}"}


def hang(planned: Plan) -> dict[str, str]:
    """Return the time after which a run counts as hung, and what then happens to it."""
    if not planned.hang_s:
        return {}
    more = planned.max_attempts > 1
    then = f"is started again, {planned.max_attempts} attempts in all" if more else "has failed"
    return {"hang timeout": f"{in_words(planned.hang_s)} without a step or another sign of life, then it {then}"}


def gpus(planned: Plan) -> str:
    """Return the GPUs of a node, and how they are divided if not one per rank."""
    gpus, each = planned.gpus_per_node, planned.gpus_per_rank
    if not gpus:
        return "GPUs by the options for sbatch" if _by_sbatch(planned) else "no GPUs"
    idle = gpus - each * planned.ranks_per_node
    return (
        f"{gpus} GPU{'s' * (gpus > 1)} per node"
        + f", {each} for each rank" * (each > 1)
        + ", which trains on one of them"
        * (each > 1 and planned.kind == "workload" and "--strategy=mirrored" not in planned.entry)
        + f", {idle} of them idle" * (idle > 0)
    )


def _by_sbatch(planned: Plan) -> bool:
    asked = any(map(_ASKS_FOR_GPUS.match, planned.sbatch_args))
    return planned.is_queued and asked and planned.gpu_binding != "none"


def not_known(planned: Plan, here: Site) -> dict[str, str]:
    """Return what neither the site file nor the request says."""
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
