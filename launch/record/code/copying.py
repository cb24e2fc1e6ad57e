"""Copies the files of a tree, with links to what is not code, or only looks at them. Gives size, time and digest of
each."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from launch.record.code.tree import Tree

_PART = 2**22  # bytes that are copied at once
_MOST_BESIDE = 1000  # links to what lies beside a tree; more (in /tmp, say) would take longer than all else
_HASHED = 2**20  # bytes above which size and time of a file that is only watched stand for its content


def copied(tree: Tree, folder: Path) -> Iterator[tuple[str, int, int, str]]:
    """Copy a tree; yield the name, size, time and digest of each file."""
    folder.mkdir(mode=0o700)
    made = {""}
    for name in tree.files:
        parent = os.path.dirname(name)
        if parent not in made:
            _folders(str(folder), parent, made)
        source, target = os.path.join(tree.root, name), os.path.join(folder, name)
        try:
            if os.path.islink(source):
                os.symlink(_aim(source, tree.root), target)
                yield name, *look(source, False)
                continue
            yield name, *_copy(source, target)
        except FileNotFoundError:  # a short-lived file, of an editor
            continue
        except PermissionError:
            os.symlink(source, target)
    for name in sorted(set(tree.links)):
        _link(tree.root, os.path.realpath(folder), name)


def link_beside(tree: Tree, folder: Path) -> None:
    """Link to what lies beside a tree, in the folder of its copy, because programs find data and modules by ``..`` from
    their own file."""
    above = os.path.dirname(tree.root)
    try:
        names = [name for name in os.listdir(above) if name[0] != "."]
    except OSError:
        return
    for name in names if len(names) <= _MOST_BESIDE else ():
        with contextlib.suppress(FileExistsError):  # a copy
            os.symlink(os.path.join(above, name), folder / name)


def _copy(source: str, target: str) -> tuple[int, int, str]:
    """Copy a file as it is at one moment, or nearly so; return the size, time and digest of the copy."""
    digest, size = hashlib.sha256(), 0
    with open(source, "rb") as file:
        status = os.fstat(file.fileno())
        own = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 | status.st_mode & 0o100)
        with open(own, "wb") as copy:
            while part := file.read(_PART):
                digest.update(part)
                size += len(part)
                copy.write(part)
    return size, status.st_mtime_ns, digest.hexdigest()


def _folders(folder: str, path: str, made: set[str]) -> None:
    if path not in made:
        _folders(folder, os.path.dirname(path), made)
        os.makedirs(os.path.join(folder, path), mode=0o700, exist_ok=True)
        made.add(path)


def _link(root: str, folder: str, name: str) -> None:
    """Link to something that is not copied, in its place. If a folder was made there, link to the rest of its
    content."""
    source, target = os.path.join(root, name), os.path.join(folder, name)
    parent = os.path.dirname(target)
    if os.path.realpath(parent) != parent:  # the parent is a link to the user's own folder, which has it already
        return
    if os.path.isdir(target) and not os.path.islink(target):
        for inner in os.listdir(source):
            if inner != "__pycache__":
                _link(root, folder, os.path.join(name, inner))
    elif os.path.lexists(source) and not os.path.lexists(target):
        os.makedirs(parent, mode=0o700, exist_ok=True)
        os.symlink(source, target)


def _aim(link: str, root: str) -> str:
    """Return the target of a link in the copy: as before within the tree, else the absolute path."""
    text = os.readlink(link)
    whole = os.path.normpath(os.path.join(os.path.dirname(link), text))
    return text if not os.path.isabs(text) and whole.startswith(os.path.join(root, "")) else whole


def seen(tree: Tree) -> Iterator[tuple[str, int, int, str]]:
    """Yield the name, size, time and digest of each file of a tree, without copying it."""
    for name in tree.files:
        try:
            yield name, *look(os.path.join(tree.root, name), True)
        except OSError:
            continue


def look(path: str, shortly: bool) -> tuple[int, int, str]:
    """Return the size, time and digest of a file. If ``shortly``, size and time stand for the content of a large
    file."""
    status = os.lstat(path)
    if os.path.islink(path):
        content = os.fsencode(os.readlink(path))
    elif not stat.S_ISREG(status.st_mode):  # a pipe instead of a file: opening it would wait for ever
        content = b"no file"
    elif shortly and status.st_size > _HASHED:
        return status.st_size, status.st_mtime_ns, f"{status.st_size} {status.st_mtime_ns}"
    else:
        with open(path, "rb") as file:
            return status.st_size, status.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest()
    return status.st_size, status.st_mtime_ns, hashlib.sha256(content).hexdigest()
