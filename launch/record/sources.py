"""Which files are the code of a run: the repositories that it lies in, or what a script imports from its own folder."""

import functools
import importlib.util
import os
import stat
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

from launch import HOME, PACKAGES, is_toolkit
from launch.errors import Refusal
from launch.plan.plan import Plan
from launch.record import git, imports

BLOCK = 4096
"""Bytes that the smallest file takes on a disk, and a link is counted as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A folder of code.

    Parameters
    ----------
    root : str
        The folder, links resolved.
    files : tuple of str
        Those that are code; paths from the root.
    links : tuple of str
        Files and folders that are not, and stay where they are.
    what : str
        In words, for the plan.
    commit : str or None
        Of its repository.
    notes : tuple of str
        What else there is to know, a phrase each.
    """

    root: str
    files: tuple[str, ...]
    links: tuple[str, ...]
    what: str
    commit: str | None = None
    notes: tuple[str, ...] = ()

    def sizes(self) -> dict[str, int]:
        """Bytes on the disk of each file and link."""
        sizes = dict.fromkeys(self.links, BLOCK)
        for name in self.files:
            sizes[name] = max(BLOCK, _size(os.path.join(self.root, name)))
        return sizes


class Sources(NamedTuple):
    """The code of a run."""

    trees: tuple[Tree, ...]
    copied: bool  # whether the ranks can run a copy of it: that of a program which is no Python is only looked at
    notes: tuple[str, ...] = ()  # of what is in none of the trees


def of(plan: Plan, runs: Path) -> Sources:
    """The code of a run, whose folder is to lie in the folder ``runs``; the same answer for all runs of a study.

    Raises
    ------
    Refusal
        If git does not say in time what is in a repository.
    """
    return _of(plan.kind, plan.workload, plan.cwd, plan.pythonpath, str(runs))


@functools.cache
def _of(kind: str, name: str, cwd: str, pythonpath: tuple[str, ...], runs: str) -> Sources:
    own = _file(kind, name, [cwd, *pythonpath])
    if kind == "program":
        if own is None:
            return Sources((), False, (f"{name} is found on the nodes",))
        folder, file = os.path.split(os.path.realpath(own))
        found = git.repository(folder)
        commit = found.commit if isinstance(found, git.Repository) else None
        return Sources((Tree(root=folder, files=(file,), links=(), what=own, commit=commit),), False)
    folders = [cwd] if kind != "script" else []
    if own is None:
        notes = [f"{name} is not found as a file"]
    elif _is_installed(own):
        notes = [f"{name} is installed in {os.path.dirname(own)}, and not copied"]
    elif _is_toolkits(own):  # which imports nothing of the user's
        return Sources((_toolkits(own, runs),), True)
    else:
        notes, folders = [], [os.path.dirname(os.path.realpath(own)), *folders]
    folders += map(os.path.realpath, pythonpath)
    trees, loose = _repositories(dict.fromkeys(folders), own, runs)
    if own is not None and not _is_installed(own) and os.path.dirname(os.path.realpath(own)) in loose:
        trees = (*_loose(kind, name, own, loose, cwd, pythonpath), *trees)
    # The working directory is among the last where the launcher has looked for modules in it.
    others = [path for path in sys.path if path != cwd and os.path.isdir(path) and not _is_installed(path)]
    others = [path for path in others if not any(map(is_toolkit, [path, f"{path}/../.."])) and not _within(path, HOME)]
    others = [path for path in others if not any(_within(os.path.realpath(path), tree.root) for tree in trees)]
    if others:
        notes.append(f"not copied: {', '.join(dict.fromkeys(others))}, on the path of {sys.executable}")
    return Sources(trees, True, tuple(notes))


def _repositories(folders: Iterable[str], own: str | None, runs: str) -> tuple[tuple[Tree, ...], dict[str, str]]:
    """The repositories in which folders lie, a tree each; and the folders that lie in none, with the reason."""
    trees: dict[str, Tree] = {}
    loose: dict[str, str] = {}
    for folder in folders:
        if any(_within(folder, root) for root in trees) or _is_installed(folder) or not os.path.isdir(folder):
            continue
        if _is_toolkits(folder):
            if os.path.relpath(folder, HOME).split(os.sep)[0] not in (os.curdir, *PACKAGES):
                tree = _toolkits(folder, runs)
                trees[tree.root] = tree
            continue
        found = git.repository(folder)
        if isinstance(found, str):
            loose[folder] = found
        elif found.top in ("/", os.path.realpath(os.path.expanduser("~"))):
            loose[folder] = f"the repository {found.top} is not taken as a whole"
        else:
            trees[found.top] = _repository(found, own, runs)
    return tuple(trees.values()), loose


def _repository(found: git.Repository, own: str | None, runs: str, below: str = "") -> Tree:
    """The tree of a repository, or of a folder in it: with the submodules and repositories that lie in it."""
    root = os.path.join(found.top, below) if below else found.top
    files, links, notes = _listed(found.top, below, runs)
    if found.main:
        notes.append(f"a worktree of {found.main}")
    real = own and os.path.realpath(own)
    if real and _within(real, root) and os.path.relpath(real, root) not in files:
        extra = imports.beside([os.path.dirname(real)], [real])
        inner = os.path.relpath(os.path.dirname(real), root)
        files += [os.path.normpath(os.path.join(inner, name)) for names in extra.values() for name in names]
        notes.append(f"{os.path.basename(real)} is ignored by git, and copied all the same")
    return Tree(
        root=root,
        files=tuple(dict.fromkeys(files)),
        links=tuple(links),
        what=root,
        commit=found.commit,
        notes=tuple(notes),
    )


def _listed(top: str, below: str, runs: str) -> tuple[list[str], list[str], list[str]]:
    """Files and links of a repository, paths from the folder ``below`` its top; and notes."""
    tracked, ignored = git.files(top, below or ".")
    cut = len(below) + 1 if below else 0
    ours = _runs(top, tracked, runs)
    files, notes = [], []
    links = [*ours, *ignored]
    for name in tracked:
        if any(_within(name, each) for each in ours):
            continue
        try:
            mode = os.lstat(os.path.join(top, name)).st_mode
        except OSError:  # deleted, or left out of a sparse working tree
            continue
        if stat.S_ISDIR(mode):
            inner = name.rstrip("/")
            nested = git.repository(os.path.join(top, inner))
            if isinstance(nested, str) or nested.top != os.path.join(top, inner):
                notes.append(f"submodule {inner} is not checked out")
                continue
            more, ignored_there, notes_there = _listed(nested.top, "", runs)
            files += [os.path.join(inner, each) for each in more]
            links += [os.path.join(inner, each) for each in ignored_there]
            notes += [f"with {inner} at {nested.commit[:8] if nested.commit else 'no commit'}", *notes_there]
        elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            files.append(name)
    names = [link.rstrip("/") for link in links]
    kept = [link for link in names if os.path.basename(link) != "__pycache__" and not link.endswith(".pyc")]
    return [name[cut:] for name in files], [name[cut:] for name in kept if len(name) > cut], notes


def _runs(top: str, names: Sequence[str], runs: str) -> list[str]:
    """The folders of runs in a repository that does not ignore them: they are not code."""
    found = []
    if _within(runs, top) and runs != top:
        found.append(os.path.relpath(runs, top))
    for name in names:
        folder, file = os.path.split(name)
        if file in ("run.json", "study.json", "workflow.json") and not any(_within(name, each) for each in found):
            place = os.path.join(top, folder)
            if folder and any(os.path.isdir(os.path.join(place, beside)) for beside in ("jobs", ".code")):
                found.append(folder)
    return found


def _toolkits(path: str, runs: str) -> Tree:
    """The folder of the toolkit's checkout that holds a module: its workloads, which users change; launch and profiling stay."""
    below = os.path.relpath(path, HOME).split(os.sep)[0]
    root = os.path.join(HOME, below)
    found = git.repository(root)
    if isinstance(found, str) or not os.path.isdir(root):
        files = imports.beside([HOME], [root])
        return Tree(root=root, files=tuple(os.path.relpath(name, below) for name in files.get(HOME, ())), links=(),
                    what=f"the toolkit's {below}", notes=(str(found),) if isinstance(found, str) else ())  # fmt: skip
    tree = _repository(found, None, runs, os.path.relpath(root, found.top))
    return Tree(root=root, files=tree.files, links=tree.links, what=f"the toolkit's {below}", commit=tree.commit,
                notes=tree.notes)  # fmt: skip


def _loose(
    kind: str, name: str, own: str, loose: dict[str, str], cwd: str, pythonpath: Sequence[str]
) -> Iterable[Tree]:
    """What a program without a repository imports from its own folders; all else in them is linked."""
    real = os.path.realpath(own)
    top = os.path.dirname(real)
    if kind != "script":  # the folder that the whole name begins in
        ups = name.count(".") + (os.path.basename(real) in ("__init__.py", "__main__.py"))
        top = os.path.normpath(os.path.join(top, *[os.pardir] * ups))
    first = os.path.join(top, name.partition(".")[0])
    start = first if kind != "script" and os.path.isdir(first) else real
    places = dict.fromkeys([top, *(os.path.realpath(path) for path in pythonpath if os.path.realpath(path) in loose)])
    found = imports.beside(list(places), [start])
    for folder, files in found.items():
        taken = {file.partition("/")[0] for file in files}
        try:
            others = [each for each in os.listdir(folder) if each not in taken and each != "__pycache__"]
        except OSError:
            others = []
        what = os.path.basename(real) if len(files) == 1 and folder == top else f"{len(files)} files"
        yield Tree(
            root=folder,
            files=tuple(files),
            links=tuple(sorted(others)),
            what=f"{what} of {folder}" if folder != top or len(files) == 1 else f"{os.path.basename(real)} and what it imports from {folder}",
            notes=(loose.get(os.path.dirname(real), "no git repository"),) if folder == top else (),
        )  # fmt: skip


def _file(kind: str, name: str, path: Sequence[str]) -> str | None:
    """The file of what is run. Of a module its packages are not imported."""
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


@functools.cache
def _libraries() -> tuple[str, ...]:
    """Where Python itself and installed packages lie. Not its whole prefix, in which a user's code may lie too."""
    paths = sysconfig.get_paths()
    return tuple({os.path.realpath(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")})


def _is_installed(path: str) -> bool:
    real = os.path.realpath(path)
    return not {"site-packages", "dist-packages"}.isdisjoint(real.split("/")) or any(
        _within(real, library) for library in _libraries()
    )


def _is_toolkits(path: str) -> bool:
    return _within(os.path.realpath(path), HOME) and not _is_installed(path)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def refuse_too_large(sources: Sources, most_mib: float, advice: str = "") -> None:
    """Refuse to copy more than a snapshot may have.

    Raises
    ------
    Refusal
        If it is larger; it names what is largest.
    """
    by_folder: dict[str, int] = {}
    for tree in sources.trees if sources.copied else ():
        for name, size in tree.sizes().items():
            first = os.path.join(tree.root, name.partition("/")[0])
            by_folder[first] = by_folder.get(first, 0) + size
    total = sum(by_folder.values())
    if total <= most_mib * 2**20:
        return
    largest = sorted(by_folder, key=lambda name: -by_folder[name])[:3]
    raise Refusal(
        f"the code in {' and '.join(tree.root for tree in sources.trees)} takes {_mib(total)} with each file as 4 KiB or more, "
        f"and a snapshot of it may take {most_mib:g} MiB; most is in "
        + ", ".join(f"{name} ({_mib(by_folder[name])})" for name in largest)
        + ": have git ignore what is not code, which is then linked; or give "
        + (advice or f"--snapshot-limit {total // 2**20 + 1} or --no-snapshot")
    )


def _mib(size: float) -> str:
    return f"{size / 2**20:.3g} MiB" if size < 2**30 else f"{size / 2**30:.3g} GiB"
