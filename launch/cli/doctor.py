"""python -m launch doctor: what this environment has and lacks, each with the command that mends it."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from launch import gpus
from launch.errors import Refusal
from launch.plan.site import slurm_is_here

INSTALL = "python3 -m venv .venv && .venv/bin/pip install uv==0.13.9 && .venv/bin/uv sync --inexact"


class Finding(NamedTuple):
    """The result of a check."""

    level: str  # ok, absent (a run can do without) or wrong (it cannot)
    text: str
    mend: str = ""


def refuse_without(packages: Iterable[str]) -> None:
    """Refuse what cannot run for want of packages, before anything is started.

    Parameters
    ----------
    packages : iterable of str
        Names as they are imported. Nothing is imported.

    Raises
    ------
    Refusal
        If one is missing; it says how to install it.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise Refusal(
            f"{', '.join(missing)} cannot be imported by {sys.executable}; mend it: {INSTALL}; see python -m launch doctor"
        )


def main(argv: list[str]) -> int:
    """Print a line a check; return 1 if anything is wrong that a training needs."""
    if argv:
        raise Refusal(f"doctor has no option {argv[0]!r}: python -m launch doctor")
    worst = 0
    for name, check in CHECKS.items():
        finding = check()
        worst |= finding.level == "wrong"
        print(
            f"{finding.level:<7} {name:<14} {finding.text}"
            + (f"\n{'':<23}mend it: {finding.mend}" if finding.mend else ""),
            flush=True,
        )
    print("not ready: mend what is wrong" if worst else "ready")
    return int(worst)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info < (3, 13):
        return Finding("ok", f"{version} at {sys.executable}")
    return Finding(
        "wrong",
        f"{version}; TensorFlow 2.18 and this toolkit need 3.11 or 3.12",
        "make the environment with python3.11 or python3.12",
    )


def _tensorflow() -> Finding:
    found = _installed("tensorflow-cpu", "tensorflow")
    if not found:
        return Finding("wrong", "not installed", INSTALL)
    keras = _installed("keras")
    if not keras:
        return Finding("wrong", f"{found}, but no Keras", INSTALL)
    return Finding("ok", f"{found}, {keras}")


def _horovod() -> Finding:
    found = _installed("horovod")
    if not found:
        return Finding("wrong", "not installed: only runs of one rank are possible", INSTALL)
    # In a process of its own: it takes seconds, and a wrong build can end the process that loads it.
    code = "import horovod.tensorflow as h; print('controllers:', ', '.join([n for n, b in (('gloo', h.gloo_built()), ('mpi', h.mpi_built()), ('nccl', h.nccl_built())) if b]))"
    tried = _output([sys.executable, "-c", code], timeout=180)
    told = re.search(r"controllers: (.*)", tried)
    if not told:
        last = tried.strip().splitlines()[-1:] or ["no output"]
        return Finding(
            "wrong",
            f"{found} does not load ({last[0]})",
            "built for another TensorFlow: .venv/bin/uv sync --inexact --reinstall-package horovod",
        )
    return Finding("ok", f"{found}, built for this TensorFlow; {told[1]}")


def _mpi() -> Finding:
    beside = Path(sys.executable).with_name("mpirun")
    mpirun = str(beside) if beside.exists() else shutil.which("mpirun")
    if mpirun is None:
        return Finding("absent", "no mpirun: --rendezvous gloo needs none", INSTALL)
    first = _output([mpirun, "--version"]).splitlines()[:1]
    return Finding("ok", f"{first[0] if first else 'mpirun'} at {mpirun}")


def _mpi4py() -> Finding:
    found = _installed("mpi4py")
    return Finding("ok", found) if found else Finding("absent", "not installed", INSTALL)


def _slurm() -> Finding:
    if not shutil.which("sbatch"):
        return Finding("absent", "no sbatch: runs are processes of this machine")
    if not slurm_is_here():
        return Finding("absent", "its commands are here, but no configuration: set SLURM_CONF, or go to a login node")
    version = _output(["sbatch", "--version"]).strip()
    ping = _output(["scontrol", "ping"]).strip().splitlines()
    plugins = _plugins()
    up = any("UP" in line for line in ping)
    text = f"{version}, --mpi plugins {', '.join(plugins) or 'unknown'}"
    return (
        Finding("ok", text)
        if up
        else Finding("wrong", f"{text}; the controller does not answer: {'; '.join(ping)}", "wait, or ask the site")
    )


def _plugins() -> list[str]:
    """Those that srun knows for MPI."""
    return [line.strip() for line in _output(["srun", "--mpi=list"]).splitlines() if line.startswith((" ", "\t"))]


def _srun_mpi() -> Finding:
    if "SLURM_JOB_ID" not in os.environ or not shutil.which("srun"):
        return Finding("absent", "tried within a job only, as it takes nodes: salloc -n 2 python -m launch doctor")
    if not _installed("mpi4py"):
        return Finding("absent", "not tried, as mpi4py is not installed", INSTALL)
    code = "from mpi4py import MPI; print('met', MPI.COMM_WORLD.allreduce(1))"
    said = {}
    for plugin in [name for name in _plugins() if name != "none"]:
        words = ["srun", f"--mpi={plugin}", "--ntasks=2", "--overlap", "--export=ALL", sys.executable, "-c", code]
        said[plugin] = _output(words, timeout=60)
    met = [plugin for plugin, output in said.items() if output.split().count("met") == output.count("met 2") == 2]
    if met:
        lone = [plugin for plugin in said if plugin not in met]
        return Finding("ok", f"2 ranks meet by {', '.join(met)}" + (f", not by {', '.join(lone)}" if lone else ""))
    return Finding(
        "absent", f"2 ranks do not meet by {', '.join(said) or 'any plugin'}", "use --rendezvous gloo, or another MPI"
    )


def _gpus() -> Finding:
    names = gpus.names()
    if names:
        models = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
        return Finding("ok", f"{models}, driver {gpus.driver_version()}")
    if not importlib.util.find_spec("pynvml"):
        return Finding("absent", "nvidia-ml-py is not installed, so nobody can say", INSTALL)
    return Finding("absent", "no NVIDIA driver answers: ranks use the CPU")


def _cores() -> Finding:
    mine, all_ = len(os.sched_getaffinity(0)), os.cpu_count()
    return Finding("ok", f"{mine}" + (f" of {all_}" if mine != all_ else ""))


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    free = memory.available / 2**30
    # A rank that has only imported TensorFlow and Horovod holds 0.5 GiB.
    level, mend = ("ok", "") if free > 1 else ("wrong", "end other programs")
    return Finding(level, f"{free:.1f} of {memory.total / 2**30:.1f} GiB free: {int(free / 0.5)} idle ranks", mend)


def _runs() -> Finding:
    folder = Path("runs")
    place = folder if folder.is_dir() else Path(".")
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"\0" * 65536)
            file.flush()
    except OSError as error:
        return Finding(
            "wrong", f"{folder.absolute()}: {error.strerror}", "give a folder that can be written to with --runs"
        )
    return Finding("ok", f"{folder.absolute()}, {shutil.disk_usage(place).free / 2**30:.1f} GiB free")


CHECKS: dict[str, Callable[[], Finding]] = {
    "python": _python,
    "tensorflow": _tensorflow,
    "horovod": _horovod,
    "mpi": _mpi,
    "mpi4py": _mpi4py,
    "slurm": _slurm,
    "srun --mpi": _srun_mpi,
    "gpus": _gpus,
    "cores": _cores,
    "memory": _memory,
    "run folder": _runs,
}


def _installed(*packages: str) -> str | None:
    import importlib.metadata  # 10 ms, which each launch would take for `refuse_without`

    for package in packages:
        try:
            return f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _output(command: list[str], timeout: float = 20) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stdout + done.stderr
