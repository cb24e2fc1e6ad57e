"""Ranks of a node, if the command that starts them is not srun:   launch.node.tasks RUN NOTE WORDS...

The words start a rank. Under mpiexec and flux run this process stands for the one rank that they have started; with
--node NUMBER ENVIRONMENT before the words, it starts all ranks of a node. It writes what they print to the log of their
node, each line with the rank's number, passes signals on, and notes how a rank ended that could not say so itself.
"""

import functools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from launch.node import failure, stop
from launch.node.rank import Rank, environment, from_environment
from launch.plan.plan import Plan
from launch.record.rundir import RunDir

_PART = 65536  # most bytes that are read at once, and that a line may have
_LEAVING_S = 10.0  # longest wait for the other ranks, when one has failed
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
PIDS = "{note}-node{node}.pid"
"""Name of the file in meeting/ that holds the process of a node, for those that cannot signal it otherwise."""


class Tasks:
    """Ranks of this node, started as children of this process."""

    def __init__(self, run: RunDir, ranks: Sequence[Rank], words: Sequence[str], note: str) -> None:
        self.run, self.note = run, note
        self.status = 0  # status of the first rank that failed, otherwise of one that has saved and left
        self._asked = False
        self._kill_at = float("inf")
        self._selector = selectors.DefaultSelector()
        self._rest: dict[int, bytes] = {}
        run.logs.mkdir(exist_ok=True)
        self._log = os.open(run.node_log(ranks[0].node), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number in _PASSED_ON:
            signal.signal(number, self._pass_on)
        self._ranks: dict[int, tuple[Rank, subprocess.Popen]] = {}
        for rank in ranks:
            process = subprocess.Popen(
                words,
                env=os.environ | environment(rank),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                close_fds=False,  # MPI's own library may have one that leads to its starter
                preexec_fn=functools.partial(stop.die_with, os.getpid()),
            )
            assert process.stdout
            os.set_blocking(process.stdout.fileno(), False)
            self._selector.register(process.stdout, selectors.EVENT_READ, rank.rank)
            self._ranks[rank.rank] = rank, process

    def to_the_end(self) -> int:
        """Wait until no rank is left; return the exit status for the starter: 128 + N after signal N."""
        while self._ranks:
            for key, _ in self._selector.select(0.2):
                if not self._read(key.data, key.fd):
                    self._selector.unregister(key.fileobj)
            for number, (rank, process) in list(self._ranks.items()):
                if process.poll() is None:
                    continue
                assert process.stdout
                while self._read(number, process.stdout.fileno()):
                    pass
                if process.stdout in self._selector.get_map():
                    self._selector.unregister(process.stdout)
                if rest := self._rest.pop(number, b""):
                    self._write(number, rest)
                del self._ranks[number]
                self._ended(rank, process.returncode)
            if time.monotonic() > self._kill_at:
                self._signal(signal.SIGKILL)
        # The first rank to leave makes its starter end the others, which must not replace how they have ended.
        for number in _PASSED_ON:
            signal.signal(number, signal.SIG_IGN)
        return self.status

    def _read(self, rank: int, pipe: int) -> bool:
        """Write the whole lines that a rank has printed; return False if there is nothing more."""
        try:
            data = os.read(pipe, _PART)
        except BlockingIOError:
            return False
        *lines, rest = (self._rest.get(rank, b"") + data).split(b"\n")
        if len(rest) > _PART:
            lines, rest = [*lines, rest], b""
        self._rest[rank] = rest
        for line in lines:
            self._write(rank, line)
        return bool(data)

    def _write(self, rank: int, line: bytes) -> None:
        os.write(self._log, b"%d: %s\n" % (rank, line))

    def _ended(self, rank: Rank, code: int) -> None:
        status = 128 - code if code < 0 else code
        if status == 0:
            return
        if status == stop.STOPPED:  # the others are leaving too
            self.status = self.status or status
            return
        if self.status in (0, stop.STOPPED):
            self.status = status
            if not self._asked:
                self._note(rank, code)
                self._asked = True
                self._kill_at = time.monotonic() + _LEAVING_S
                self._signal(signal.SIGTERM)

    def _note(self, rank: Rank, code: int) -> None:
        try:
            attempt = int((self.run.meeting / self.note).read_text())
        except (OSError, ValueError):  # as for a run of a packed study
            attempt = self.run.attempts()
        if attempt:
            failure.note_end(self.run, rank, attempt, code)

    def _pass_on(self, number: int, frame: object) -> None:
        self._asked = self._asked or number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        self._signal(number)

    def _signal(self, number: int) -> None:
        for _, process in list(self._ranks.values()):
            process.send_signal(number)


def place(plan: Plan, rank: Rank) -> Rank:
    """Return a rank that mpiexec or flux run has numbered, with its place on the nodes of the plan, which they fill one
    after the other."""
    node, local = divmod(rank.rank, plan.ranks_per_node)
    return Rank(rank.rank, rank.size, local, plan.ranks_per_node, node, max(plan.nodes, node + 1), rank.source)


def of_node(plan: Plan, node: int) -> list[Rank]:
    """Return the ranks of a node."""
    each = plan.ranks_per_node
    return [Rank(node * each + i, plan.size, i, each, node, plan.nodes) for i in range(each)]


def main(argv: list[str]) -> int:
    """Start the ranks, wait for their end, and return an exit status."""
    folder, note, *words = argv
    if words[0] == "--node":
        _, number, environ, *words = words
        os.environ |= json.loads(Path(environ).read_text())
        os.chdir(folder)  # the starter of a scheduler begins in the home directory
        run = RunDir.open(folder)
        ranks = of_node(run.plan(), int(number))
        (run.meeting / PIDS.format(note=note, node=number)).write_text(f"{os.getpid()}\n")
    else:
        run = RunDir.open(folder)
        ranks = [place(run.plan(), from_environment())]
    try:
        return Tasks(run, ranks, words, note).to_the_end()
    except OSError as error:
        print(f"launch: ranks of {socket.gethostname()} could not be started: {error}", file=sys.stderr)
        return 1
