"""One launcher at a time for a study or chain: between two of its runs nothing else tells that it is at work."""

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from launch.errors import Refusal

FILE = ".launcher"
"""Whose the study is: host and process; empty when that has left."""

_HANDED_OVER_S = 1.0  # in which a launcher that goes on in the background lets go


@contextlib.contextmanager
def alone(folder: Path, take_over: bool = False) -> Iterator[None]:
    """Be the only launcher of a study or chain.

    The lock ends with the process that holds it, however it ends, and some file systems show it on other hosts. Where one
    does not, a launcher of another host that was killed cannot be told from one at work, so its name stays until somebody
    who knows takes over.

    Parameters
    ----------
    folder : Path
        Of the study or chain.
    take_over : bool
        Whether a launcher of another host that has not said that it left is to be passed over. If it is at work after all,
        it submits nothing more (`refuse_if_taken_over`).

    Raises
    ------
    Refusal
        If another is, or may be, at work.
    """
    here = {"host": socket.gethostname(), "pid": os.getpid()}
    with open(folder / FILE, "a+b") as file:
        locked = _lock(file)
        noted = _read(file)
        who = f"process {noted['pid']} on {noted['host']}" if noted else "another process"
        there = noted is not None and noted["host"] == here["host"] and _exists(noted["pid"])
        if locked is False or (locked is None and there):
            raise Refusal(
                f"a launcher is at work on {folder}, {who}: wait for its end, or end it there with Ctrl-C or kill"
            )
        if noted and noted["host"] != here["host"] and not take_over:
            raise Refusal(
                f"{who} began to launch {folder} and has not said that it left: if it is there still, wait for its end or end "
                f"it there; if it is gone: python -m launch resume {folder} --take-over"
            )
        _write(file, here)
        try:
            yield
        finally:
            if _read(file) == here:
                _write(file, None)


def refuse_if_taken_over(folder: Path) -> None:
    """Make sure that the study is still this process's own.

    Raises
    ------
    Refusal
        If a launcher of another host has taken it over.
    """
    with open(folder / FILE, "rb") as file:
        noted = _read(file)
    if noted and noted != {"host": socket.gethostname(), "pid": os.getpid()}:
        raise Refusal(
            f"process {noted['pid']} on {noted['host']} has taken {folder} over: what was submitted goes on, the rest is its"
        )


def _lock(file: BinaryIO) -> bool | None:
    """Lock a file; False if another holds it, None if this file system has no locks."""
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
    file.seek(0)
    with contextlib.suppress(ValueError):  # empty, or cut short by a kill
        return json.loads(file.read())
    return None


def _write(file: BinaryIO, who: dict[str, Any] | None) -> None:
    file.truncate(0)
    file.write(json.dumps(who).encode() if who else b"")
    file.flush()
