"""Horovod's timeline: what its collectives waited for and did, by tensor, by step, and in total.

A timeline is a file of Chrome's trace format that rank 0 writes: a "process" is a tensor, and its events nest. First
the tensor is negotiated, until every rank has it ready; then a collective such as ALLREDUCE holds activities: waiting
for data, copying into the fusion buffer, the transfer itself, copying out (horovod/common/timeline.cc and common.h).
"""

import contextlib
import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from launch.errors import Refusal
from launch.record.files import open_file
from profiling.traces.intervals import intersection, length, union

PHASES = ("negotiate", "queue", "fuse", "allreduce")
"""negotiate: until all ranks have the tensor ready; queue: ready, but its turn has not come, or its data are not there;
fuse: copies into and out of the buffers in which tensors travel together; allreduce: any transfer."""

_BEGAN = "start_time_since_epoch_in_micros"  # an argument of the first event
# Activities that are not a transfer (common.h); all others, such as GLOO_ALLREDUCE and NCCL_BCAST, are transfers.
_QUEUE = ("QUEUE", "WAIT_FOR_", "INIT_", "ALLOCATE_", "SCHEDULE")
_FUSE = ("MEMCPY_", "COPY_")
_BITS = re.compile(r"\d+$")  # at the end of a type, such as bfloat16


@dataclass(frozen=True)
class Tensor:
    """The phases of one tensor over the timeline."""

    name: str
    shape: str
    bytes: int  # size in one collective
    count: int  # number of collectives
    seconds: dict[str, float]  # PHASES -> seconds, over all collectives


@dataclass(frozen=True)
class Timeline:
    """The content of a timeline."""

    tensors: list[Tensor]  # the one that took longest first
    phases: dict[str, np.ndarray]  # PHASES -> when any tensor was in it: a union of intervals, Unix seconds


def read(path: Path) -> Timeline:
    """Read a timeline; if a kill has cut it short, as far as it goes.

    Raises
    ------
    Refusal
        If it is not a timeline, or contains no complete collective.
    """
    events = _events(path)
    try:
        return _timeline(path, events)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise Refusal(f"{path} is not a timeline of Horovod: it is not a list of events") from None


def _timeline(path: Path, events: list[dict[str, Any]]) -> Timeline:
    arguments = [event.get("args") or {} for event in events]
    began = next((each[_BEGAN] for each in arguments if _BEGAN in each), None)
    if began is None:
        raise Refusal(f"{path} is not a timeline of Horovod 0.21 or newer: it does not say when it began")
    metadata = ((event["pid"], each) for event, each in zip(events, arguments) if event.get("ph") == "M")
    names = {tensor: each["name"] for tensor, each in metadata if "name" in each}
    spans: dict[str, list[tuple[float, float]]] = {phase: [] for phase in PHASES}
    seconds: dict[Any, dict[str, float]] = defaultdict(lambda: dict.fromkeys(PHASES, 0.0))
    done: dict[Any, list[dict[str, str]]] = defaultdict(list)  # what each collective said about the tensor
    open_events: dict[Any, list[tuple[str, float]]] = defaultdict(list)
    ready: dict[Any, float] = {}  # when a tensor that is not yet in a collective was negotiated

    def note(tensor: Any, phase: str, start: float, end: float) -> None:
        spans[phase].append((began / 1e6 + start / 1e6, began / 1e6 + end / 1e6))
        seconds[tensor][phase] += (end - start) / 1e6

    for event in events:
        if event.get("ph") not in ("B", "E"):
            continue
        tensor, kind, time = event["pid"], event["ph"], float(event["ts"])
        stack = open_events[tensor]
        if kind == "B":
            if not stack and not event["name"].startswith("NEGOTIATE_") and tensor in ready:
                note(tensor, "queue", ready.pop(tensor), time)
            stack.append((event["name"], time))
        elif stack:  # an event without a beginning was under way when the timeline was opened
            name, start = stack.pop()
            if name.startswith("NEGOTIATE_"):
                note(tensor, "negotiate", start, time)
                ready[tensor] = time
            elif stack:
                phase = "queue" if name.startswith(_QUEUE) else "fuse" if name.startswith(_FUSE) else "allreduce"
                note(tensor, phase, start, time)
            else:
                done[tensor].append(event.get("args") or {})
    if not done:
        raise Refusal(f"{path} has no whole collective: was the run killed at once? Trace more steps")
    tensors = [
        Tensor(names.get(key, str(key)), each[-1].get("shape", ""), _bytes(each[-1]), len(each), seconds[key])
        for key, each in done.items()
    ]
    tensors.sort(key=lambda tensor: -sum(tensor.seconds.values()))
    return Timeline(tensors, {phase: union(np.array(found)) for phase, found in spans.items()})


def within(timeline: Timeline, start: float, end: float) -> dict[str, float]:
    """Return how long any tensor was in each phase between two moments (Unix seconds); phases of tensors overlap."""
    when = np.array([[start, end]])
    return {phase: length(intersection(spans, when)) for phase, spans in timeline.phases.items()}


def _events(path: Path) -> Any:
    with open_file(path) as file:
        text = file.read().decode(errors="replace")
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    whole = len(text)
    for _ in range(4):  # a cut ends within an event, which holds at most one pair of braces
        whole = text.rfind("}", 0, whole)
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text[: whole + 1] + "]")
    raise Refusal(f"{path} is not a timeline of Horovod: it is not even the beginning of a list of events")


def _bytes(described: dict[str, str]) -> int:
    shape = [int(number) for number in re.findall(r"\d+", described.get("shape", ""))]
    bits = _BITS.search(described.get("dtype", ""))
    return math.prod(shape) * (int(bits[0]) // 8 if bits else 1) if described else 0
