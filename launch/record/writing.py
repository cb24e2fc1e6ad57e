"""Writes files so that they are readable after a kill at any moment: published complete by rename, or appended to in
whole lines."""

import contextlib
import errno
import functools
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside a file, under which the block writes the complete file. Once that is on the disk,
    the file gets its own name.

    No other process uses the temporary name, on this host or on another that sees the folder.
    """
    temporary = path.with_name(f".{path.name[:50]}.{os.urandom(8).hex()}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def publish(path: Path, content: str | bytes | bytearray | memoryview, mode: int = 0o666) -> None:
    """Write a file completely or not at all."""
    data = content.encode(errors="surrogateescape") if isinstance(content, str) else content  # a path may be any bytes
    with (
        replacing(path) as temporary,
        open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file,
    ):
        file.write(data)


def own_folder(path: Path) -> Path:
    """Make a folder in a place where everybody may write, such as /tmp, or check that an existing one belongs to this
    user alone; return it.

    Raises
    ------
    OSError
        If it cannot be made, or another user has made it or may write to it: trusting its files, or writing through its
        links, would do what that user wants.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "another user has made it or may write to it", str(path))
    return path


def publish_json(path: Path, value: Any) -> None:
    """Publish a value as JSON that people can read too."""
    publish(path, as_text(value))


def as_text(value: Any) -> str:
    """Return a value as JSON, with one line for each key, and for each table in a list."""
    if not isinstance(value, dict):
        return _encode(value) + "\n"
    lines = ",\n".join(f" {_encode(str(name))}: {_a_line_each(inner)}" for name, inner in value.items())
    return f"{{\n{lines}\n}}\n"


def _encode(value: Any) -> str:
    return _encoder().encode(value)


@functools.cache
def _encoder() -> "json.JSONEncoder":
    return json.JSONEncoder(default=str)  # with indentation, it would be ten times slower, as Python code writes that


def _a_line_each(value: Any) -> str:
    if not (isinstance(value, list) and value and all(isinstance(inner, dict) for inner in value)):
        return _encode(value)
    return "[\n" + ",\n".join(f"  {_encode(inner)}" for inner in value) + "\n ]"


def refuse_full_disk(folder: Path) -> None:
    """Make sure that there is some room. On a full disk, directories can be made and files opened; only a write fails.

    Raises
    ------
    OSError
        If there is no room.
    """
    publish(folder / ".room", b"\0" * 65536)
    (folder / ".room").unlink()


def to_disk(folder: Path) -> None:
    """Flush everything that was written to the file system of a folder to the disk: one wait, instead of one for each
    of many files.

    Raises
    ------
    OSError
        If something could not be written.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(descriptor)


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Append one line of JSON in a single write, so that lines of several processes of a node do not mix.

    Raises
    ------
    OSError
        If the disk is full; the line may then be there in part.
    """
    # In ASCII, because a path or a program's words may hold bytes that are not UTF-8.
    line = (json.dumps(value, default=str) + "\n").encode()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line  # a kill has cut the last line short, which must not damage this one
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)
