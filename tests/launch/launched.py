"""python -m launch as a user starts it, for tests."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ["-m", "launch"]
"""What Python is given to start it."""


def environment(**more: str) -> dict[str, str]:
    """What a user's shell would have, with the workload tiny of tests/workloads to be found."""
    mine = {
        k: v for k, v in os.environ.items() if not k.startswith(("LAUNCH_", "SLURM_", "SBATCH_")) or k == "SLURM_CONF"
    }
    return mine | {"PYTHONPATH": str(ROOT / "tests" / "workloads")} | more


def launch(*words: object, wait: float = 300, **options: object) -> subprocess.CompletedProcess:
    """Run it to its end."""
    return subprocess.run(
        [sys.executable, *COMMAND, *map(str, words)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=wait,
        **options,
    )


def launches(commands: Iterable[Sequence[object]], at_once: int = 3) -> list[subprocess.CompletedProcess]:
    """Run several to their ends, some at once; most of their time they wait for each other's processes."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda words: launch(*words), commands))


class Launched:
    """A launcher at work."""

    def __init__(self, *words: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *COMMAND, *map(str, words)],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ranks(self) -> dict[int, psutil.Process]:
        """The processes of the ranks that are alive, by rank."""
        found = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                rank = child.environ().get("LAUNCH_RANK")
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if rank is not None and int(rank) not in found:
                found[int(rank)] = child
        return found

    def wait(self, seconds: float = 300) -> tuple[int, str]:
        """Its exit status and all that it printed."""
        output, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, output


def until(condition: Callable[[], object], seconds: float = 120, every: float = 0.05) -> object:
    """Wait for something to become true; return it."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"did not come about within {seconds} s"
        time.sleep(every)
    return value


def gone(processes: list[psutil.Process], seconds: float = 10) -> bool:
    """Whether all have ended, a zombie that nobody has fetched included."""

    def ended(process: psutil.Process) -> bool:
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if all(map(ended, processes)):
            return True
        time.sleep(0.05)
    return False


def facts(output: str) -> dict[str, str]:
    """The plan, as it was printed."""
    return dict(re.findall(r"^([a-z ]+?)\s{2,}(\S.*)$", output, re.MULTILINE))
