"""python -m launch doctor: what this environment has and lacks, each with the command that fixes it.

It needs only the standard library, and a check that fails does not stop the others.
"""

import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from launch import gpus
from launch.backends.local import mpirun
from launch.cli.doctor import engines
from launch.cli.doctor.findings import INSTALL, INSTALL_JAX, Finding, installed, output
from launch.errors import command
from launch.plan import options
from launch.plan.this_site import flux_is_here, pbs_is_here, slurm_is_here


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to print the findings."""

    json: bool = False  # as an object, for programs


def main(argv: list[str]) -> int:
    """Print a line for each check; return 1 if anything is wrong that a training needs."""
    chosen = options.parse(Options, argv, "doctor")
    worst = 0
    told = []
    for name, check in CHECKS.items():
        try:
            level, text, fix = check()
        except Exception as error:  # any error: doctor is there to find what is broken
            level, text, fix = "absent", f"cannot be checked ({type(error).__name__}: {error})", ""
        worst |= level == "wrong"
        told.append({"check": name, "level": level, "text": text, "fix": fix or None})
        if chosen.json:
            continue
        print(f"{level:<7} {name:<14} {text}" + (f"\n{'':<23}fix it: {fix}" if fix else ""), flush=True)
    if chosen.json:
        print(json.dumps({"ready": not worst, "checks": told}, indent=1))
    else:
        print("not ready: fix what is wrong" if worst else "ready")
    return int(worst)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info < (3, 13):
        return Finding("ok", f"{version} at {sys.executable}")
    return Finding(
        "wrong",
        f"{version}; this toolkit needs 3.11 or 3.12",
        "make the environment with python3.11 or python3.12",
    )


def _engine() -> Finding:
    """Return which engines are installed; their own checks find out whether they load."""
    tensorflow = installed("tensorflow-cpu", "tensorflow") and installed("keras")
    has = {
        "--engine horovod": tensorflow and installed("horovod"),
        "--engine jax": all(map(installed, ("jax", "jaxlib", "keras"))),
        "--engine horovod with one rank": tensorflow and not installed("horovod"),
    }
    names = [name for name, whole in has.items() if whole]
    if names:
        return Finding("ok", f"{' and '.join(names)} can train" + ", the first by default" * (len(names) > 1))
    none = "none is installed: programs of your own can be launched, but not the workloads"
    return Finding("absent", none, f"{INSTALL}, or {INSTALL_JAX}")


def _mpi() -> Finding:
    found = mpirun.beside(sys.executable)
    if found is None:
        return Finding("absent", "no mpirun: --rendezvous gloo needs none", INSTALL)
    text = f"{mpirun.version(found)} at {found}"
    if mpirun.is_open_mpi(found):
        return Finding("ok", text)
    other = "on this machine ranks start by that of Open MPI alone; --rendezvous gloo needs none"
    return Finding("absent", f"{text}; {other}", INSTALL)


def _mpi4py() -> Finding:
    found = installed("mpi4py")
    return Finding("ok", found) if found else Finding("absent", "not installed", INSTALL)


def _slurm() -> Finding:
    if not shutil.which("sbatch"):
        return Finding("absent", "no sbatch: runs are processes of this machine")
    if not slurm_is_here():
        return Finding("absent", "its commands are here, but no configuration: set SLURM_CONF, or go to a login node")
    version = output(["sbatch", "--version"]).strip()
    ping = output(["scontrol", "ping"]).strip().splitlines()
    plugins = _plugins()
    up = any("UP" in line for line in ping)
    text = f"{version}, --mpi plugins {', '.join(plugins) or 'unknown'}"
    return (
        Finding("ok", text)
        if up
        else Finding("wrong", f"{text}; the controller does not answer: {'; '.join(ping)}", "wait, or ask the site")
    )


def _pbs() -> Finding:
    if not shutil.which("qsub"):
        return Finding("absent", "no qsub")
    server = output(["qstat", "-B"]).strip().splitlines()
    version = output(["qstat", "--version"]).strip()
    if not pbs_is_here() or len(server) < 3:
        return Finding("absent", f"its commands are here, but no server answers: {' '.join(server[:1])}")
    return Finding("ok", f"{version}; {_UNTRIED}")


def _flux() -> Finding:
    if not shutil.which("flux"):
        return Finding("absent", "no flux")
    if not flux_is_here():
        return Finding("absent", "its command is here, but no instance of it")
    return Finding("ok", f"{' '.join(output(['flux', 'version']).split()[:2])}; {_UNTRIED}")


_UNTRIED = "this version was tried with stand-ins for it, and never on a real machine (docs/schedulers.md)"


def _plugins() -> list[str]:
    """Return the MPI plugins of srun."""
    return [line.strip() for line in output(["srun", "--mpi=list"]).splitlines() if line.startswith((" ", "\t"))]


def _srun_mpi() -> Finding:
    if "SLURM_JOB_ID" not in os.environ or not shutil.which("srun"):
        return Finding("absent", f"tried within a job only, as it takes nodes: salloc -n 2 {command('doctor')}")
    if not installed("mpi4py"):
        return Finding("absent", "not tried, as mpi4py is not installed", INSTALL)
    code = "from mpi4py import MPI; print('met', MPI.COMM_WORLD.allreduce(1))"
    said = {}
    for plugin in [name for name in _plugins() if name != "none"]:
        words = ["srun", f"--mpi={plugin}", "--ntasks=2", "--overlap", "--export=ALL", sys.executable, "-c", code]
        said[plugin] = output(words, timeout=60)
    met = [plugin for plugin, output in said.items() if output.split().count("met") == output.count("met 2") == 2]
    if met:
        lone = [plugin for plugin in said if plugin not in met]
        return Finding("ok", f"2 ranks meet by {', '.join(met)}" + (f", not by {', '.join(lone)}" if lone else ""))
    return Finding(
        "absent", f"2 ranks do not meet by {', '.join(said) or 'any plugin'}", "use --rendezvous gloo, or another MPI"
    )


def _gpus() -> Finding:
    here = gpus.inventory()
    models = [f"{here.names.count(name)} x {name}" for name in dict.fromkeys(here.names)]
    text = "; ".join([", ".join([*models, f"driver {here.driver}"])] * bool(models) + here.faults)
    if here.faults:
        return Finding(
            "absent", text, "" if gpus.NO_BINDINGS in text else "use another node, and tell its administrators"
        )
    return Finding("ok", text) if models else Finding("absent", "no NVIDIA GPU here: ranks use the CPU")


_LIBRARIES = {
    "submitit": "Slurm jobs",
    "psutil": "Gloo, and ranks on several nodes",
    "pynvml": "readings of NVIDIA GPUs",
    "numpy": "report, predict and the like",
    "duckdb": "readings in summary and report",
    "jinja2": "pages of reports",
    "matplotlib": "figures of reports, and most workloads",
}
"""Packages by import name, and what is missing without them."""


def _libraries() -> Finding:
    absent = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if not absent:
        return Finding("ok", ", ".join(_LIBRARIES))
    lacks = ", ".join(f"{name} ({_LIBRARIES[name]})" for name in absent)
    packages = " ".join("nvidia-ml-py" if name == "pynvml" else name for name in absent)
    return Finding("absent", f"not installed: {lacks}", f"{sys.executable} -m pip install {packages}")


def _cores() -> Finding:
    mine, all_ = len(os.sched_getaffinity(0)), os.cpu_count()
    return Finding("ok", f"{mine}" + (f" of {all_}" if mine != all_ else ""))


def _memory() -> Finding:
    lines = (line.partition(":") for line in Path("/proc/meminfo").read_text().splitlines())
    sizes = {name: int(value.split()[0]) / 2**20 for name, _, value in lines}  # from KiB
    free = sizes["MemAvailable"]
    # A rank that has only imported TensorFlow and Horovod holds 0.5 GiB, one on JAX less.
    level, fix = ("ok", "") if free > 1 else ("wrong", "end other programs")
    return Finding(level, f"{free:.1f} of {sizes['MemTotal']:.1f} GiB free: {int(free / 0.5)} idle ranks", fix)


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
    "engine": _engine,
    "tensorflow": engines.tensorflow,
    "horovod": engines.horovod,
    "jax": engines.jax,
    "mpi": _mpi,
    "mpi4py": _mpi4py,
    "slurm": _slurm,
    "pbs": _pbs,
    "flux": _flux,
    "srun --mpi": _srun_mpi,
    "libraries": _libraries,
    "gpus": _gpus,
    "cores": _cores,
    "memory": _memory,
    "run folder": _runs,
}
