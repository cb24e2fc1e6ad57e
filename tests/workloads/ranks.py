"""Real ranks for tests: processes that meet over Gloo, without a launcher.

They are forked from a server that has imported TensorFlow once, which saves its five seconds for each of them. Those on
JAX are processes of another Python, `JAX`, as TensorFlow beside JAX takes longer to import.
"""

import multiprocessing.connection
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ranks_train
from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
from horovod.runner.http.http_server import RendezvousServer

from launch.node import rank as ranks
from launch.node import stop

ROOT = Path(__file__).resolve().parents[2]
JAX = os.environ.get("RANKLOOP_JAX") or str(ROOT / ".venv-jax" / "bin" / "python")
"""A Python with JAX and Keras, and without TensorFlow."""
NEEDS_JAX = pytest.mark.skipif(not os.path.exists(JAX), reason=f"there is no {JAX}: see docs/testing.md")
ENGINES = ["horovod", pytest.param("jax", marks=NEEDS_JAX)]
SLOW_ON_JAX = ["horovod", pytest.param("jax", marks=[NEEDS_JAX, pytest.mark.slow])]

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tensorflow", "keras", "horovod.tensorflow"])


class Python(subprocess.Popen):
    """A process of another Python, with the methods of one of multiprocessing."""

    @property
    def exitcode(self) -> int | None:
        return self.poll()

    @property
    def sentinel(self) -> int:
        if not hasattr(self, "_sentinel"):
            self._sentinel = os.pidfd_open(self.pid)
        return self._sentinel

    def join(self) -> None:
        self.wait()


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
    python : str
        Another Python, and `function` the code that it is given.
    """

    def __init__(
        self,
        size: int,
        logs: Path,
        environment: dict[str, str],
        function: Callable | str,
        *arguments: Any,
        python: str = "",
    ) -> None:
        self.logs, self._server = logs, RendezvousServer(verbose=0)
        environment = environment | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
        port = self._server.start()
        self._server.init(get_host_assignments(parse_hosts(f"localhost:{size}"), size))
        logs.mkdir(parents=True, exist_ok=True)
        self.processes = []
        for rank in range(size):
            own = environment | ranks.environment(ranks.Rank(rank, size, rank, size)) | _horovod(rank, size, port)
            log = logs / f"rank{rank}.log"
            if python:
                own |= {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
                with open(log, "wb") as file:
                    words = [python, "-c", function, *arguments]
                    self.processes.append(Python(words, env=os.environ | own, stdout=file, stderr=file))
                continue
            process = _CONTEXT.Process(target=_begin, args=(own, log, function, arguments))
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


def train(
    size: int, run: Path, *options: str, attempt: int = 1, workload: str = "tiny", engine: str = "horovod"
) -> Ranks:
    """Start the training loop on some ranks, on the workload tiny beside this file or on another."""
    told = {"LAUNCH_RUN": str(run), "LAUNCH_ATTEMPT": str(attempt), "LAUNCH_SEED": "7"}
    logs, words = run / "logs" / f"attempt{attempt}", (workload, "--threads=1", f"--engine={engine}", *options)
    if engine == "jax":
        return Ranks(size, logs, told, "import sys, ranks_train; ranks_train.main(*sys.argv[1:])", *words, python=JAX)
    return Ranks(size, logs, told, ranks_train.main, *words)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


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
