"""Reads files as they are found: of any user, cut short, damaged or huge. Each is read and checked, or refused by
name."""

import functools
import itertools
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from launch.errors import Refusal
from launch.plan.typed import mismatch

MOST = 2**28
"""The most bytes of a file that is read whole. No file that the toolkit writes for that purpose is nearly as long."""
Kind = TypeVar("Kind")
_LINE = 2**24  # most bytes of a line; parts of longer lines are skipped
_TOGETHER = 256  # lines that are decoded at once


class Unreadable(Refusal):
    """A file cannot be read. ``reason`` says so without the advice; ``state`` is the state of a run with such a
    file."""

    state = "unreadable"
    said, advice = "cannot be read", "see who owns it, or try again"

    def __init__(self, path: Path, why: str | OSError) -> None:
        why = why if isinstance(why, str) else why.strerror or str(why)
        self.reason = f"{path.name} {self.said} ({why})"
        super().__init__(f"{path} {self.said} ({why}): {self.advice}")


class Damaged(Unreadable):
    """A file does not hold what it should."""

    state = "damaged"
    said, advice = "is damaged", "move it away, or start the run again under another --name"


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; 0 if there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading, if it is a regular one: reading a pipe that nobody writes to would block.

    Raises
    ------
    FileNotFoundError
        If there is nothing of that name.
    Unreadable
        If it cannot be opened, or is not a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise Unreadable(path, getattr(error, "strerror", None) or str(error)) from None
    if not stat.S_ISREG(mode := os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Damaged(path, f"a {'folder' if stat.S_ISDIR(mode) else 'pipe or device'}, not a file")
    return open(descriptor, "rb")


def read_whole(path: Path) -> bytes:
    """Return the content of a file.

    Raises
    ------
    FileNotFoundError
        If there is nothing of that name.
    Unreadable
        If it cannot be read, or is longer than `MOST`.
    """
    with open_file(path) as file:
        try:
            long = os.fstat(file.fileno()).st_size > MOST
            data = b"" if long else file.read()  # with a number, Python would first ask for as much memory
        except OSError as error:
            raise Unreadable(path, error) from None
    if long or len(data) > MOST:
        raise Damaged(path, f"longer than {MOST >> 20} MiB")
    return data


def read_end(path: Path, size: int, begin: int = 0) -> bytes:
    """Return the last ``size`` bytes of a file, after its first ``begin`` bytes; empty if there is no such file.

    Raises
    ------
    Unreadable
        If it cannot be read.
    """
    try:
        with open_file(path) as file:
            end = file.seek(0, os.SEEK_END)
            start = file.seek(max(begin, end - size))
            return file.read(max(0, end - start))
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise Unreadable(path, error) from None


def lines_from_end(path: Path, begin: int = 0, within: Sequence[bytes] = (b"",), block: int = 2**20) -> Iterator[bytes]:
    """Yield the lines of a file of any length after its first ``begin`` bytes, the last one first. Only the end of a
    line of many blocks is given.

    If ``within`` gives texts, blocks that contain none of them are skipped.

    Raises
    ------
    Unreadable
        If it cannot be read. A file that does not exist has no lines.
    """
    try:
        with open_file(path) as file:
            place, cut = file.seek(0, os.SEEK_END), b""
            while place > begin:
                size = min(block, place - begin)
                place -= size
                file.seek(place)
                data = file.read(size) + cut
                if place > begin:  # its first line may begin in the previous block
                    cut, newline, data = data.partition(b"\n")
                    if not newline:
                        cut = cut[-block:]
                        continue
                if any(text in data for text in within):
                    yield from reversed(data.split(b"\n"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unreadable(path, error) from None


def read_json(path: Path) -> Any:
    """Return the value in a JSON file, or None if there is no such file.

    Raises
    ------
    Unreadable
        If it cannot be read, or is not JSON.
    """
    try:
        return _json(path)
    except FileNotFoundError:
        return None


def read_object(path: Path, kind: type[Kind]) -> Kind | None:
    """Return the object in a JSON file, checked; None if there is no such file.

    Parameters
    ----------
    path : Path
        The file.
    kind : type
        The TypedDict that the object must match.

    Raises
    ------
    Unreadable
        If it cannot be read, or holds something else.
    """
    try:
        value = _json(path)
    except FileNotFoundError:
        return None
    if wrong := mismatch(value, kind):
        raise Damaged(path, wrong)
    return cast(Kind, _present(value))


def read_lines(path: Path, kind: Any = dict) -> Iterator[Any]:
    """Yield the objects of a file of JSON lines, as `objects` gives them; none if there is no such file.

    Raises
    ------
    Unreadable
        If it cannot be read.
    """
    try:
        with open_file(path) as file:
            yield from objects(iter(lambda: file.readline(_LINE), b""), kind)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unreadable(path, error) from None


def objects(lines: Iterable[bytes], kind: Any = dict) -> Iterator[Any]:
    """Yield the objects of a kind (a TypedDict) in lines of JSON. Lines that a kill has cut short, and other objects,
    are skipped."""
    for _, value in decoded(lines):
        if not mismatch(value, kind):
            yield value if kind is dict else _present(value)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)  # a value too large for a double becomes infinite


@functools.cache
def _decoder() -> "json.JSONDecoder":
    return json.JSONDecoder(parse_int=_whole)


def decode(text: str) -> Any:
    """Return the value in a JSON text; raises ValueError or RecursionError if it is not JSON."""
    return _decoder().decode(text)


def decoded(lines: Iterable[bytes], parse: Callable[[str], Any] = decode) -> Iterator[tuple[bytes, Any]]:
    """Yield the lines of JSON that are not empty, each with its value, or with the error of what is not JSON."""
    lines = (line for line in lines if line and not line.isspace())
    while some := list(itertools.islice(lines, _TOGETHER)):
        try:  # all at once, which takes half the time
            values = parse(f"[{b','.join(some).decode(errors='replace')}]")
            if len(values) != len(some):
                raise ValueError
        except (ValueError, RecursionError):
            values = (_value_or_error(line, parse) for line in some)
        yield from zip(some, values)


def _value_or_error(line: bytes, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(line.decode(errors="replace"))
    except (ValueError, RecursionError) as error:
        return error


def _present(value: dict[str, Any]) -> dict[str, Any]:
    return {key: inner for key, inner in value.items() if inner is not None}


def _json(path: Path) -> Any:
    data = read_whole(path)
    try:
        return decode(data.decode())
    except (ValueError, RecursionError) as error:
        raise Damaged(path, str(error)) from None
