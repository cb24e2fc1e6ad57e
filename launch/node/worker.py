"""A rank's first and last lines:   launch.node.worker RUN [NOTE]

The worker finds out which rank it is, takes its GPU, meets the other ranks, and then runs the program, in the same
process if that is Python. If it is given the name of a note in meeting/, it first waits for the note's content: the
number of the attempt, or 0 if none is to be made. If the program fails, the worker records that in the run directory
before its end makes other ranks fail.
"""

import contextlib
import faulthandler
import fcntl
import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from launch import INSIDE
from launch.errors import Refusal
from launch.node import failure, own_run, pinning, sampling, stop
from launch.node.meeting import frameworks, gloo, rendezvous, world
from launch.node.program import python
from launch.node.program.copies import Copies
from launch.node.rank import Rank, environment, from_environment, rank_number
from launch.node.waiting import until
from launch.plan.plan import Plan
from launch.record.code import snapshot
from launch.record.rundir import RunDir

LEAVING_S = 5  # seconds for what a failed program still does in its exit handlers and threads


def main(argv: list[str]) -> int:
    """Run one rank of a run; return its exit status."""
    run = RunDir.open(argv[0])
    plan = run.plan()
    faulthandler.enable()
    _keep_environment()
    if plan.backend == "local":
        stop.die_with(os.getppid())  # under mpirun; the launcher has already bound a rank that it started itself
    if client := os.environ.pop("LAUNCH_CLIENT", ""):  # id of Podman's client process
        stop.end_after(int(client))
    ours = plan.kind == "workload"
    if ours:
        stop.install(note=False)
    elif plan.ignores_warning:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    attempt = _begun(run.meeting / argv[1]) if argv[1:] else run.attempts()
    if argv[1:] and not attempt:
        return 0
    rank = Rank(rank=rank_number())
    begun, own = False, os.getpid()  # a process that the program forks comes back here too, and is not the rank
    try:
        rank = who(plan)
        if plan.hang_s:
            from launch.node.hang import pulse, watching

            pulse.show(python=plan.kind != "program")
        copies = Copies(snapshot.copies(run))
        here = _prepare(run, plan, rank, attempt, copies)
        sampling.beside(run, plan, rank, attempt, here)
        if plan.hang_s:
            watching.beside(run, plan, rank, attempt, here)
        if plan.interconnect or plan.require_network:
            from launch.node import network

            os.environ.update(network.beside(run, plan, rank, attempt))
        os.environ.update(rendezvous.meet(plan, rank, run.meeting, attempt, plan.patience_s))
        if not ours:
            os.environ.update(frameworks.variables(rank))
            frameworks.set_tf_config(plan, rank, run.meeting, attempt, plan.patience_s)
        gloo.start_together(plan.patience_s)
        if rank.is_chief:
            gloo.note(run, attempt)
        if plan.backend == "allocation" and rank.is_chief:  # the launcher may be on another machine
            from launch.record import environment

            environment.note(run, attempt)
        if plan.container and rank.is_chief:
            from launch.record import environment

            environment.add_image(run, attempt)
        frameworks.known_to_jax()
        begun = True
        # Each rank's stdout is a pipe, to which Python would write in blocks of 8 KB; nobody would see a line before
        # that.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)
        if plan.kind == "program":
            _run_child(run, plan, rank, attempt)
        else:
            python.run(list(plan.entry), plan.cwd, ours, copies)
            if os.getpid() == own:
                world.note(run, rank, attempt)
    except SystemExit as ending:
        if os.getpid() != own:
            raise
        world.note(run, rank, attempt)
        # Nothing is imported from here on: what would be found is the program's own.
        status = ending.code & 0xFF if isinstance(ending.code, int) else int(ending.code is not None)
        if status == stop.STOPPED and (plan.handles_warning or run.handles_warning.exists()):
            # The first rank to leave makes srun end the others; that signal must not replace their own way of ending.
            for number in (signal.SIGTERM, signal.SIGUSR2):
                signal.signal(number, signal.SIG_IGN)
        elif status:
            why = "" if isinstance(ending.code, int) else f": {_text(ending.code)}"
            failure.note(run, rank, attempt, f"exit status {status}{why}")
            if ours and why:
                print(ending.code, file=sys.stderr)
            _leave(status, ours)
        raise  # Python prints the rest
    except BaseException as error:
        refused = isinstance(error, Refusal)  # the message of a refusal is enough
        trace = python.without_ours(error.__traceback__)
        lines = "" if refused else python.printed(error, trace)
        name, said = type(error).__name__, _text(error)
        text = said if refused else f"{name}: {said}" if said else name
        if os.getpid() == own:
            failure.note(run, rank, attempt, text, lines, refused=begun and refused)
        if refused:
            print(text, file=sys.stderr)
        else:
            sys.excepthook(type(error), error.with_traceback(trace), trace)
        if os.getpid() == own:
            _leave(1, ours)
        return 1
    return 0


def _begun(note: Path) -> int:
    """Return the number of the attempt, once it has begun; 0 if it is not to be made."""

    def whole() -> bytes:
        with contextlib.suppress(FileNotFoundError):
            said = note.read_bytes()
            return said if said.endswith(b"\n") else b""
        return b""

    return int(until(whole, float("inf")))


def _keep_environment() -> None:
    """Protect the node's own copy of the environment from removal for as long as this process lives."""
    if staged := os.environ.get("LAUNCH_STAGED"):
        with contextlib.suppress(OSError):  # a disk without locks
            fcntl.flock(os.open(f"{staged}.lock", os.O_RDONLY), fcntl.LOCK_SH)


def _run_child(run: RunDir, plan: Plan, rank: Rank, attempt: int) -> None:
    """Run a program that is not Python; if a signal ends it, the same signal ends this process."""
    from launch.node.program import child

    alone = plan.backend == "local" and "OMPI_COMM_WORLD_RANK" not in os.environ
    try:
        child.run(list(plan.entry), plan.cwd, alone)
    except child.Ended as ending:
        if not ending.asked:
            failure.note(run, rank, attempt, str(ending))
        sampling.leave(wait=False)
        child.end_by(ending.number)


def who(plan: Plan) -> Rank:
    """Return this process's rank, as given by its starter, and its place on the nodes of the plan.

    Raises
    ------
    Refusal
        If the number of ranks started is not the planned one.
    """
    rank = from_environment()
    if rank.size != plan.size:
        raise Refusal(
            f"{rank.size} ranks were started (so says {rank.source}), and the plan has {plan.size}: "
            + (
                "give srun the right --mpi plugin (mpi in the site file)"
                if rank.size == 1
                else "start them with rankloop"
            )
        )
    if plan.backend == "local" and rank.source == "openmpi":
        # mpirun sees all ranks on one node; the plan says which of its nodes they stand for.
        node, local_rank = divmod(rank.rank, plan.ranks_per_node)
        rank = Rank(rank.rank, rank.size, local_rank, plan.ranks_per_node, node, plan.nodes, rank.source)
    return rank


def _prepare(run: RunDir, plan: Plan, rank: Rank, attempt: int, copies: Copies) -> list[dict[str, Any]]:
    """Set the environment, take the GPU; return the ranks of this node."""
    last = {event["event"]: event["time"] for event in run.events()}
    own_run.begun(run)
    os.environ.update(environment(rank))
    os.environ.update(
        LAUNCH_RUN=str(run.path),
        LAUNCH_ATTEMPT=str(attempt),
        LAUNCH_SEED=str(plan.seed),
        LAUNCH_STARTED=str(last.get("started", time.time())),
        LAUNCH_SUBMITTED=str(last.get("submitted", "")),
    )
    if plan.kind != "workload":
        os.environ.update(_for_programs(run, plan, rank, copies))
    own = pinning.pin(plan, rank)
    return pinning.compare(plan, rank, own, run.meeting, attempt, plan.patience_s)


def _for_programs(run: RunDir, plan: Plan, rank: Rank, copies: Copies) -> dict[str, str]:
    """Return the variables with which a program, and processes that it starts, can import rankloop, record steps and
    stop in time."""
    said = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*(copies.path(said.split(os.pathsep)) if said else []), INSIDE])
    leave = {}
    if plan.time_s:  # when Slurm would warn of it
        before = min(plan.signal_s, plan.time_s // 2)
        leave = {"LAUNCH_LEAVE_AT": str(float(os.environ["LAUNCH_STARTED"]) + plan.time_s - before)}
    steps = {"LAUNCH_STEPS": str(run.rank_steps(rank.rank))}
    return {"PYTHONPATH": path, **steps, **leave}


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # Python itself reports it too
        return "<exception str() failed>"


def _leave(status: int, ours: bool) -> None:
    """Make sure that a failed rank ends, because all others wait for it."""
    sampling.leave(wait=False)
    if ours:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    # A program's exit handlers run as under Python. But its threads, or MPI's finalisation, may never end.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    signal.alarm(LEAVING_S)
