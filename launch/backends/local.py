"""Ranks as processes of this machine: the nodes of a run are groups of them."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from launch.backends import rank_command, supervise
from launch.backends.processes import mpirun
from launch.backends.supervise import Interrupted, execute
from launch.cli import doctor
from launch.plan.plan import Plan
from launch.record import diagnose
from launch.record.progress import Progress, closing
from launch.record.rundir import RunDir
from launch.submit import cutoff

STARTING_S = 60.0  # that a detached launcher may take until it holds its lock


def start(run: RunDir, plan: Plan, how: str) -> str:
    """Start a run and, unless ``how`` is "detach", stay until it ends: with progress ("follow") or without ("wait").

    Returns
    -------
    str
        "done", "stopped", "failed" or "refused" (by a rank, as bad input); "done" at once when detached.
    """
    run.append_event("submitted", backend="local", command=sys.orig_argv)
    if how == "detach":
        run.logs.mkdir(exist_ok=True)
        with open(run.job_log, "ab") as log:
            command = [sys.executable, "-m", supervise.__name__, str(run.path)]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        print(f"started as process {process.pid}; its output goes to {run.logs}")
        return "done"
    show = Progress(run, plan) if how == "follow" else None
    try:
        outcome = execute(run, plan, show or (lambda: None))
    except Interrupted:
        print(closing(run, plan, "interrupted"), flush=True)
        raise
    finally:
        if show:
            show.close()
    print(closing(run, plan, outcome), flush=True)
    return diagnose.named(run, outcome)


def check(plan: Plan) -> None:
    """Refuse what this machine cannot run."""
    if plan.rendezvous == "mpi" and plan.size > 1:
        mpirun(plan)
    rank_command.refuse_absent(plan)
    if plan.kind == "workload" and plan.container is None:
        doctor.refuse_without(["tensorflow", "keras", *(["horovod"] if plan.size > 1 else [])])


def preview(run: RunDir, plan: Plan) -> str:
    """What would be done."""
    command = shlex.join(
        [*(mpirun(plan) if plan.rendezvous == "mpi" else []), *rank_command.words(plan), str(run.path)]
    )
    return f"\n{plan.size} processes would be started on this machine, each as\n  {command}"


def start_many(folder: Path, runs: Sequence[tuple[RunDir, Plan]], how: str, throttle: int | None) -> dict[str, str]:
    """Make the runs of a study, one after the other: they would disturb each other's times.

    Returns
    -------
    dict of str to str
        The outcome of each run, by its name; none when detached.

    Raises
    ------
    KeyboardInterrupt
        If the user asked for the end.
    """
    if how == "detach":
        in_background(folder, folder / "study.log")
        return {}
    outcomes = {}
    for number, (run, plan) in enumerate(runs, 1):
        if cutoff.cut(run, plan):
            continue
        print(f"\n[{number}/{len(runs)}] {run.path.name}", flush=True)
        outcomes[run.path.name] = start(run, plan, how)
    return outcomes


def in_background(folder: Path, log_file: Path) -> None:
    """Go on with a study or chain in a process that outlives this one."""
    with open(log_file, "ab") as log:
        command = [sys.executable, "-m", "launch", "resume", str(folder), "--wait"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    print(f"started as process {process.pid}; its output goes to {log_file}")
