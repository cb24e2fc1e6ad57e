"""Launch programs on many ranks, on this machine or by a scheduler: the command rankloop, or python -m launch."""

import sys

AT_START = frozenset(sys.modules)
"""What Python itself had imported before anything of the toolkit."""

import gc  # noqa: E402
import importlib.util  # noqa: E402
import os  # noqa: E402
import types  # noqa: E402
from typing import Any  # noqa: E402

VERSION = "0.1.0"

HOME = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
"""The folder in which the toolkit lies: its packages, jobs/ and modules/."""

PACKAGES = ("launch", "profiling", "workloads")

INSIDE = os.path.join(HOME, "launch", "inside")
"""The last folder on the path of the ranks' programs. It holds only the package rankloop."""

START = os.path.join(INSIDE, "rankloop", "__main__.py")
"""The file of the command rankloop."""


def own_command(python: str, module: str, *words: str) -> list[str]:
    """Return the command that starts one of the toolkit's own processes: the ``main`` of a module, with the words after
    it.

    The command names a file, so that nothing in the working directory or on PYTHONPATH can replace the module.
    """
    return [python, START, module, *words]


class _Later(types.ModuleType):
    """A module that is executed when something in it is first asked for."""

    def __getattr__(self, name: str) -> object:
        module: Any = self
        module.__class__ = types.ModuleType
        module.__spec__.loader.exec_module(module)
        return getattr(module, name)


def save_time() -> None:
    """Make short commands faster. Switch off garbage collection, as they make no garbage, and defer the execution of
    library modules that many others import but few commands use."""
    _thresholds[:] = gc.get_threshold()
    gc.set_threshold(100_000)
    for name in {
        "bz2", "ctypes", "hashlib", "inspect", "ipaddress", "json", "locale", "lzma", "platform", "random", "signal",
        "socket", "subprocess", "tempfile",
    } - sys.modules.keys():  # fmt: skip
        if (spec := importlib.util.find_spec(name)) is not None:
            sys.modules[name] = module = importlib.util.module_from_spec(spec)
            module.__class__ = _Later


_thresholds: list[int] = []  # thresholds of garbage collection that Python itself sets


def save_no_more() -> None:
    """Undo what `save_time` has done, for a program that expects an unmodified Python."""
    if _thresholds:
        gc.set_threshold(*_thresholds)
    for name in [name for name, module in sys.modules.items() if type(module) is _Later]:
        del sys.modules[name]  # nobody has used it yet; those that have imported it still can


def executed(name: str) -> bool:
    """Return whether a module has been imported, and not only deferred by `save_time`."""
    return name in sys.modules and type(sys.modules[name]) is not _Later


USERS_PATH: list[str] = []
"""The folders of PYTHONPATH. They come first in searches for the user's modules, and last for everything else that the
toolkit imports."""


def import_packages() -> None:
    """Import the toolkit's packages from their own folder, before modules of the user with the same names can be
    found."""
    words = os.environ.get("PYTHONPATH", "")
    if words and not sys.flags.ignore_environment:
        USERS_PATH[:] = dict.fromkeys(map(os.path.abspath, words.split(os.pathsep)))
        sys.path[:] = [*(folder for folder in sys.path if folder not in USERS_PATH), *USERS_PATH]
    sys.path.insert(0, HOME)
    try:
        for name in PACKAGES:
            importlib.import_module(name)
    finally:
        del sys.path[0]


def add_users_workloads() -> None:
    """Let ``workloads.NAME`` also be a module in a folder ``workloads`` on the user's path, if the toolkit has none of
    that name."""
    folders = importlib.import_module("workloads").__path__
    for entry in map(os.path.abspath, sys.path):
        folder = os.path.join(entry, "workloads")
        if folder not in folders and os.path.isdir(folder) and not is_toolkit(entry):
            folders.append(folder)


def is_toolkit(folder: str) -> bool:
    """Return whether a folder holds the toolkit, or another copy of it."""
    return all(os.path.exists(os.path.join(folder, name, "__main__.py")) for name in ("launch", "profiling"))
