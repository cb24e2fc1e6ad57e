"""What the benchmarks share: rivals measured in turns, a table of ratios, and a Slurm of emulated nodes."""

import contextlib
import os
import resource
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def in_turns(rivals: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """What each rival measures, one after the other and again, so that a change in the machine's load meets all alike."""
    found: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(repeats):
        for name, measure in rivals.items():
            found[name].append(measure())
    return found


def show(found: Mapping[str, list[float]], unit: str, scale: float = 1.0, first: str = "ours") -> None:
    """Print median, least and most of each, and how many times the first one's median it is, whose name is ``first``."""
    ours = statistics.median(next(iter(found.values())))
    print(f"{'':<34} {'median ' + unit:>12}  least - most          times {first}")
    for name, values in found.items():
        low, median, high = (scale * value for value in (min(values), statistics.median(values), max(values)))
        spread = f"{low:.4g} - {high:.4g}"
        print(f"{name:<34} {median:12.4g}  {spread:<20} {median / scale / ours:10.2f}")
    print(f"({len(next(iter(found.values())))} runs each, {len(os.sched_getaffinity(0))} cores)")


def seconds(command: list[str], **options: object) -> float:
    """Wall time of a command.

    Raises
    ------
    CalledProcessError
        If it fails: the time of a failure says nothing.
    """
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    return time.perf_counter() - began


def most_memory_mb() -> float:
    """Most resident memory of any process that was waited for so far, in MB; it never goes down."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3


@contextlib.contextmanager
def slurm(nodes: int = 4, settings: Mapping[str, str] | None = None) -> Iterator[Path]:
    """A Slurm of emulated nodes that the commands of this process find; a folder to work in.

    Parameters
    ----------
    nodes : int
        How many.
    settings : dict of str to str
        Lines of slurm.conf that are to be other than in the tests.
    """
    script = str(ROOT / "tests" / "slurm" / "cluster")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # short: a munge socket's path is limited
    cluster, work = folder / "c", folder / "work"
    cluster.mkdir()
    work.mkdir()
    try:
        subprocess.run([script, "start", cluster, str(nodes)], check=True, stdout=subprocess.DEVNULL)
        os.environ["SLURM_CONF"] = str(cluster / "slurm.conf")
        if settings:
            with open(cluster / "slurm.conf", "a") as file:
                file.writelines(f"{name}={value}\n" for name, value in settings.items())
            # Some, as MaxJobCount, are read by a controller that starts, and not by scontrol reconfigure.
            os.kill(int((cluster / "slurmctld.pid").read_text()), signal.SIGKILL)
            subprocess.run([script, "reset", cluster], check=True)
        yield work
    finally:
        subprocess.run([script, "stop", cluster], check=False)
        subprocess.run(["rm", "-rf", folder], check=False)
