"""Starts the ranks of an attempt in a job, and watches over them:
launch.node.starter RUN NOTE SECONDS [--on HOST,...] WORDS...

The words are those of mpiexec or flux run, which start all ranks; or pbs_tmrsh or pbsdsh, which start one process on a
node and know nothing of ranks; --on names the hosts for these, by default the first ones of the job. The job has lasted
for SECONDS already. PBS warns nobody before the time limit, so this process asks the ranks to save and leave, and ends
them before the job is ended. In a step SECONDS is "-", as its launcher watches the time.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from launch.node import stop
from launch.node.lookout import Lookout
from launch.node.tasks import PIDS
from launch.plan.plan import Plan
from launch.record.rundir import RunDir

_LEAVING_S = 10.0  # longest wait for ranks that were asked to end
_BEFORE_S = 10.0  # time before the end of the job at which the ranks are ended
_ANSWER_S = 20.0
_HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
# Variables of which each process has its own, and PBS's secret.
_OF_HOST = ("PBS_NODENUM", "PBS_TASKNUM", "PBS_NODEFILE", "PBS_JOBCOOKIE", "TMPDIR", "NCPUS")


class Starter:
    """The processes that start ranks, and hear signals for them: one for all, or one for each node."""

    def __init__(self, run: RunDir, note: str, words: Sequence[str], plan: Plan, on: Sequence[str] = ()) -> None:
        self.run, self.note = run, note
        self._tm = words[0] if words[0] in ("pbs_tmrsh", "pbsdsh") else ""
        self._flux = words[0] == "flux"
        self._hosts = list(on or _hosts()[: plan.nodes]) if self._tm else []
        self._lookout = Lookout(plan, self._hosts)  # mpiexec and flux run notice by themselves
        self._environment = run.meeting / f"{note}.json"
        if self._tm:
            run.meeting.mkdir(exist_ok=True)
            kept = {name: value for name, value in os.environ.items() if name not in _OF_HOST}
            with open(os.open(self._environment, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(kept, file)
            commands = [self._on_node(node, words) for node in range(len(self._hosts))]
        else:
            commands = [list(words)]
        told = subprocess.PIPE if self._tm == "pbsdsh" else None  # the exit status of pbsdsh is always 0
        # Signals for the job reach these too. They pass none on, and would leave ranks that have yet to save.
        deaf = _deaf if self._tm or self._flux else None
        self.processes = [
            subprocess.Popen(each, stdin=subprocess.DEVNULL, stderr=told, preexec_fn=deaf) for each in commands
        ]

    def end_lost(self) -> None:
        """End the processes that wait for a lost node; their failure ends the other ranks."""
        for host, process in zip(self._hosts, self.processes):
            if host in self._lookout.lost and process.poll() is None:
                print(f"launch: Node failure on {host}", flush=True)
                process.kill()

    def signal(self, number: int) -> None:
        """Pass a signal on to all ranks."""
        name = signal.Signals(number).name.removeprefix("SIG")
        if self._flux:
            inner = _run("flux", "jobs", "-no", "{id.dec}").split()
            for id in inner:
                _run("flux", "job", "kill", "-s", f"SIG{name}", id)
        if not self._tm:
            if not self._flux or number == signal.SIGKILL:
                self._to_each(number)
            return
        asked = []
        for node, host in enumerate(self._hosts):
            if host in self._lookout.lost:
                continue
            with contextlib.suppress(OSError, ValueError):
                pid = int((self.run.meeting / PIDS.format(note=self.note, node=node)).read_text())
                asked.append(subprocess.Popen(["pbs_tmrsh", host, "/bin/kill", f"-{name}", str(pid)]))
        for process in asked:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_ANSWER_S)
        if number == signal.SIGKILL:
            self._to_each(number)

    @staticmethod
    def status(process: subprocess.Popen) -> int:
        """Return how a process has ended: 0, or the status of its ranks, 128 + N after signal N."""
        if process.stderr is not None:
            said = re.search(rb"exit status (\d+)", process.stderr.read())
            return min(int(said[1]), 255) if said else process.returncode
        return 128 - process.returncode if process.returncode < 0 else process.returncode

    def close(self) -> None:
        """Remove what was written for the nodes."""
        self._environment.unlink(missing_ok=True)

    def _to_each(self, number: int) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    def _on_node(self, node: int, words: Sequence[str]) -> list[str]:
        # What pbs_tmrsh starts has another environment and begins elsewhere, and a shell would take words apart.
        first = words.index("launch.node.tasks")
        where = (
            ["pbs_tmrsh", self._hosts[node]]
            if self._tm == "pbs_tmrsh"
            else ["pbsdsh", "-n", str(_slots().index(self._hosts[node])), "--"]
        )
        path = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if os.environ.get(name)}
        here = [*words[1 : first + 1], str(self.run.path), self.note, "--node", str(node), str(self._environment)]
        rest = list(words[first + 3 :])
        return [*where, "/usr/bin/env", *(f"{name}={value}" for name, value in path.items()), *here, *rest]


def _deaf() -> None:
    for number in _HEARD:
        signal.signal(number, signal.SIG_IGN)


def watch(starter: Starter, plan: Plan, elapsed_s: float, wanted: list[int]) -> int:
    """Wait until no rank is left; return the status of the first that failed, or of one that has saved and left.

    Signals that come are appended to ``wanted``.
    """
    began = time.monotonic() - elapsed_s
    warn_at = began + plan.time_s - plan.warning_s if plan.time_s and plan.warning_s else float("inf")
    end_at = began + max(plan.time_s - _BEFORE_S, plan.time_s / 2) if plan.time_s else float("inf")
    kill_at, status = float("inf"), 0
    left = list(starter.processes)
    while left:
        time.sleep(0.1)
        starter.end_lost()
        now = time.monotonic()
        for process in [process for process in left if process.poll() is not None]:
            left.remove(process)
            code = starter.status(process)
            if code and status in (0, stop.STOPPED) and not (code == stop.STOPPED and status):
                status = code
                if code != stop.STOPPED and left and kill_at == float("inf"):
                    wanted.append(signal.SIGTERM)
        if now >= warn_at:
            warn_at = float("inf")
            wanted.append(signal.SIGUSR2)
        if now >= end_at:
            end_at = float("inf")
            when = time.strftime("%Y-%m-%dT%H:%M:%S")  # the words of Slurm, which the diagnosis knows
            job = os.environ.get("PBS_JOBID") or os.environ.get("FLUX_ENCLOSING_ID", "of-Flux")
            print(
                f"launch: *** JOB {job} ON {socket.gethostname()} CANCELLED AT {when} DUE TO TIME LIMIT ***", flush=True
            )
            wanted.append(signal.SIGTERM)
        while wanted:
            number = wanted.pop(0)
            if number != signal.SIGUSR2 and kill_at == float("inf"):
                kill_at = now + _LEAVING_S
            starter.signal(number)
        if now >= kill_at:
            kill_at = now + _LEAVING_S
            starter.signal(signal.SIGKILL)
    return status


def main(argv: list[str]) -> int:
    """Start the ranks and wait for their end; return an exit status."""
    folder, note, elapsed, *words = argv
    on: list[str] = []
    if words[0] == "--on":
        on, words = words[1].split(","), words[2:]
    run = RunDir.open(folder)
    plan = run.plan()
    wanted: list[int] = []
    for number in _HEARD:
        signal.signal(number, lambda received, frame: wanted.append(received))
    try:
        starter = Starter(run, note if note != "-" else f"pack-{os.getpid()}", words, plan, on)
    except OSError as error:
        print(f"launch: {words[0]} cannot be started: {error}", file=sys.stderr, flush=True)
        return 1
    try:
        return watch(starter, plan, float("-inf") if elapsed == "-" else float(elapsed), wanted)
    finally:
        starter.close()


def _slots() -> list[str]:
    """Return the hosts of the job, one for each slot."""
    return Path(os.environ["PBS_NODEFILE"]).read_text().split()


def _hosts() -> list[str]:
    """Return the hosts of the job, each once, in PBS's order."""
    return list(dict.fromkeys(_slots()))


def _run(*words: str) -> str:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=_ANSWER_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
