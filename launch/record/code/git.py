"""Asks git about a folder: its repository, its commit, and its files. Writes to no file of the user."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from launch.errors import Refusal
from launch.record.code import imports
from launch.record.code.tree import Tree, within

_TIMEOUT_S = 60
# git sets these in its hooks; they would make any folder part of that repository.
_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")

_PLACEHOLDERS = (".gitkeep", ".gitignore", ".gitattributes", ".keep")


class Unlisted(Refusal):
    """Git did not list the files of a repository in time."""


class Repository(NamedTuple):
    """The repository that a folder lies in."""

    top: str  # the working tree
    commit: str | None  # None before the first commit
    main: str | None = None  # for a worktree, its main repository


def repository(folder: str) -> Repository | str:
    """Return the repository that a folder lies in, or a text that says why there is none."""
    marked = _marked(folder)
    if marked is None:
        return "no git repository"
    try:
        words = ["rev-parse", "--show-toplevel", "--git-dir", "--git-common-dir", "HEAD"]
        done = _start(folder, words).communicate(timeout=_TIMEOUT_S)
    except FileNotFoundError:
        return f"{marked} is a git repository, and git is not installed here to read it"
    except subprocess.TimeoutExpired:
        return f"git did not answer within {_TIMEOUT_S} s about {marked}"
    said = [os.fsdecode(line) for line in done[0].split(b"\n")]
    if len(said) < 4:
        why = done[1].decode(errors="replace")
        if "dubious ownership" in why:
            return (
                f"git refuses {marked}, as it belongs to another user; if you trust it: git config --global --add "
                f"safe.directory {marked}"
            )
        return f"git cannot read {marked} ({' '.join(why.split())[:200]})"
    top, commit = said[0], said[3]
    own, common = (os.path.realpath(os.path.join(folder, path)) for path in said[1:3])
    main = None if own == common else common.removesuffix("/.git")
    return Repository(top, commit if commit != "HEAD" else None, main)


def files_of(top: str, below: str = ".") -> tuple[list[str], list[str]]:
    """Return the tracked and new files of a repository, and what it ignores (folders as a whole); paths are relative to
    its top.

    Raises
    ------
    Unlisted
        If git does not list them in time.
    """
    try:
        listings = [
            _start(top, ["ls-files", "-z", "--full-name", "--exclude-standard", *which, "--", below])
            for which in (["--cached", "--others"], ["--others", "--ignored", "--directory"])
        ]
        answers = [listing.communicate(timeout=_TIMEOUT_S) for listing in listings]
    except (OSError, subprocess.TimeoutExpired):
        answers = []
    if not answers or any(listing.returncode for listing in listings):
        raise Unlisted(
            f"git does not list the files of {top} within {_TIMEOUT_S} s: have it ignore folders of many files "
            "(.gitignore), or give --no-snapshot"
        )
    tracked, ignored = (sorted({os.fsdecode(name) for name in out.split(b"\0") if name}) for out, _ in answers)
    return tracked, ignored


def tree(found: Repository, own: str | None, runs: str, below: str = "") -> Tree:
    """Return the tree of a repository, or of a folder in it, including its submodules and nested repositories."""
    root = os.path.join(found.top, below) if below else found.top
    files, links, notes = _listed(found.top, below, runs)
    if found.main:
        notes.append(f"a worktree of {found.main}")
    real = own and os.path.realpath(own)
    if real and within(real, root) and os.path.relpath(real, root) not in files:
        extra = imports.beside([os.path.dirname(real)], [real])
        inner = os.path.relpath(os.path.dirname(real), root)
        files += [os.path.normpath(os.path.join(inner, name)) for names in extra.values() for name in names]
        notes.append(f"{os.path.basename(real)} is ignored by git, and taken all the same")
    return Tree(
        root=root,
        files=tuple(dict.fromkeys(files)),
        links=tuple(links),
        what=root,
        commit=found.commit,
        notes=tuple(notes),
    )


def _listed(top: str, below: str, runs: str) -> tuple[list[str], list[str], list[str]]:
    """Return the files and links of a repository, with paths relative to the folder ``below`` its top, and notes."""
    tracked, ignored = files_of(top, below or ".")
    cut = len(below) + 1 if below else 0
    ours = [*_runs(top, tracked, runs), *_environments(tracked), *_kept_empty(tracked, below)]
    files, notes = [], []
    links = [*ours, *ignored]
    for name in tracked:
        if ours and any(within(name, each) for each in ours):
            continue
        try:
            mode = os.lstat(os.path.join(top, name)).st_mode
        except OSError:  # deleted, or not part of a sparse working tree
            continue
        if stat.S_ISDIR(mode):
            inner = name.rstrip("/")
            if (nested := _nested(top, inner)) is None:
                notes.append(f"submodule {inner} is not checked out")
                continue
            more, ignored_there, notes_there = _listed(nested.top, "", runs)
            files += [os.path.join(inner, each) for each in more]
            links += [os.path.join(inner, each) for each in ignored_there]
            at = nested.commit[:8] if nested.commit else "no commit"
            notes += [f"with {inner} at {at}" + ", changed" * _has_changes(nested.top), *notes_there]
        elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            files.append(name)
    names = {link.rstrip("/"): None for link in links if not any(within(link, each) and link != each for each in ours)}
    kept = [link for link in names if os.path.basename(link) != "__pycache__" and not link.endswith(".pyc")]
    return (
        [name[cut:] for name in files],
        [link[cut:] for link in kept if not cut or link.startswith(f"{below}/")],
        notes,
    )


def within_it(top: str, below: str) -> list[str]:
    """Return the submodules and nested repositories below a folder of a repository; paths are relative to its top."""
    try:
        names = files_of(below)[0]
    except Unlisted:
        return []
    folders = [name.rstrip("/") for name in names if os.path.isdir(os.path.join(top, name))]
    return [inner for inner in folders if not os.path.islink(os.path.join(top, inner)) and _nested(top, inner)]


def _nested(top: str, inner: str) -> Repository | None:
    """Return the repository whose top is a folder of another one; None if it is not, as a submodule that is not checked
    out."""
    found = repository(os.path.join(top, inner))
    return None if isinstance(found, str) or found.top != os.path.join(top, inner) else found


def _has_changes(top: str) -> bool:
    """Return whether a repository has changes that are in no commit; not if git does not say so in time."""
    try:
        return bool(_start(top, ["status", "--porcelain"]).communicate(timeout=_TIMEOUT_S)[0])
    except (OSError, subprocess.TimeoutExpired):
        return False


def _runs(top: str, names: Sequence[str], runs: str) -> list[str]:
    """Return the folders of runs in a repository that does not ignore them: they are not code."""
    found = []
    if within(runs, top) and runs != top:
        found.append(os.path.relpath(runs, top))
    for name in names:
        folder, file = os.path.split(name)
        if file in ("run.json", "study.json", "workflow.json") and not any(within(name, each) for each in found):
            place = os.path.join(top, folder)
            if folder and any(os.path.isdir(os.path.join(place, beside)) for beside in ("jobs", ".code")):
                found.append(folder)
    return found


def _environments(names: Sequence[str]) -> list[str]:
    """Return the environments of venv and conda in a repository that does not ignore them: installed packages are not
    copied."""
    marks = ("/pyvenv.cfg", "/conda-meta/history")
    return [name.removesuffix(mark) for name in names for mark in marks if name.endswith(mark)]


def _kept_empty(names: Sequence[str], below: str) -> list[str]:
    """Return the topmost folders of which a repository holds only placeholders: they are for data or outputs, not
    code."""
    with_code, found = {"", below}, set()
    for name in names:
        folder, file = os.path.split(name.rstrip("/"))
        while file not in _PLACEHOLDERS and folder not in with_code:
            with_code.add(folder)
            folder = os.path.dirname(folder)
    for name in names:
        folder, file = os.path.split(name)
        if file in _PLACEHOLDERS and folder not in with_code:
            while (above := os.path.dirname(folder)) not in with_code:
                folder = above
            found.add(folder)
    return sorted(found)


def environment() -> dict[str, str]:
    """Return the environment for git: in English, and without variables that name another repository."""
    kept = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}
    return kept | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}


def _start(folder: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["git", "-C", folder, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )


def _marked(folder: str) -> str | None:
    """Return the nearest folder above that looks like the top of a repository. Asking git about every folder takes
    longer."""
    while not os.path.lexists(os.path.join(folder, ".git")):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return None
    return folder
