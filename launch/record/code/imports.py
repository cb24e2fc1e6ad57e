"""Finds the modules that a program imports from its own folder, by reading its source. Without a repository, these are
its code."""

import os
from collections.abc import Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES

_SUFFIXES = (".py", *EXTENSION_SUFFIXES)


def beside(folders: Sequence[str], first: Sequence[str]) -> dict[str, list[str]]:
    """Return the files of a program, by the folder in which they are found.

    Imports under names that are made only at run time cannot be seen.

    Parameters
    ----------
    folders : sequence of str
        Folders in which its modules are looked for, in this order.
    first : sequence of str
        Paths of files, or of packages, in these folders.

    Returns
    -------
    dict of str to list of str
        The relative paths of the files, by folder; packages are complete.
    """
    found: dict[str, list[str]] = {}
    waiting, seen = list(first), set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        folder = next((folder for folder in folders if path.startswith(os.path.join(folder, ""))), None)
        if folder is None:
            continue
        for file in [path] if os.path.isfile(path) else _files(path):
            found.setdefault(folder, []).append(os.path.relpath(file, folder))
            if file.endswith(".py") and os.path.isfile(file):
                waiting += [place for name in _imported(file) if (place := _place(folders, name))]
    return {folder: sorted(set(files)) for folder, files in found.items()}


def _place(folders: Sequence[str], name: str) -> str | None:
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.isdir(path) and any(file.endswith(".py") for file in _files(path)):
            return path
        for suffix in _SUFFIXES:
            if os.path.isfile(path + suffix):
                return path + suffix
    return None


def _imported(file: str) -> set[str]:
    """Return the first words of the modules that a file imports."""
    import ast  # not needed for a repository

    try:
        with open(file, "rb") as opened:
            tree = ast.parse(opened.read())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.partition(".")[0])
    return names


def _files(folder: str) -> Iterator[str]:
    for inner, folders, files in os.walk(folder):
        if "jobs" in folders and not {"run.json", "study.json"}.isdisjoint(files):  # a run is not code
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        paths = [os.path.join(inner, name) for name in sorted(files) if not name.endswith(".pyc")]
        yield from (path for path in paths if os.path.islink(path) or os.path.isfile(path))  # no pipes and sockets
