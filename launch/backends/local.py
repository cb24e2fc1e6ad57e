"""Ranks as processes of this machine: the nodes of a run are groups of them."""

import contextlib
import fcntl
import os
import re
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from launch import attempt, stop
from launch.errors import Refusal
from launch.plan import Plan
from launch.progress import Progress, closing
from launch.rank import Rank, environment
from launch.rundir import RunDir, append_line, read_json, read_lines

GRACE_S = 60.0  # for ranks that were asked to save and leave
FAILED_GRACE_S = 3.0  # for the others when one has failed: what they wait for will not come
_TAG = re.compile(r"\[\d+,(\d+)\]<std(?:out|err)>: ?")  # what mpirun puts before the lines of a rank


class Interrupted(Exception):
    """The user asked for the end of the run; the ranks have ended."""


def execute(run: RunDir, plan: Plan, tick: Callable[[], None]) -> str:
    """Make an attempt, from the start of the ranks to the end of the last.

    Parameters
    ----------
    run : RunDir
        Of the run, with its run.json.
    plan : Plan
        The content of that.
    tick : function
        Called some times a second, to show progress.

    Returns
    -------
    str
        "done", "stopped" (there is a checkpoint) or "failed".

    Raises
    ------
    Interrupted
        If a SIGINT, SIGTERM or SIGHUP came; no rank is left, and the run can be resumed.
    Refusal
        If the run is running already, or mpirun is needed and absent.
    """
    with _only_one(run), _Signals() as signals:
        number = attempt.begin(run)
        ranks = _Ranks(run, plan, number)
        try:
            status = _supervise(ranks, plan, signals, tick)
        finally:
            ranks.kill()
        outcome = attempt.end(run, status)
    if signals.count and outcome != "done":
        raise Interrupted
    return outcome


def start(run: RunDir, plan: Plan, how: str) -> str:
    """Start a run and, unless ``how`` is "detach", stay until it ends: with progress ("follow") or without ("wait").

    Returns
    -------
    str
        "done", "stopped" or "failed"; "done" at once when detached.
    """
    run.append_event("submitted", backend="local", command=sys.orig_argv)
    if how == "detach":
        with open(run.job_log, "ab") as log:
            command = [sys.executable, "-m", __spec__.name, str(run.path)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        print(f"started as process {process.pid}; its output goes to {run.logs}")
        return "done"
    show = Progress(run, plan) if how == "follow" else None
    try:
        outcome = execute(run, plan, show or (lambda: None))
    finally:
        if show:
            show.close()
    print(closing(run, plan, outcome), flush=True)
    return outcome


def preview(run: RunDir, plan: Plan) -> str:
    """What would be done."""
    command = shlex.join([*(_mpirun(plan) if plan.rendezvous == "mpi" else []), plan.python, "-m", "launch.worker", str(run.path)])
    return f"\n{plan.size} processes would be started on this machine, each as\n  {command}"


def is_running(run: RunDir) -> bool:
    """Whether a launcher on this machine is at work on a run."""
    try:
        with _only_one(run):
            return False
    except Refusal:
        return True


class _Ranks:
    """The processes of an attempt: one a rank, or one mpirun for all."""

    def __init__(self, run: RunDir, plan: Plan, number: int) -> None:
        self.run, self.plan, self.number = run, plan, number
        self.first_bad: int | None = None  # status of the first that failed
        self._selector = selectors.DefaultSelector()
        self._rest: dict[int, bytes] = {}  # of the last line of a rank, not yet ended by a newline
        self._asked_to_end = False
        self._logs = [open(run.node_log(node), "ab", buffering=0) for node in range(plan.nodes)]
        command = [plan.python, "-m", "launch.worker", str(run.path)]
        base = _environment(plan)
        if plan.rendezvous == "mpi" and plan.size > 1:
            self._processes = {-1: self._start(-1, [*_mpirun(plan), *command], base)}
        else:
            self._processes = {
                rank: self._start(rank, command, base | environment(Rank(rank, plan.size, local_rank, plan.ranks_per_node, node, plan.nodes)))
                for rank in range(plan.size)
                for node, local_rank in [divmod(rank, plan.ranks_per_node)]
            }

    def _start(self, rank: int, command: list[str], env: dict[str, str]) -> subprocess.Popen:
        process = subprocess.Popen(
            command, env=env, cwd=self.plan.cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, rank)
        return process

    def poll(self, timeout: float) -> bool:
        """Pass on what the ranks print and look who has ended; True while any is alive."""
        for key, _ in self._selector.select(timeout):
            self._read(key.data, key.fileobj)
        for rank, process in list(self._processes.items()):
            if process.poll() is None:
                continue
            self._read(rank, process.stdout)
            self._ended(rank, process.returncode)
            with contextlib.suppress(KeyError):
                self._selector.unregister(process.stdout)
            process.stdout.close()
            del self._processes[rank]
        return bool(self._processes)

    def send(self, number: int) -> None:
        """Ask all to end."""
        self._asked_to_end = True
        for process in self._processes.values():
            # mpirun ends its ranks at once on a SIGTERM; SIGUSR2 it passes on.
            process.send_signal(signal.SIGUSR2 if -1 in self._processes and number == signal.SIGTERM else number)

    def kill(self) -> None:
        """End all that is left, with whatever they have started."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        while self._processes:
            self._asked_to_end = True
            self.poll(0.05)
        for log in self._logs:
            log.close()
        self._logs = []

    def _read(self, rank: int, pipe) -> None:  # noqa: ANN001
        while True:
            try:
                data = os.read(pipe.fileno(), 65536)
            except BlockingIOError:
                return
            if not data:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(pipe)
                return
            *lines, self._rest[rank] = (self._rest.get(rank, b"") + data).split(b"\n")
            for line in lines:
                self._write(rank, line)

    def _write(self, rank: int, line: bytes) -> None:
        if rank < 0:
            match = _TAG.match(line.decode(errors="replace"))
            rank, line = (int(match[1]), line[len(match[0]) :]) if match else (0, line)
        self._logs[rank // self.plan.ranks_per_node].write(b"%d: %s\n" % (rank, line))

    def _ended(self, rank: int, status: int) -> None:
        if rest := self._rest.pop(rank, b""):
            self._write(rank, rest)
        if status in (0, stop.STOPPED):
            return
        if self.first_bad is None:
            self.first_bad = status
        if self._asked_to_end or rank < 0:
            return
        self._asked_to_end = True  # whatever the others end with is the consequence
        path = self.run.failures / f"node{rank // self.plan.ranks_per_node}.jsonl"
        if any(line["rank"] == rank and line["attempt"] == self.number for line in read_lines(path)):
            return
        error = f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        append_line(
            path,
            {
                "time": round(time.time(), 3),
                "attempt": self.number,
                "rank": rank,
                "node": rank // self.plan.ranks_per_node,
                "host": socket.gethostname(),
                "error": error,
                "traceback": "",
            },
        )


class _Signals:
    """Counts the signals that ask for the end, and restores what they meant before."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "_Signals":
        self._before = {number: signal.signal(number, self._seen) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        return self

    def _seen(self, number: int, frame: object) -> None:
        self.count += 1

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _supervise(ranks: _Ranks, plan: Plan, signals: _Signals, tick: Callable[[], None]) -> int:
    """Watch until no rank is left; return the status of the first that failed, else the largest."""
    began = time.monotonic()
    # As under Slurm: a warning in time, and the end at the limit.
    warn = began + plan.time_s - min(plan.signal_s, plan.time_s / 2) if plan.time_s else float("inf")
    limit = began + plan.time_s if plan.time_s else float("inf")
    kill_at, asked, failed = limit, 0, False
    while ranks.poll(0.1):
        now = time.monotonic()
        if ranks.first_bad is not None and not failed:
            failed = True
            ranks.send(signal.SIGTERM)
            kill_at = min(kill_at, now + FAILED_GRACE_S)
        if signals.count > asked or now >= warn:
            if asked:
                kill_at = now
            asked, warn = max(asked + 1, signals.count), float("inf")
            ranks.send(signal.SIGTERM)
            kill_at = min(kill_at, now + GRACE_S)
        if now >= kill_at:
            ranks.kill()
            tick()
            return ranks.first_bad if failed else 128 + signal.SIGKILL
        tick()
    tick()
    if ranks.first_bad is not None:
        return ranks.first_bad
    return 0 if ranks.run.result() is not None or plan.kind != "workload" and not asked else stop.STOPPED


def _environment(plan: Plan) -> dict[str, str]:
    # A launcher that itself runs in a job or under mpirun must not hand on who it is there.
    inherited = {k: v for k, v in os.environ.items() if not re.match(r"(LAUNCH|SLURM|PMI|PMIX|OMPI_COMM|PRTE|HOROVOD_(RANK|SIZE|LOCAL|CROSS))", k)}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}
    return quiet | inherited | plan.env | {"PYTHONPATH": os.pathsep.join(plan.pythonpath)}


def _mpirun(plan: Plan) -> list[str]:
    beside = Path(plan.python).with_name("mpirun")
    mpirun = str(beside) if beside.exists() else shutil.which("mpirun")
    if mpirun is None:
        raise Refusal("--rendezvous mpi needs mpirun, and there is none: see python -m launch doctor, or use --rendezvous gloo")
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    return [mpirun, "-n", str(plan.size), "--oversubscribe", "--bind-to", "none", "--tag-output", *root]


@contextlib.contextmanager
def _only_one(run: RunDir) -> Iterator[None]:
    """Hold the run's lock, which ends with the process that holds it."""
    with open(run.path / ".lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refusal(f"{run.path} is running: wait for its end, or end it first") from None
        yield


if __name__ == "__main__":
    here = RunDir.open(sys.argv[1])
    with contextlib.suppress(Interrupted):
        execute(here, Plan.from_json(read_json(here.run_json)), lambda: None)
