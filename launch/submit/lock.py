"""Allows one launcher at a time for a run, study or workflow, and lets ``cancel`` order it to submit nothing more."""

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

from launch.errors import Refusal, command
from launch.plan.typed import mismatch
from launch.record.contents import Pid

FILE = ".launcher"
"""Holds the host and process that own the folder; blank when the owner has left."""

ORDERS = ".cancel"
"""Grows by a byte for each order to submit nothing more."""

_HANDED_OVER_S = 1.0  # time in which a launcher that continues in the background releases the lock
_WIDTH = 256  # bytes of the file: overwritten in one write, it is never seen half written


class _Owner(TypedDict):
    host: str
    pid: Pid


class Cancelled(Refusal):
    """Somebody has cancelled what this launcher is working on."""

    status = 4


@dataclass(frozen=True, slots=True)
class Hold:
    """A folder for which this process is the only launcher."""

    folder: Path
    orders: int  # number of orders when this launcher began

    def check(self) -> None:
        """Make sure that this process may still submit. Call it after a job is recorded and before it is submitted.

        Raises
        ------
        Cancelled
            If the folder was cancelled meanwhile.
        Refusal
            If a launcher of another host has taken it over.
        """
        if _orders(self.folder) > self.orders:
            raise Cancelled(f"{self.folder} was cancelled: nothing more of it is submitted")
        with open(self.folder / FILE, "rb") as file:
            owner = _read(file)
        if owner and owner != _here():
            raise Refusal(
                f"another launcher, process {owner['pid']} on {owner['host']}, has taken over {self.folder}: jobs "
                "that are submitted keep running, and it submits the rest"
            )


@contextlib.contextmanager
def alone(folder: Path, take_over: bool = False) -> Iterator[Hold]:
    """Be the only launcher of a run, study or workflow.

    The lock ends with the process that holds it, however it ends. Some file systems show it on other hosts. On others,
    a launcher on another host that was killed looks like one at work, so its name stays until the user takes over.

    Parameters
    ----------
    folder : Path
        Folder of the run, study or workflow: the outermost of them.
    take_over : bool
        Whether to ignore a launcher on another host that has not recorded its end. If it is still at work, it submits
        nothing more (`Hold.check`).

    Raises
    ------
    Refusal
        If another launcher is, or may be, at work.
    """
    with open(folder / FILE, "r+b", opener=lambda name, flags: os.open(name, flags | os.O_CREAT, 0o600)) as file:
        locked = _lock(file)
        owner = _read(file)
        who = f"process {owner['pid']} on {owner['host']}" if owner else "another process"
        there = owner is not None and owner["host"] == _here()["host"] and _exists(owner["pid"])
        if locked is False or (locked is None and there):
            raise Refusal(
                f"a launcher is at work on {folder}, {who}: wait for its end, or end it there with Ctrl-C or kill"
            )
        if owner and owner["host"] != _here()["host"] and not take_over:
            raise Refusal(
                f"{who} began to launch {folder} and has not released it: if it still runs, wait for its "
                f"end or end it there; if it is gone: {command('resume --take-over', folder)}"
            )
        _write(file, _here())
        try:
            yield Hold(folder, _orders(folder))
        finally:
            if _read(file) == _here():
                _write(file, None)


def order_end(folder: Path) -> None:
    """Order the launcher of a folder, wherever it runs, to submit nothing more."""
    descriptor = os.open(folder / ORDERS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, b"\n")
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Return whether a launcher that this host can see is at work on a folder."""
    with contextlib.suppress(FileNotFoundError), open(folder / FILE, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _here() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid()}


def _orders(folder: Path) -> int:
    try:
        return os.stat(folder / ORDERS).st_size
    except FileNotFoundError:
        return 0


def _lock(file: BinaryIO) -> bool | None:
    """Lock a file; return False if another process holds the lock, None if this file system has no locks."""
    deadline = time.monotonic() + _HANDED_OVER_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                return None
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True


def _read(file: BinaryIO) -> dict[str, Any] | None:
    """Return the owner; None if there is none, or something else is in the file."""
    with contextlib.suppress(ValueError):  # blank
        owner = json.loads(os.pread(file.fileno(), _WIDTH, 0))
        return None if mismatch(owner, _Owner) else owner
    return None


def _write(file: BinaryIO, who: dict[str, Any] | None) -> None:
    os.pwrite(file.fileno(), (json.dumps(who).encode() if who else b"").ljust(_WIDTH), 0)
