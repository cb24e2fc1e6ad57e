"""Runs the user's program in this process, as ``python script.py`` or ``python -m module`` would.

The program is the module ``__main__`` to the end of the process, with the path, arguments and imports that it has under
plain Python. If it has modules of its own with the names of the toolkit's packages, or of others that were imported
earlier, it gets its own.
"""

import builtins
import importlib.util
import io
import os
import sys
import types
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from typing import Any

from launch import AT_START, HOME, INSIDE, PACKAGES, START, USERS_PATH, add_users_workloads, is_toolkit, save_no_more
from launch.node.program.copies import Copies


def run(words: list[str], cwd: str, ours: bool, copies: Copies) -> None:
    """Run the program to the end of its code; its exceptions reach the caller.

    Parameters
    ----------
    words : list of str
        The path of a script, or ``-m`` and a module; and the arguments behind it.
    cwd : str
        The folder to work in.
    ours : bool
        Whether the program is a module of the toolkit, which needs the toolkit's packages.
    copies : Copies
        Copies of the code, from which the program is run.
    """
    os.chdir(cwd)
    save_no_more()
    path = os.path.dirname(os.path.realpath(words[0])) if words[0] != "-m" else cwd
    first = copies.path([*([] if sys.flags.safe_path else [path]), *USERS_PATH])
    sys.path[:] = [*first, INSIDE, *copies.path(folder for folder in sys.path if folder not in USERS_PATH)]
    words = [copies.file(words[0]), *words[1:]]
    sys.argv = words if words[0] != "-m" else words[1:]
    sys.orig_argv = [sys.executable, *words]  # some frameworks restart themselves with this
    if ours:
        copies.take_packages()
        sys.path.append(HOME)  # for processes that it starts
        add_users_workloads()
    else:
        _give_way(first)
    copies.find_modules()
    main: Any = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = main
    if words[0] == "-m":
        main.__spec__, code = _module(words[1])
        main.__loader__, main.__package__ = main.__spec__.loader, main.__spec__.parent
        sys.argv[0] = main.__file__ = str(main.__spec__.origin)
        main.__cached__ = main.__spec__.cached
    else:
        main.__loader__, main.__file__ = SourceFileLoader("__main__", words[0]), words[0]
        main.__cached__ = None
        with open(words[0], "rb") as file:
            code = compile(file.read(), words[0], "exec", dont_inherit=True)
    exec(code, main.__dict__)


def without_ours(trace: types.TracebackType | None) -> types.TracebackType | None:
    """Return the traceback of an error in the program, from the program's own first line on."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((_NODE, START, "<frozen importlib")):
        trace = trace.tb_next
    return trace


def printed(error: BaseException, trace: types.TracebackType | None) -> str:
    """Return what Python prints about an error. The module traceback, or one that it needs, may be the program's own by
    now, so nothing is imported for it."""
    before, sys.stderr = sys.stderr, io.StringIO()
    try:
        sys.__excepthook__(type(error), error.with_traceback(trace), trace)
        return sys.stderr.getvalue()
    finally:
        sys.stderr = before


_NODE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")


def _module(name: str) -> tuple[ModuleSpec, types.CodeType]:
    """Return the specification and the code of what ``python -m`` would run.

    Raises
    ------
    ImportError
        If there is no such module, or it is not Python; the message is Python's own.
    """
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{name}.__main__")
    loader: Any = spec and spec.loader
    code = loader.get_code(spec.name) if spec and hasattr(loader, "get_code") else None
    if spec is None or code is None:
        raise ImportError(f"No module named {name}: there is nothing to run", name=name)
    return spec, code


def _give_way(own: list[str]) -> None:
    """Forget imported modules for which the program has its own in its folders. The toolkit's stay importable if it has
    none of that name."""
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in PACKAGES}
    forgotten = {"", *PACKAGES}
    for name in {name.partition(".")[0] for name in sys.modules.keys() - AT_START} - forgotten:
        found = PathFinder.find_spec(name, own)
        before = getattr(sys.modules.get(name), "__spec__", None)
        if found is not None and found.loader is not None and (before is None or found.origin != before.origin):
            forgotten.add(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in forgotten]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Ours(kept))  # pyright: ignore[reportArgumentType]


class _Ours:
    """Finds the toolkit's packages for a program whose own path has no other of that name."""

    def __init__(self, modules: dict[str, types.ModuleType]) -> None:
        self._modules = modules

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in PACKAGES:
            return None
        if sys.path[:1] != [HOME]:  # rankloop.launch puts it first: it needs ours, whatever the program has
            users = [folder for folder in sys.path if not is_toolkit(folder)]
            if found := PathFinder.find_spec(name, users):
                return found
        if HOME not in sys.path:
            sys.path.append(HOME)  # processes that the program starts by multiprocessing get its path
        for inner, module in self._modules.items():
            if inner.startswith(f"{name}."):
                sys.modules.setdefault(inner, module)
        module = self._modules[name]
        ours: Any = self  # not derived from importlib.abc.Loader: importing that takes 5 ms
        return ModuleSpec(name, ours, origin=module.__file__, is_package=True, loader_state=module.__spec__)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return self._modules[spec.name]

    def exec_module(self, module: types.ModuleType) -> None:
        spec: Any = module.__spec__
        module.__spec__ = spec.loader_state
