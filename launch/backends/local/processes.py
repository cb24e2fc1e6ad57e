"""The processes of a local run (one per rank, or one mpirun for all), what they print, and how they end."""

import contextlib
import functools
import os
import re
import selectors
import signal
import subprocess
import time
from typing import IO

from launch.backends import rank_command
from launch.backends.local import mpirun
from launch.errors import Refusal
from launch.node import failure, stop
from launch.node.rank import Rank, environment
from launch.plan.inherited import without_identity
from launch.plan.plan import Plan
from launch.record.failures import job_log
from launch.record.rundir import RunDir

_TAG = re.compile(r"\[\d+,(\d+)\]<std(?:out|err)>: ?")  # what mpirun puts before the lines of a rank

# The line in which mpirun (of Open MPI 5) names the first rank that failed.
_MPIRUN = re.compile(
    r"process rank (?P<signalled>\d+) with PID \d+ on node \S+ exited on\s+signal (?P<signal>\d+)|"
    r"Process name:\s+\[\S+@\d+,(?P<exited>\d+)\]\s+Exit code:\s+(?P<status>\d+)"
)

_PART = 65536  # most bytes that are read at once
_PIECE_S = 1.0  # how long part of a line waits for the rest
_PIPES_MOST = 2**20  # most bytes that a dead rank can have left in its pipe: /proc/sys/fs/pipe-max-size


class Ranks:
    """The processes of an attempt: one per rank, or one mpirun for all."""

    def __init__(self, run: RunDir, plan: Plan, number: int) -> None:
        self.run, self.plan, self.number = run, plan, number
        self.first_bad: int | None = None  # status of the first rank that failed
        self.saved = False  # whether the status of a rank says that it has saved and left
        self._selector = selectors.DefaultSelector()
        self._rest: dict[int, bytes] = {}  # start of a rank's last line, whose newline is still to come
        self._since: dict[int, float] = {}  # when the rest began
        self._mpirun_said = ""
        self._asked_to_end = False
        self._processes: dict[int, subprocess.Popen] = {}
        self._logs: list[IO[bytes]] = []
        try:
            self._logs += (open(run.node_log(node), "ab", buffering=0) for node in range(plan.nodes))
            self._start_all()
        except OSError as error:
            count = len(self._processes)
            self.kill()
            why = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
            what = "raise the limits of open files and processes (ulimit -n, ulimit -u), or ask for fewer ranks"
            if not os.path.isdir(plan.cwd):
                what = "the working directory of the run is gone: put it back, or start a new run from another folder"
            elif plan.container is None and not os.path.exists(plan.python):
                what = "the Python of the run is gone: put its environment back, or start a new run with another"
            raise Refusal(f"only {count} of {plan.size} ranks could be started here ({why}): {what}") from None

    def _start_all(self) -> None:
        plan, command = self.plan, [*rank_command.words(self.plan), str(self.run.path)]
        base = _environment(plan)
        if plan.rendezvous == "mpi" and plan.size > 1:
            self._start(-1, [*mpirun.command(plan), *command], base)
            return
        for rank in range(plan.size):
            node, local_rank = divmod(rank, plan.ranks_per_node)
            own = Rank(rank, plan.size, local_rank, plan.ranks_per_node, node, plan.nodes)
            self._start(rank, command, base | environment(own))

    def _start(self, rank: int, command: list[str], env: dict[str, str]) -> None:
        process = subprocess.Popen(
            command,
            env=env,
            cwd=self.plan.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=functools.partial(stop.die_with, os.getpid()),
        )
        assert process.stdout
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, rank)
        self._processes[rank] = process

    def poll(self, timeout: float) -> bool:
        """Pass on what the ranks print, and check which have ended; return True while any is alive."""
        ending = []
        # A launcher that was itself stopped meanwhile may see nothing at the first look.
        for key, _ in self._selector.select(timeout) or self._selector.select(0):
            if not self._read(key.data, key.fd):
                self._selector.unregister(key.fileobj)
                ending.append(key.data)
        for rank, since in list(self._since.items()):
            if rank >= 0 and time.monotonic() - since > _PIECE_S:  # mpirun passes on whole lines only
                self._pass_on(rank)
        # Pipes are closed in the order in which ranks end, which shows which of several was first.
        for rank in ending:
            with contextlib.suppress(subprocess.TimeoutExpired):  # a program may close its output and go on
                self._processes[rank].wait(timeout=0.1)
        for rank in [*ending, *self._processes]:
            process = self._processes.get(rank)
            if process is None or process.poll() is None:
                continue
            _kill_group(process)  # what it has started would be orphaned
            assert process.stdout
            if process.stdout in self._selector.get_map():
                self._selector.unregister(process.stdout)
                for _ in range(_PIPES_MOST // _PART):
                    self._read(rank, process.stdout.fileno())
            process.stdout.close()
            del self._processes[rank]
            self._ended(rank, process.returncode)
        return bool(self._processes)

    def warn(self) -> None:
        """Ask all ranks that can do so to save and leave. An mpirun passes the request on to its ranks."""
        for process in self._processes.values():
            process.send_signal(signal.SIGUSR2)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Ask all ranks to end. Their exit statuses do not count after that."""
        self._asked_to_end = True
        for process in self._processes.values():
            process.send_signal(number)

    def kill(self) -> None:
        """Kill all ranks that are left, and whatever they have started."""
        for process in self._processes.values():
            _kill_group(process)
        self._asked_to_end = True
        while self.poll(0.05):
            pass
        for log in self._logs:
            log.close()
        self._logs = []

    def _read(self, rank: int, pipe: int) -> bool:
        """Pass on what a rank has printed, but not so much that the others have to wait; return False if there was
        nothing."""
        try:
            data = os.read(pipe, _PART)
        except BlockingIOError:
            return False
        *lines, rest = (self._rest.get(rank, b"") + data).split(b"\n")
        if len(rest) > _PART:  # like srun, so that long lines need no memory
            lines, rest = [*lines, rest], b""
        if lines or rank not in self._since:
            self._since[rank] = time.monotonic()
        self._rest[rank] = rest
        for line in lines:
            self._write(rank, line)
        return bool(data)

    def _pass_on(self, rank: int) -> None:
        """Write a line that has long waited for its newline. Of a progress bar that \\r redraws, keep back the last
        state, which may continue."""
        before, bar, state = self._rest[rank].rpartition(b"\r")
        piece, rest = (before, bar + state) if before.strip(b"\r") else (self._rest[rank], b"")
        self._since[rank] = time.monotonic()
        if piece.strip(b"\r"):
            self._write(rank, piece)
            self._rest[rank] = rest

    def _write(self, rank: int, line: bytes) -> None:
        if rank < 0:
            match = _TAG.match(line.decode(errors="replace"))
            if match is None:
                self._mpirun_said += line.decode(errors="replace") + "\n"
            rank, line = (int(match[1]), line[len(match[0]) :]) if match else (0, line)
        self._logs[rank // self.plan.ranks_per_node].write(b"%d: %s\n" % (rank, line))

    def _ended(self, rank: int, status: int) -> None:
        self._since.pop(rank, None)
        if rest := self._rest.pop(rank, b""):
            self._write(rank, rest)
        handles_warning = job_log.handles_warning(self.run)
        if status == stop.STOPPED and handles_warning:
            self.saved = True
            return
        if status == 0:
            return
        if self._asked_to_end and (status < 0 or not handles_warning):
            return  # a signal is the only way in which it can end when asked
        if self.first_bad is None:
            self.first_bad = status
        if self._asked_to_end:
            return
        if rank < 0:
            found = _MPIRUN.search(self._mpirun_said)
            if found is None:
                return
            rank = int(found["signalled"] or found["exited"])
            status = -int(found["signal"]) if found["signal"] else int(found["status"])
        self._asked_to_end = True  # the ends of the others are only consequences
        failure.note_end(self.run, Rank(rank, node=rank // self.plan.ranks_per_node), self.number, status)


def _kill_group(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _environment(plan: Plan) -> dict[str, str]:
    # A launcher that itself runs in a job or under mpirun must not pass on its own rank there.
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2"}
    path = {"PYTHONPATH": os.pathsep.join(plan.pythonpath)} if plan.pythonpath else {}
    return quiet | without_identity() | plan.env | path
