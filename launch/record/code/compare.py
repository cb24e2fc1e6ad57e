"""What has changed in the code of a run since it was kept, and what its program has written beside it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from launch.record.code import copying
from launch.record.code.snapshot import LIST, copies, hash_of, name_of, place, record_of
from launch.record.files import Damaged, decode, read_whole
from launch.record.rundir import RunDir
from launch.record.study import holder_of


class Changes(NamedTuple):
    """How the original code now differs from what was submitted."""

    files: list[str]  # changed or gone
    hash: str  # hash of all files as they are now
    complete: bool  # whether there was time to look at all files


def changes(run: RunDir, seconds: float = 10.0) -> Changes | None:
    """Return what has changed in the original code since it was kept; None if nothing is known about it.

    Parameters
    ----------
    run : RunDir
        The run, with the code that its next attempt uses.
    seconds : float
        Time limit, after which no further file is looked at.
    """
    record = record_of(run)
    if record is None:
        return None
    roots = {tree["folder"]: tree["root"] for tree in record.get("trees", ())}
    deadline = time.monotonic() + seconds
    changed, now, complete = [], [], True
    for line in _lines(place(holder_of(run), name_of(run)) / LIST):
        own, name, size, mtime, digest = line
        complete = complete and time.monotonic() < deadline
        path = os.path.join(roots.get(own, ""), name)
        digest_now = digest
        if complete:
            try:
                status = os.lstat(path)
                if (status.st_size, status.st_mtime_ns) != (size, mtime):
                    digest_now = copying.look(path, not record.get("snapshot"))[2]
            except OSError:
                digest_now = "gone"
        if digest_now != digest:
            changed.append(name)
        now.append((f"{own}/{name}", digest_now))
    return Changes(changed, hash_of(now), complete)


def written(run: RunDir) -> list[str]:
    """Return what the run's program, or another of its study, has written into the copy of its code: the topmost new
    paths."""
    own = place(holder_of(run), name_of(run))
    known = {os.path.join(line[0], line[1]) for line in _lines(own / LIST)}
    folders = {str(above) for name in known for above in Path(name).parents}
    found = []
    for _, copy in copies(run):
        for folder, inner, files in os.walk(copy):
            below = os.path.relpath(folder, own)
            new = {name for name in inner if os.path.join(below, name) not in folders}
            new = {name for name in new if not _has_links(os.path.join(folder, name))}  # made to hold them
            inner[:] = [name for name in inner if name not in new]
            names = [*new, *(name for name in files if os.path.join(below, name) not in known)]
            paths = [os.path.join(folder, name) for name in names if name != "__pycache__"]
            found += sorted(path for path in paths if not os.path.islink(path))
    return found


def _has_links(folder: str) -> bool:
    return any(os.path.islink(os.path.join(at, name)) for at, inner, files in os.walk(folder) for name in inner + files)


_KINDS = [str, str, int, int, str]


def _lines(path: Path) -> Iterator[list[Any]]:
    """Yield the lines of the list of files: folder of the copy, name, size, time of the last change, and hash."""
    try:
        for text in read_whole(path).decode().splitlines():
            line = decode(text)
            if not isinstance(line, list) or list(map(type, line)) != _KINDS or "\0" in line[0] + line[1]:
                raise ValueError("a line of it is not about a file")
            yield line
    except FileNotFoundError:
        return
    except (ValueError, RecursionError) as error:
        raise Damaged(path, str(error)) from None
