"""Real ranks for tests: processes that meet over Gloo, without a launcher.

They are forked from a server that has imported TensorFlow once, which saves its five seconds for each of them.
"""

import multiprocessing.connection
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
from horovod.runner.http.http_server import RendezvousServer

from launch.node import rank as ranks
from launch.node import stop

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tensorflow", "keras", "horovod.tensorflow"])


class Ranks:
    """Some ranks on their way.

    Parameters
    ----------
    size : int
        How many.
    logs : Path
        Folder for what they print, rank<r>.log.
    environment : dict
        Beside what each needs to know itself and to meet the others.
    function, arguments
        What each runs; it has to be found by import.
    """

    def __init__(self, size: int, logs: Path, environment: dict[str, str], function: Callable, *arguments: Any) -> None:
        self.logs, self._server = logs, RendezvousServer(verbose=0)
        port = self._server.start()
        self._server.init(get_host_assignments(parse_hosts(f"localhost:{size}"), size))
        logs.mkdir(parents=True, exist_ok=True)
        self.processes = []
        for rank in range(size):
            own = environment | ranks.environment(ranks.Rank(rank, size, rank, size)) | _horovod(rank, size, port)
            process = _CONTEXT.Process(target=_begin, args=(own, logs / f"rank{rank}.log", function, arguments))
            process.start()
            self.processes.append(process)

    def wait(self, seconds: float = 600) -> list[int]:
        """The exit statuses of all; when one fails, the others are ended, as a launcher does."""
        deadline = time.monotonic() + seconds
        while any(process.exitcode is None for process in self.processes):
            failed = any(process.exitcode not in (None, 0, stop.STOPPED) for process in self.processes)
            if failed:
                deadline = min(deadline, time.monotonic() + 60)
            multiprocessing.connection.wait([p.sentinel for p in self.processes if p.exitcode is None], timeout=1)
            if time.monotonic() > deadline:
                self.kill(*range(len(self.processes)))
        self._server.stop()
        return [process.exitcode for process in self.processes]

    def kill(self, *which: int) -> None:
        """kill -9."""
        for rank in which:
            self.processes[rank].kill()

    def send(self, rank: int, number: int) -> None:
        """Send a signal to one rank."""
        os.kill(self.processes[rank].pid, number)

    def output(self, rank: int = 0) -> str:
        """What a rank has printed."""
        return (self.logs / f"rank{rank}.log").read_text()


def train(size: int, run: Path, *options: str, attempt: int = 1, workload: str = "tiny") -> Ranks:
    """Start the training loop on some ranks, on the workload tiny beside this file or on another."""
    told = {"LAUNCH_RUN": str(run), "LAUNCH_ATTEMPT": str(attempt), "LAUNCH_SEED": "7"}
    return Ranks(size, run / "logs" / f"attempt{attempt}", told, _train, workload, "--threads=1", *options)


def _train(*argv: str) -> None:
    stop.install()
    sys.argv = ["workloads.training.train", *argv]
    runpy.run_module("workloads.training.train", run_name="__main__", alter_sys=True)


def _begin(environment: dict[str, str], log: Path, function: Callable, arguments: tuple) -> None:
    os.environ.update(environment)
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    function(*arguments)


def _horovod(rank: int, size: int, port: int) -> dict[str, str]:
    values = {"RANK": rank, "SIZE": size, "LOCAL_RANK": rank, "LOCAL_SIZE": size, "CROSS_RANK": 0, "CROSS_SIZE": 1}
    values |= {
        "HOSTNAME": "localhost",
        "GLOO_RENDEZVOUS_ADDR": "127.0.0.1",
        "GLOO_RENDEZVOUS_PORT": port,
        "GLOO_IFACE": "lo",
    }
    values |= {"CONTROLLER": "gloo", "CPU_OPERATIONS": "gloo"}
    return {f"HOROVOD_{name}": str(value) for name, value in values.items()}
