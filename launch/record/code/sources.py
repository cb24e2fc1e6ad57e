"""Finds the files that are the code of a run: its repositories, or what a script imports from its own folder."""

import contextlib
import functools
import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

from launch import HOME, PACKAGES, is_toolkit
from launch.plan.plan import Plan
from launch.record.code import git, imports
from launch.record.code.tree import Tree, within


class Sources(NamedTuple):
    """The code of a run."""

    trees: tuple[Tree, ...]
    copied: bool  # whether the ranks can run a copy; code of programs other than Python is only watched
    notes: tuple[str, ...] = ()  # remarks about what is in none of the trees


def of(plan: Plan, runs: Path, copied: bool = True) -> Sources:
    """Return the code of a run; all runs of a study have the same.

    Parameters
    ----------
    plan : Plan
        Plan of the run.
    runs : Path
        The folder for the run.
    copied : bool
        Whether the code will be copied. If not, a repository whose files cannot be listed is not refused.

    Raises
    ------
    Refusal
        If git does not list in time what is in a repository that is to be copied.
    """
    read = _read_by_program(plan)
    try:
        found = _of(plan.kind, plan.workload, plan.cwd, plan.pythonpath, str(runs), read)
    except git.Unlisted as refusal:
        if copied:
            raise
        return Sources((), False, (str(refusal).partition(":")[0],))
    if copied and read is not None and os.path.basename(plan.workload).startswith("python"):
        name, python = os.path.relpath(read, plan.cwd), os.path.basename(plan.workload)
        return found._replace(notes=(*found.notes, f"give {name} without {python}, and the run has a copy of it"))
    return found


@functools.cache
def _of(kind: str, name: str, cwd: str, pythonpath: tuple[str, ...], runs: str, read: str | None) -> Sources:
    own = _file(kind, name, [cwd, *pythonpath])
    if kind == "program":
        return _program(name, own, read, cwd, runs)
    folders = [cwd] if kind != "script" else []
    if own is None:
        notes = [f"{name} is not found as a file"]
    elif _is_installed(own):
        notes = [f"{name} is installed in {os.path.dirname(own)}, and not copied"]
    elif _is_toolkits(own):  # a workload of the toolkit imports nothing of the user's
        if _part(own) in ("launch", "profiling"):
            return Sources((), False, (f"the toolkit's {name}, as it is",))
        return Sources((_toolkits(own, runs),), True)
    else:
        notes, folders = [], [os.path.dirname(os.path.realpath(own)), *folders]
    folders += map(os.path.realpath, pythonpath)
    trees, loose = _repositories(dict.fromkeys(folders), own, runs)
    if own is not None and not _is_installed(own) and os.path.dirname(os.path.realpath(own)) in loose:
        trees = (*_loose(kind, name, own, loose, pythonpath), *trees)
    if own is not None and os.path.islink(own):
        itself = os.path.join(os.path.realpath(os.path.dirname(own)), os.path.basename(own))
        if not any(itself[len(tree.root) + 1 :] in tree.files for tree in trees if within(itself, tree.root)):
            notes.append(f"{own} is a link, and __file__ and sys.argv[0] are those of {os.path.realpath(own)}")
    # The working directory is among the last if the launcher has looked for modules in it.
    others = [path for path in sys.path if path != cwd and os.path.isdir(path) and not _is_installed(path)]
    others = [path for path in others if not any(map(is_toolkit, [path, f"{path}/../.."])) and not within(path, HOME)]
    others = [path for path in others if not any(within(os.path.realpath(path), tree.root) for tree in trees)]
    if others:
        notes.append(f"not copied: {', '.join(dict.fromkeys(others))}, on the path of {sys.executable}")
    return Sources(trees, True, tuple(notes))


def _read_by_program(plan: Plan) -> str | None:
    """Return the script that the program is to read, if that is a Python or a shell and its first argument a file."""
    if plan.kind != "program":
        return None
    from launch.plan.target import cooperation  # imported late, as only programs need it

    script = cooperation.script_of(plan.workload, plan.arguments)
    path = os.path.join(plan.cwd, script or "")
    return path if script and os.path.isfile(path) else None


def _program(name: str, own: str | None, read: str | None, cwd: str, runs: str) -> Sources:
    """Return an executable or the script that it reads, with its repository or, if it is found on PATH and reads none,
    that of the working directory. All of this is only watched, because the paths by which it finds what it needs are
    not known."""
    notes = () if own else (f"{name} is found on the nodes",)
    own = read or own
    folder = os.path.dirname(os.path.realpath(own)) if own else cwd
    found = git.repository(folder)
    if isinstance(found, git.Repository) and not _is_everything(found.top):
        with contextlib.suppress(git.Unlisted):
            return Sources((git.tree(found, own, runs),), False, notes)
    if own is None:
        return Sources((), False, notes)
    tree = Tree(root=folder, files=(os.path.basename(os.path.realpath(own)),), links=(), what=own)
    return Sources((tree,), False, notes)


def _repositories(folders: Iterable[str], own: str | None, runs: str) -> tuple[tuple[Tree, ...], dict[str, str]]:
    """Return the repositories that contain the folders, one tree each, and the folders without a repository, with the
    reason."""
    trees: dict[str, Tree] = {}
    loose: dict[str, str] = {}
    for folder in folders:
        if any(within(folder, root) for root in trees) or _is_installed(folder) or not os.path.isdir(folder):
            continue
        if _is_toolkits(folder):
            if _part(folder) not in (os.curdir, *PACKAGES):
                tree = _toolkits(folder, runs)
                trees[tree.root] = tree
            continue
        found = git.repository(folder)
        if isinstance(found, str):
            loose[folder] = found
        elif _is_everything(found.top):
            loose[folder] = f"the repository {found.top} is not taken as a whole"
        else:
            trees[found.top] = git.tree(found, own, runs)
    return tuple(trees.values()), loose


def _toolkits(path: str, runs: str) -> Tree:
    """Return the folder of the toolkit's checkout that holds a module. Users change its workloads, so these are copied;
    launch and profiling are not."""
    below = _part(path)
    root = os.path.join(HOME, below)
    if os.path.isfile(root):
        found = imports.beside([HOME], [root]).get(HOME, [])
        files = tuple(name for name in found if name.partition("/")[0] not in PACKAGES)
        return Tree(root=HOME, files=files, links=(), what=f"{below} in the toolkit's folder")
    found = git.repository(root)
    if isinstance(found, str):
        files = tuple(os.path.relpath(name, below) for name in imports.beside([HOME], [root]).get(HOME, ()))
        return Tree(root=root, files=files, links=(), what=f"the toolkit's {below}", notes=(found,))
    tree = git.tree(found, None, runs, os.path.relpath(root, found.top))
    return tree._replace(what=f"the toolkit's {below}")


def _loose(kind: str, name: str, own: str, loose: dict[str, str], pythonpath: Sequence[str]) -> Iterable[Tree]:
    """Yield what a program without a repository imports from its own folders; everything else in them is linked."""
    real = os.path.realpath(own)
    top = os.path.dirname(real)
    if kind != "script":  # the folder in which the full name begins
        ups = name.count(".") + (os.path.basename(real) in ("__init__.py", "__main__.py"))
        top = os.path.normpath(os.path.join(top, *[os.pardir] * ups))
    first = os.path.join(top, name.partition(".")[0])
    start = first if kind != "script" and os.path.isdir(first) else real
    places = dict.fromkeys([top, *(os.path.realpath(path) for path in pythonpath if os.path.realpath(path) in loose)])
    found = imports.beside(list(places), [start])
    for folder, files in found.items():
        links = _links(own, top) if folder == top else []  # copied as such, to lead to the copy of the script
        taken = {file.partition("/")[0] for file in (*files, *links)}
        try:
            others = [each for each in os.listdir(folder) if each not in taken and each != "__pycache__"]
        except OSError:
            others = []
        what = f"{len(files)} files of {folder}"
        if folder == top:
            what = f"{os.path.basename(real)}{' and what it imports' * (len(files) > 1)} from {folder}"
        notes = (loose.get(os.path.dirname(real), "no git repository"),) if folder == top else ()
        yield Tree(root=folder, files=(*files, *links), links=tuple(sorted(others)), what=what, notes=notes)


def _links(path: str, folder: str) -> list[str]:
    """Return the names of the links in a folder, one after the other, by which a path leads to a file there."""
    names: list[str] = []
    while os.path.islink(path) and os.path.realpath(os.path.dirname(path)) == folder:
        names.append(os.path.basename(path))
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    return names


def _file(kind: str, name: str, path: Sequence[str]) -> str | None:
    """Return the file that is run. The packages of a module are not imported to find it."""
    if kind in ("script", "program"):
        return name if os.path.isabs(name) and os.path.isfile(name) else None
    parts = name.split(".")
    if parts[0] == "workloads":
        for folder in [HOME, *path]:
            inner = os.path.join(folder, *parts)
            if file := next((each for each in (f"{inner}.py", f"{inner}/__init__.py") if os.path.isfile(each)), None):
                return file
    spec = PathFinder.find_spec(parts[0], [*path, *sys.path])
    if spec is None:
        try:
            spec = importlib.util.find_spec(parts[0])
        except (ImportError, ValueError):
            return None
    for place in range(1, len(parts)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join(parts[: place + 1]), list(spec.submodule_search_locations))
    if spec is None:
        return None
    if spec.origin is None or not os.path.isabs(spec.origin):
        return next((os.path.join(place, "__main__.py") for place in spec.submodule_search_locations or ()), None)
    return spec.origin


def _is_installed(path: str) -> bool:
    """Return whether a path belongs to Python or an installed package. Checking for the prefix is not enough: a user's
    code may lie in it too."""
    real = os.path.realpath(path)
    return not {"site-packages", "dist-packages"}.isdisjoint(real.split("/")) or any(
        within(real, os.path.realpath(own)) for own in (os.path.dirname(os.__file__), f"{sys.prefix}/bin")
    )


def _is_everything(top: str) -> bool:
    """Return whether a repository is a home directory, as some users keep their settings in one: not everything there
    is code."""
    return top in ("/", os.path.realpath(os.path.expanduser("~")))


def _part(path: str) -> str:
    """Return the part of the toolkit's checkout that contains a path."""
    return os.path.relpath(os.path.realpath(path), HOME).split(os.sep)[0]


def _is_toolkits(path: str) -> bool:
    return within(os.path.realpath(path), HOME) and not _is_installed(path)
