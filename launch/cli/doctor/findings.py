"""What a check of doctor finds."""

import importlib.metadata
import os
import shlex
import subprocess
from typing import NamedTuple

from launch import HOME

# A wheel has no pyproject.toml, whose groups say what an engine consists of.
_IS_CLONE = os.path.isfile(os.path.join(HOME, "pyproject.toml"))
_THERE = f"cd {shlex.quote(HOME)} && " if _IS_CLONE else "in a clone of rankloop: "
INSTALL = f"{_THERE}python3 -m venv .venv && .venv/bin/pip install uv==0.13.9 && .venv/bin/uv sync --inexact"
INSTALL_JAX = f"{_THERE}.venv/bin/uv sync --inexact --no-default-groups --group jax"
REBUILD_HOROVOD = f"{_THERE}.venv/bin/uv sync --inexact --reinstall-package horovod"


class Finding(NamedTuple):
    """The result of a check."""

    level: str  # ok, absent (a run can do without it) or wrong (it cannot)
    text: str
    fix: str = ""


def installed(*packages: str) -> str | None:
    """Return the first of some packages that is installed, with its version."""
    for package in packages:
        try:
            return f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def output(command: list[str], timeout: float = 20) -> str:
    """Return what a command prints, or why it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout)
    except OSError as error:
        return str(error)
    except subprocess.TimeoutExpired:
        return f"it took longer than {timeout:g} s"
    return done.stdout + done.stderr
