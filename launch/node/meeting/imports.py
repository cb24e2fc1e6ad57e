"""Runs a function when the user's program has imported a certain module, for example to change the module."""

import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def after(name: str, change: Callable[[ModuleType], object]) -> None:
    """Call a function with a module as soon as the module has been imported, if it ever is.

    Parameters
    ----------
    name : str
        Full name of the module.
    change : callable
        Function that is called with the module.
    """
    sys.meta_path.insert(0, _Finder(name, change))  # pyright: ignore[reportArgumentType]


class _Finder:
    def __init__(self, module: str, change: Callable[[ModuleType], object]) -> None:
        self._module, self._change = module, change

    def find_spec(
        self, name: str, path: Any, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (execute(module), self._change(module))[0]
        return spec
