"""What a run's result may depend on besides its plan and code: the content of env.json."""

import contextlib
import fcntl
import os
import platform
import re
import socket
import sys
from collections.abc import Iterator
from typing import Any, Literal

from launch import gpus
from launch.record.rundir import RunDir
from launch.record.writing import publish_json

# The variables that may change a result or a speed. Recording all of them would publish private ones.
_MATTERS = re.compile(
    r"(CUDA|HIP|ROCR|GPU|NVIDIA|NCCL|RCCL|MPICH|OMPI_MCA|PMIX_MCA|UCX|FI|HOROVOD|TF|XLA|KERAS|OMP|GOMP|KMP|MKL|"
    r"OPENBLAS|SLURM)_|"
    r"LD_LIBRARY_PATH$|LD_PRELOAD$|PYTHONPATH$|LOADEDMODULES$|CONDA_PREFIX$|VIRTUAL_ENV$|"
    r"(SINGULARITY|APPTAINER)_CONTAINER$"
)
_INSTALLED = re.compile(r"(.+?)-(\d[^-]*)(?:-py[\d.]+)?\.(?:dist|egg)-info")


def surroundings() -> dict[str, Any]:
    """Return host, system, CPU, GPUs, driver, versions, modules and variables, as this process finds them, without
    secrets."""
    from launch.record.redact import without_secrets  # late: a rank that only calls `add` does not wait for it

    here = gpus.inventory()
    matters = {name: value for name, value in sorted(os.environ.items()) if _MATTERS.match(name)}
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "gpus": here.names,
        "driver": here.driver,
        "gpu_faults": here.faults,
        "python": platform.python_version(),
        "packages": packages(sys.path),
        "modules": [name for name in os.environ.get("LOADEDMODULES", "").split(":") if name],
        "environment": without_secrets(matters),
    }


def note(run: RunDir, attempt: int) -> None:
    """Record the surroundings of an attempt on this host; no rank waits for that. What `add` and `add_image` have
    recorded stays."""
    found = surroundings()
    with _alone(run):
        known: dict[str, Any] = dict(run.surroundings())
        if known.get("network", {}).get("attempt") == attempt:
            found["network"] = known["network"]
        if known.get("image_attempt") == attempt:
            found |= {name: known[name] for name in ("image_attempt", "python", "packages")}
        publish_json(run.env_json, found)


def add_image(run: RunDir, attempt: int) -> None:
    """Record the Python and the packages of this rank, which runs in a container, in place of those of the host."""
    found = {"image_attempt": attempt, "python": platform.python_version(), "packages": packages(sys.path)}
    with _alone(run):
        publish_json(run.env_json, run.surroundings() | found)


def add(run: RunDir, attempt: int, name: Literal["gloo", "nccl"], found: dict[str, Any]) -> None:
    """Add what is known of a network to env.json, once the ranks have begun to communicate."""
    with _alone(run):
        known = run.surroundings()
        network = known.get("network", {})
        earlier = network if network.get("attempt") == attempt else {"attempt": attempt}
        publish_json(run.env_json, {**known, "network": {**earlier, name: found}})


@contextlib.contextmanager
def _alone(run: RunDir) -> Iterator[None]:
    """Lock the file: the launcher or job script writes it, and so does the first rank."""
    with open(run.meeting / "env.lock", "ab") as lock:
        with contextlib.suppress(OSError):  # this file system has no locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def packages(path: list[str]) -> dict[str, str]:
    """Return the version of every installed package, by its normalised name (PEP 503), from the names of their metadata
    folders.

    Parameters
    ----------
    path : list of str
        Folders in which Python looks for modules; the first that has a package counts. No file of a package is opened:
        `importlib.metadata` reads one for each, which takes 0.2 s for 70 packages on a local disk.
    """
    found: dict[str, str] = {}
    for place in path:
        try:
            names = os.listdir(place or ".")
        except OSError:  # a zip file, or a path that does not exist
            continue
        for name in sorted(names):
            if match := _INSTALLED.fullmatch(name):
                found.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), match[2])
    return dict(sorted(found.items()))


def cpu_model(lines: str | None = None) -> str:
    """Return the model of the first processor, from the lines of /proc/cpuinfo, or the architecture if they do not name
    it."""
    if lines is None:
        try:
            with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
                lines = file.read()
        except OSError:
            return platform.machine()
    said: dict[str, str] = {}
    for name, colon, value in (line.partition(":") for line in lines.splitlines()):
        if colon:
            said.setdefault(name.strip(), value.strip())
    if model := said.get("model name") or said.get("cpu"):  # x86, and POWER
        return model
    if "CPU part" in said:  # Arm has numbers: https://developer.arm.com/documentation, Main ID Register
        return f"{platform.machine()}, implementer {said.get('CPU implementer')}, part {said['CPU part']}"
    return platform.machine()
