"""Launch programs on many ranks, on this machine or by a scheduler: the command rankloop, or python -m launch."""

import sys

AT_START = frozenset(sys.modules)
"""What Python itself had imported before any of the toolkit."""

import importlib  # noqa: E402
import os  # noqa: E402
from pathlib import Path  # noqa: E402

VERSION = "0.1.0"

HOME = Path(__file__).resolve().parent.parent
"""The folder in which the toolkit lies: its packages, jobs/ and modules/."""

PACKAGES = ("launch", "profiling", "workloads")

INSIDE = HOME / "launch" / "inside"
"""The folder that is last on the path of the ranks' programs: it holds the package rankloop, and nothing else."""

START = INSIDE / "rankloop" / "__main__.py"
"""The file of the command rankloop."""


def own_command(python: str, module: str, *words: str) -> list[str]:
    """The command that starts one of the toolkit's own processes: the ``main`` of a module on the words behind it.

    It names a file, so that nothing in the working directory or on PYTHONPATH can take the module's place.
    """
    return [python, str(START), module, *words]


USERS_PATH: list[str] = []
"""The folders of PYTHONPATH: first where modules of the user's are meant, last for all others that the toolkit imports."""


def import_packages() -> None:
    """Import the toolkit's packages from where they lie, before something of the user's that has the same name is found."""
    words = os.environ.get("PYTHONPATH", "")
    if words and not sys.flags.ignore_environment:
        USERS_PATH[:] = dict.fromkeys(map(os.path.abspath, words.split(os.pathsep)))
        sys.path[:] = [*(folder for folder in sys.path if folder not in USERS_PATH), *USERS_PATH]
    sys.path.insert(0, str(HOME))
    try:
        for name in PACKAGES:
            importlib.import_module(name)
    finally:
        del sys.path[0]


def add_users_workloads() -> None:
    """Let ``workloads.NAME`` be a module in a folder ``workloads`` of the user's path too, where the toolkit has none."""
    folders = importlib.import_module("workloads").__path__
    for entry in map(os.path.abspath, sys.path):
        folder = os.path.join(entry, "workloads")
        if folder not in folders and os.path.isdir(folder) and not is_toolkit(entry):
            folders.append(folder)


def is_toolkit(folder: str) -> bool:
    """Whether the toolkit lies in a folder, be it another copy of it."""
    return all(os.path.exists(os.path.join(folder, name, "__main__.py")) for name in ("launch", "profiling"))
