"""A trace file of the profiler of TensorFlow or JAX (xplane.pb) -> the events of each thread and stream."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from launch.errors import Refusal
from launch.record.files import open_file
from profiling.traces import xspace

HOST = "/host:CPU"  # the plane of the threads (tsl/profiler/utils/xplane_schema.cc, as all names of planes and stats)
GPU = "/device:GPU:"  # prefix of the planes of GPUs
ENVIRONMENT = "Task Environment"  # the plane that is written last; it has the time of the session


class Event(NamedTuple):
    """Something that a thread did, or a kernel."""

    name: str
    start: float  # seconds since the session began
    end: float
    stats: dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A thread, or a stream of a GPU."""

    plane: str
    name: str
    events: list[Event]  # sorted by start; of those that start together, the longest first


@dataclass(frozen=True)
class Capture:
    """The content of a profiler session."""

    began: float  # Unix seconds
    lines: list[Line]


def read(path: Path, of_others: bool = False) -> Capture:
    """Read a trace, a file ``<host>.xplane.pb``; with ``of_others`` it need not say when it began, as those of old JAX.

    Raises
    ------
    Refusal
        If the file is cut short or not a trace, or if protobuf is not installed.
    """
    try:
        from google.protobuf.message import DecodeError

        XSpace = xspace.message()
    except ImportError as error:
        raise Refusal(
            f"reading a raw trace needs the package protobuf ({error}): use the environment that trained"
        ) from None
    try:
        with open_file(path) as file:
            space = XSpace.FromString(file.read())
    except DecodeError:
        raise Refusal(
            f"{path} is not a whole trace ({path.stat().st_size} bytes): was it cut short? Trace again"
        ) from None
    times = [_stats(plane, plane.stats) for plane in space.planes if plane.name == ENVIRONMENT]
    if of_others and not any(line.events for plane in space.planes for line in plane.lines):
        raise Refusal(f"{path} holds no event: was anything run while it was traced, or was it cut short?")
    if of_others and (not times or "profile_start_time" not in times[0]):
        times = [{"profile_start_time": 0}]
    if not times or "profile_start_time" not in times[0]:
        raise Refusal(
            f"{path} does not end as a trace of JAX, or of TensorFlow 2.15 or newer, does: it is cut short, or of "
            "another version"
        )
    lines = [_line(plane, line) for plane in space.planes for line in plane.lines]
    return Capture(times[0]["profile_start_time"] / 1e9, lines)


def _line(plane: Any, line: Any) -> Line:
    base = line.timestamp_ns / 1e9
    names = {key: metadata.name for key, metadata in plane.event_metadata.items()}
    events = []
    for event in line.events:
        start = base + event.offset_ps / 1e12
        events.append(
            Event(names[event.metadata_id], start, start + event.duration_ps / 1e12, _stats(plane, event.stats))
        )
    events.sort(key=lambda event: (event.start, -event.end))
    return Line(plane.name, line.name, events)


def _stats(plane: Any, stats: Any) -> dict[str, Any]:
    values = {}
    for stat in stats:
        kind = stat.WhichOneof("value")
        value = getattr(stat, kind) if kind else None
        if kind == "ref_value":  # a recurring value is stored once, as the name of an entry
            value = plane.stat_metadata[value].name
        values[plane.stat_metadata[stat.metadata_id].name] = value
    return values
