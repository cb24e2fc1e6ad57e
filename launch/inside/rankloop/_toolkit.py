"""Imports the toolkit behind this package, which launches studies and reads them, in a process that asks for it."""

from __future__ import annotations

import importlib.util
import os
import sys

from rankloop.__main__ import home

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types

_PACKAGES = ("launch", "profiling", "workloads")
_NEEDED = ("numpy", "psutil", "submitit")  # checked at once, so that a study does not fail half-way


def api(wanted: str) -> types.ModuleType:
    """Return the module that has the wanted name.

    Raises
    ------
    ImportError
        If this Python is too old, lacks a package that the toolkit needs, or has imported other packages of its names.
    """
    folder = home()
    if folder is None or sys.version_info < (3, 11):
        raise _error(wanted, "it needs the toolkit, in a Python of 3.11 or newer")
    if missing := next((name for name in _NEEDED if importlib.util.find_spec(name) is None), None):
        raise _error(wanted, f"{missing} is not installed for it")
    for name in _PACKAGES:
        found = getattr(sys.modules.get(name), "__path__", None)
        if name in sys.modules and os.path.join(folder, name) not in map(os.path.realpath, found or ()):
            where = getattr(sys.modules[name], "__file__", None) or "this program"
            raise _error(wanted, f"a module {name!r} of your own is imported already ({where}); rename it")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("profiling.api")
    finally:
        sys.path.remove(folder)


def _error(wanted: str, why: str) -> ImportError:
    return ImportError(
        f"rankloop.{wanted} cannot be used in {sys.executable}: {why}: take the Python in which rankloop is installed"
    )
