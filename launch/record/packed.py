"""The environment of an interpreter, packed into one archive, from which each node gets its own copy: --stage-env.

The archive lies beside the runs, in .environments. Its name is made from its content: the path, size and time of each
file, and the system. Equal environments share an archive. It is an uncompressed tar file. Its first member names the
system. Then come the folder of the environment, as 0/, and, if it is a different one, that of the interpreter from
which the environment was made, as 1/. Compiled modules are in it, but do not count for its name, because they appear by
use.
"""

import contextlib
import functools
import io
import json
import os
import platform
import re
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from launch import HOME, START
from launch.errors import Refusal
from launch.plan.plan import Staged
from launch.record.code.tree import within
from launch.record.writing import replacing

FOLDER = ".environments"
_ABOUT = "packed.json"
_SYSTEM = ("/usr", "/")  # prefixes of interpreters that each node has on its own disk
_ABANDONED_S = 86400.0  # age at which the remains of a packing that was killed are removed


class _Environment(NamedTuple):
    roots: tuple[str, ...]
    entries: tuple[tuple[str, os.stat_result], ...]  # the path of each file and link
    key: str


def plan(runs: Path) -> Staged:
    """Return what would be packed for the interpreter of this process, and where; nothing is written.

    Raises
    ------
    Refusal
        If there is nothing to pack, or it cannot be read.
    """
    found = _look(sys.prefix, sys.base_prefix)
    kib = sum((status.st_size + 1023) // 1024 + 1 for _, status in found.entries)
    return {
        "archive": str((runs / FOLDER / f"{found.key}.tar").absolute()),
        "files": len(found.entries),
        "kib": kib,
        "python": "0/" + os.path.relpath(os.path.abspath(sys.executable), os.path.abspath(sys.prefix)),
        "start": _inside(os.path.realpath(START), found.roots),
        "outside": _outside(found.roots),
    }


def described(staged: Staged) -> str:
    """Return the text for the plan."""
    archive = staged["archive"]
    how = "as packed in" if os.path.exists(archive) else "to be packed as"
    text = f"{sys.prefix}, {staged['files']} files, {staged['kib'] / 1024:.3g} MiB, {how} {archive}"
    return f"{text}; sent to a disk of each node, and used from there" + (
        f"; not in it: {', '.join(staged['outside'])}" if staged["outside"] else ""
    )


def refuse_foreign(staged: Staged) -> None:
    """Make sure that an existing archive is of this system.

    Raises
    ------
    Refusal
        If it is of another system, or damaged.
    """
    archive = staged["archive"]
    try:
        with tarfile.open(archive, "r:") as tar:
            first = tar.next()
            about = tar.extractfile(first) if first and first.name == _ABOUT else None
            system = json.loads(about.read())["system"] if about else None
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, tarfile.TarError) as error:
        raise Refusal(f"--stage-env: {archive} is damaged ({error}): remove it, and it is packed again") from None
    if system != _system():
        raise Refusal(
            f"--stage-env: the environment packed in {archive} is of another system ({system}), and this is "
            f"{_system()}: remove it, and it is packed again"
        )


def pack(staged: Staged) -> None:
    """Write the archive, completely or not at all, unless it exists. If two launchers do so at once, either archive
    will do.

    Raises
    ------
    Refusal
        If the environment has changed since it was planned, or cannot be packed.
    """
    archive = Path(staged["archive"])
    if archive.exists():
        return
    found = _look(sys.prefix, sys.base_prefix)
    if f"{found.key}.tar" != archive.name:
        raise Refusal(f"--stage-env: {sys.prefix} has changed since the run was planned: try again")
    print(f"{'packing':<14} {sys.prefix}, {staged['kib'] / 1024:.3g} MiB", flush=True)
    try:
        archive.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_abandoned(archive.parent)
        with replacing(archive) as draft, tarfile.open(draft, "x:", format=tarfile.GNU_FORMAT) as tar:
            about = json.dumps({"system": _system(), "roots": found.roots}).encode()
            member = tarfile.TarInfo(_ABOUT)
            member.size = len(about)
            tar.addfile(member, io.BytesIO(about))
            for path, _ in found.entries:
                _add(tar, path, found.roots)
    except OSError as error:
        raise Refusal(
            f"--stage-env: {sys.prefix} cannot be packed as {archive} ({error.strerror}: {error.filename}): free some "
            "room, or leave it out"
        ) from None


@functools.cache  # the same for the many plans of a study
def _look(prefix: str, base: str) -> _Environment:
    import hashlib

    real, below = os.path.realpath(prefix), os.path.realpath(base)
    roots = tuple(root for root in dict.fromkeys([real, below]) if root not in _SYSTEM)
    if real not in roots:
        raise Refusal(
            f"--stage-env: {sys.executable} is the system's own Python, which each node has on its disk: leave it out"
        )
    if len(roots) == 2 and within(below, real):
        roots = (real,)
    digest = hashlib.sha256(f"{_system()}\0{roots}\0".encode(errors="surrogateescape"))
    entries: list[tuple[str, os.stat_result]] = []
    try:
        for root in roots:
            for path, status in _walk(root):
                entries.append((path, status))
                if "/__pycache__/" not in path:
                    size = status.st_size, status.st_mtime_ns, status.st_mode
                    digest.update(f"{path}\0{size}\0".encode(errors="surrogateescape"))
    except OSError as error:
        raise Refusal(
            f"--stage-env: {error.filename} cannot be read ({error.strerror}): fix it, or leave it out"
        ) from None
    return _Environment(roots, tuple(entries), digest.hexdigest()[:20])


def _walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        inner = sorted(entries, key=lambda entry: entry.name)
    for entry in inner:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
            yield entry.path, entry.stat(follow_symlinks=False)


def _add(tar: tarfile.TarFile, path: str, roots: tuple[str, ...]) -> None:
    member = tar.gettarinfo(path, _inside(path, roots))
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    if member.issym() and (target := _inside(os.path.join(os.path.dirname(path), member.linkname), roots)):
        member.linkname = os.path.relpath(target, os.path.dirname(member.name))  # where both will be
    if member.isreg():
        with open(path, "rb") as file:
            tar.addfile(member, file)
    else:
        tar.addfile(member)


def _inside(path: str, roots: tuple[str, ...]) -> str:
    """Return the name of a path in the archive; empty if it is outside."""
    folder, name = os.path.split(path)
    path = os.path.join(os.path.realpath(folder), name)
    place = next((place for place, root in enumerate(roots) if within(path, root)), None)
    return "" if place is None else f"{place}/{os.path.relpath(path, roots[place])}"


def _outside(roots: tuple[str, ...]) -> list[str]:
    """Return where the interpreter finds modules outside its environment: by lines of .pth files, and editable
    installs."""
    from launch import USERS_PATH

    folders = [folder for folder in sys.path if os.path.isdir(folder) and folder not in USERS_PATH]
    packages = [folder for folder in folders if within(os.path.realpath(folder), roots[0])]
    editable = []
    for folder in packages:
        for found in sorted(Path(folder).glob("*.dist-info/direct_url.json")):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
                said = json.loads(found.read_text())
                if said["dir_info"].get("editable"):
                    editable.append(re.sub("^file://", "", said["url"]))
    own = () if within(HOME, roots[0]) else (HOME,)
    found = [*own, *editable, *folders]
    system = tuple(os.path.realpath(folder) for folder in folders if folder.startswith("/usr/"))
    return [
        folder
        for folder in dict.fromkeys(map(os.path.realpath, found))
        if folder not in system and not any(within(folder, root) for root in roots)
    ]


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(".*.tar.*"):
        with contextlib.suppress(OSError):  # another launcher has just removed or published it
            if path.stat().st_mtime < time.time() - _ABANDONED_S:
                path.unlink()


def _system() -> str:
    libc = " ".join(filter(None, platform.libc_ver()))
    return f"{platform.system()} {platform.machine()}, {libc or 'no glibc'}, Python {platform.python_version()}"
