"""A trace of PyTorch's profiler (Kineto; Chrome's format, .json or .json.gz) -> the events of threads and streams."""

import contextlib
import gzip
import json
import math
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.record.files import open_file
from profiling.traces.xplane import GPU, HOST, Capture, Event, Line

_ON_GPU = {"kernel", "gpu_memcpy", "gpu_memset", "Kernel", "Memcpy", "Memset"}
_ON_HOST = {"cpu_op", "cuda_runtime", "cuda_driver", "hip_runtime", "user_annotation", "python_function"}
_ON_HOST |= {"Operator", "Runtime"}  # names in older versions; "Trace" is the span of the whole recording, no work
_KNOWN = _ON_GPU | _ON_HOST
_HEAD = 2**20  # bytes within which a trace says that it is one


def is_trace(path: Path) -> bool:
    """Return whether a file seems to be a trace of PyTorch, by its name or by how it begins."""
    if not path.is_file() or ".pt.trace.json" in path.name:
        return path.is_file()
    with contextlib.suppress(OSError, EOFError, zlib.error, Refusal), open_file(path) as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        return b'"traceEvents"' in (gzip.GzipFile(fileobj=file) if packed else file).read(_HEAD)
    return True  # reading it will say what is wrong with it


def document(path: Path) -> Any:
    """Return the content of a file in Chrome's trace format, which may be compressed.

    Raises
    ------
    Refusal
        If it is not JSON.
    """
    with open_file(path) as file:
        content = file.read()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise Refusal(f"{path} is not a whole trace ({error}): was it cut short? Trace again") from None
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(content)
    raise Refusal(f"{path} is not a whole trace: it is not JSON; was it cut short? Trace again")


def is_kineto(content: Any) -> bool:
    """Return whether a document is a trace of PyTorch's profiler."""
    if not isinstance(content, dict) or not isinstance(content.get("traceEvents"), list):
        return False
    known = {"schemaVersion", "deviceProperties", "distributedInfo", "traceName"} & set(content)
    return bool(known) or any(_kind(event) for event in content["traceEvents"][:2000] if isinstance(event, dict))


def _kind(event: dict[str, Any]) -> str:
    """Return the kind of an event; empty if it is not a known one."""
    kind = event.get("cat")
    return kind if isinstance(kind, str) and kind in _KNOWN else ""


def _finite(time: Any) -> int | float | None:
    """Return a time of an event; None if it is not a finite number."""
    with contextlib.suppress(OverflowError):  # a whole number of hundreds of digits
        return time if isinstance(time, int | float) and math.isfinite(time) else None


def rank(content: dict[str, Any]) -> int | None:
    """Return the rank that a document says it is of; None if it says none."""
    about = content.get("distributedInfo")
    found = about.get("rank") if isinstance(about, dict) else None
    return found if isinstance(found, int) else None


def capture(path: Path, content: dict[str, Any]) -> Capture:
    """Return the events of a document.

    Raises
    ------
    Refusal
        If it holds no event of an operation.
    """
    lines: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in content["traceEvents"]:
        if not isinstance(event, dict) or event.get("ph") != "X":
            continue
        kind, start, length = _kind(event), _finite(event.get("ts")), _finite(event.get("dur", 0))
        if not kind or start is None or length is None or length < 0:
            continue
        arguments = event.get("args")
        details = arguments if isinstance(arguments, dict) else {}
        start, end = start / 1e6, (start + length) / 1e6
        if kind in _ON_GPU:
            place = (
                f"{GPU}{details.get('device', event.get('pid'))}",
                f"Stream #{details.get('stream', event.get('tid'))}",
            )
        else:
            place = HOST, str(event.get("tid"))
        lines[place].append(Event(str(event.get("name")), start, end, {"cat": kind}))
    if not lines:
        raise Refusal(f"{path} holds no event of an operation: was anything run while it was traced?")
    for events in lines.values():
        events.sort(key=lambda event: (event.start, -event.end))
    return Capture(0.0, [Line(plane, name, events) for (plane, name), events in lines.items()])
