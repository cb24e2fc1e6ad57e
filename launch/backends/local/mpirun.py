"""The mpirun that starts the ranks of this machine over MPI: that of Open MPI."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

from launch.errors import Refusal
from launch.plan.plan import Plan


def beside(python: str) -> str | None:
    """Return the mpirun beside a Python, or else the one on PATH."""
    own = Path(python).with_name("mpirun")
    return str(own) if own.exists() else shutil.which("mpirun")


@functools.cache
def version(mpirun: str) -> str:
    """Return the version that an mpirun prints, on one line, as in ``mpirun (Open MPI) 5.0.11``, or why it prints
    none."""
    try:
        done = subprocess.run([mpirun, "--version"], capture_output=True, text=True, errors="replace", timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    first, second = [*(" ".join(line.split()) for line in (done.stdout + done.stderr).splitlines()), "", ""][:2]
    return f"{first} {second}" if first.endswith(":") else first or "it prints no version"  # MPICH prints a heading


def is_open_mpi(mpirun: str) -> bool:
    """Return whether an mpirun understands the options that `command` gives it."""
    return "Open MPI" in version(mpirun)


def command(plan: Plan) -> list[str]:
    """Return the command that starts all ranks over MPI.

    Raises
    ------
    Refusal
        If there is no mpirun, or it is not Open MPI's.
    """
    mpirun = beside(plan.python)
    if mpirun is None:
        raise Refusal("--rendezvous mpi needs mpirun, and there is none: see rankloop doctor, or use --rendezvous gloo")
    if not is_open_mpi(mpirun):
        raise Refusal(
            f"--rendezvous mpi needs the mpirun of Open MPI on this machine, and {mpirun} is another one "
            f"({version(mpirun)}): put that of Open MPI first on PATH, or use --rendezvous gloo"
        )
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    here = f"localhost:{plan.size}"  # not the nodes of an allocation in which it may run
    return [mpirun, "-n", str(plan.size), "--host", here, "--oversubscribe", "--bind-to", "none", "--tag-output", *root]
