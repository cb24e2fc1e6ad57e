"""Claims on work and on cores, for any number of processes on any number of nodes that want the same files.

A claim is a file ``<name>.claim<n>`` that its owner made and rewrites while it works. The owner is gone when its
process is (seen on its own node), or when the file has not changed for `STALE_SECONDS` (seen from anywhere, by the
clock of the observer). Then another process makes claim n + 1. Nothing is ever taken away from an owner, so there is no
race to win: at worst a piece of work is done twice, and published twice with the same content.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.record.writing import own_folder

STALE_SECONDS = 120.0  # far above the pauses of a busy node or file server


def _node() -> str:
    """Return an identifier of this node and of this namespace of process ids."""
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"


class Claim:
    """The right to do a piece of work, until it is released or its owner dies."""

    def __init__(self, path: Path, number: int) -> None:
        self._path, self._number = path.with_name(f"{path.name}.claim{number}"), number
        self._beats = 0
        # It is filled before it gets its name: nobody can tell whose an empty claim is once its owner was killed.
        draft = self._path.with_name(f".{self._path.name}.{os.urandom(8).hex()}")
        self._descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            self.beat(0)
            try:
                os.link(draft, self._path)
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
                # A file system without links: whoever creates the name provides the content.
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
                os.replace(draft, self._path)
        except BaseException:
            os.close(self._descriptor)
            raise
        finally:
            draft.unlink(missing_ok=True)

    def beat(self, done: int) -> None:
        """Show that the owner lives, and how much it has done."""
        self._beats += 1
        line = json.dumps({"node": _node(), "pid": os.getpid(), "done": done, "beat": self._beats})
        os.pwrite(self._descriptor, line.ljust(256).encode(), 0)

    def release(self) -> None:
        """Give up the claim, and remove what dead owners have left."""
        os.close(self._descriptor)
        for number in range(self._number + 1):
            path = self._path.with_suffix(f".claim{number}")
            path.unlink(missing_ok=True)
            for draft in path.parent.glob(f".{path.name}.*"):
                draft.unlink(missing_ok=True)


class Claims:
    """The claims in a folder, as one process sees them.

    Parameters
    ----------
    folder : Path
        Folder shared by all processes that want the work done.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Path, tuple[str, float]] = {}

    def take(self, name: str) -> Claim | None:
        """Claim a piece of work; return None if a living owner has it."""
        newest = self._newest(name)
        if newest and self.alive(newest):
            return None
        number = int(newest.name.rpartition(".claim")[2]) + 1 if newest else 0
        try:
            return Claim(self._folder / name, number)
        except (FileExistsError, FileNotFoundError):  # another was faster, and may have released its claim again
            return None

    def done(self, name: str) -> int | None:
        """Return how much the living owner of a claim says that it has done; None if there is no such owner."""
        newest = self._newest(name)
        if not newest or not self.alive(newest):
            return None
        return _parsed(self._seen[newest][0]).get("done", 0)

    def alive(self, path: Path) -> bool:
        """Return whether the owner of a claim still works on it."""
        try:
            text = path.read_text()
        except OSError:
            return False
        owner = _parsed(text)
        if owner.get("node") == _node() and not Path(f"/proc/{owner['pid']}").exists():
            return False
        now = time.monotonic()
        before, since = self._seen.get(path, (None, now))  # None: an empty file, cut short by a crash, is news too
        if text != before:
            self._seen[path] = text, now
            return True
        return now - since < STALE_SECONDS

    def _newest(self, name: str) -> Path | None:
        found = list(self._folder.glob(f"{name}.claim*"))
        return max(found, key=lambda path: int(path.name.rpartition(".claim")[2]), default=None)


def _parsed(text: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return {}  # its owner is just writing it


def _cores() -> Path:
    """Return a folder of this user alone, the same for all of their processes on this node."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rankloop"
    places = Path(tempfile.gettempdir()) / f"rankloop-cores-{os.getuid()}", cache / f"cores-{os.uname().nodename}"
    for place in places:
        with contextlib.suppress(OSError):
            return own_folder(place)
    raise Refusal(
        f"{' and '.join(map(str, places))} are not this user's alone, or cannot be made: "
        "set TMPDIR to a folder of your own"
    )


class Core:
    """One core of this node: as many processes compute at once as there are cores, and the others wait."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls) -> Core | None:
        """Take a core that this process may use and no living process has taken; return None if there is none."""
        folder = _cores()
        for core in sorted(os.sched_getaffinity(0)):
            descriptor = os.open(folder / str(core), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            except OSError:
                pass  # a file system without locks: better too many processes at once than none
            return cls(descriptor)
        return None

    def release(self) -> None:
        """Let another process compute."""
        os.close(self._descriptor)
