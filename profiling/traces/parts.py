"""Where the time of a step went: a trace -> each traced step in parts that add up to it, and the longest operations.

Every moment of a step belongs to the first of these parts that it can be put down to:

input          the training loop waits for its batch; on a GPU also: a batch is copied to it and nothing is computed
compute        an operation runs: a kernel on the GPU, or on a CPU an operation of the step's graph
communication  nothing is computed, and a collective is under way: from when this rank asked for it until it was done,
               so the wait for ranks that are behind is in it
compile        a function is traced or compiled; of a step in which one is, also what would be the host's
host           the training loop is in Python or in TensorFlow's runtime, or an operation is being scheduled
idle           the loop waits for its operations, and none of the above happens

Communication that is hidden behind computing is not a part, as it takes no time; its length stands beside them.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from launch.errors import Refusal
from profiling.traces import xplane
from profiling.traces.intervals import difference, intersection, length, union
from profiling.traces.xplane import Capture, Event, Line

STEP, INPUT = "train", "input"
"""Marks of the training loop: one around each step, with its number, and in it one around its wait for the batch."""
PARTS = ("compute", "communication", "input", "host", "compile", "idle")

# An event of an operation is named as the operation and its type are: "sequential/dense/MatMul:MatMul".
_OPERATION = re.compile(r"[\w.][\w.\\/>-]*:[A-Z_]\w*")
_COLLECTIVES = ("Horovod", "Collective", "Nccl")  # how their types begin
_COMPILING = ("tf.function-graph_building", "CpuCompiler::", "GpuCompiler::", "XlaCompile", "Codegen (Wait)")
_TOP = 40  # operations that are kept


@dataclass(frozen=True)
class Step:
    """A traced step on a rank; all times in seconds."""

    number: int  # counted from 1 over the whole run
    start: float  # Unix time
    seconds: float
    parts: dict[str, float]  # PARTS -> seconds; their sum is `seconds`
    hidden: float  # communication while something was computed


@dataclass(frozen=True)
class Operation:
    """All runs of an operation, or of all operations of a type, in the traced steps of a rank."""

    name: str  # empty for all of a type
    type: str
    count: int
    seconds: float  # of an operation that runs others, such as a While, theirs are within it


@dataclass(frozen=True)
class Table:
    """What a rank's trace says."""

    steps: list[Step]
    operations: list[Operation]  # those that took longest, the longest first
    types: list[Operation]  # the same by type


def table(capture: Capture) -> Table:
    """Take the steps of a trace apart.

    Parameters
    ----------
    capture : Capture
        Of a training whose loop marked its steps.

    Raises
    ------
    Refusal
        If no step is marked.
    """
    marked = [
        (line, event)
        for line in capture.lines
        if line.plane == xplane.HOST
        for event in line.events
        if event.name == STEP and "step_num" in event.stats
    ]
    if not marked:
        raise Refusal("the trace has no mark of a step: was it cut short, or not made by this training loop?")
    loop = marked[0][0]
    runs = {event.stats["id"] for event in loop.events if event.name == "FunctionRun" and "id" in event.stats}
    # Several threads may have one name.
    threads = [(line, _scheduling(line, runs)) for line in capture.lines if line.plane == xplane.HOST]
    kernels = [line for line in capture.lines if line.plane.startswith(xplane.GPU) and line.name.startswith("Stream")]
    operations = _kernels(kernels) if kernels else _operations(threads, loop)

    compute = union(_spans(operations))
    asked = union(np.concatenate([_collectives(capture), _spans(_named(kernels, "nccl"))]))
    copies = difference(union(_spans(_named(kernels, "memcpyh2d"))), compute)
    waiting = union(np.concatenate([_spans(_named([loop], INPUT)), copies]))
    compiling = union(
        _spans(event for line in capture.lines for event in line.events if event.name.startswith(_COMPILING))
    )
    executing = union(_spans(_named([loop], "kernelanddevicefunc::run")))
    working = union(np.concatenate([spans for _, spans in threads]))

    steps = []
    for _, mark in marked:
        left = np.array([[mark.start, mark.end]])
        parts = {}
        host = union(np.concatenate([working, difference(left, executing)]))
        for name, when in (
            ("input", waiting),
            ("compute", compute),
            ("communication", asked),
            ("compile", compiling),
            ("host", host),
        ):
            parts[name] = length(intersection(left, when))
            left = difference(left, when)
        parts["idle"] = length(left)
        if parts["compile"]:
            parts["compile"], parts["host"] = parts["compile"] + parts["host"], 0.0
        hidden = length(intersection(intersection(asked, compute), np.array([[mark.start, mark.end]])))
        ordered = {name: round(parts[name], 9) for name in PARTS}
        steps.append(
            Step(
                int(mark.stats["step_num"]),
                round(capture.began + mark.start, 6),
                round(mark.end - mark.start, 9),
                ordered,
                round(hidden, 9),
            )
        )
    first, last = marked[0][1].start, marked[-1][1].end
    operations = [event for event in operations if first <= event.start < last]
    return Table(steps, _longest(operations), _longest(operations, by_type=True))


def _scheduling(line: Line, runs: set[int]) -> np.ndarray:
    """When a thread handled operations of the graphs that the loop runs, not those of others, such as the input's."""
    return union(
        _spans(
            event for event in line.events if event.name == "ExecutorState::Process" and event.stats.get("id") in runs
        )
    )


def _operations(threads: list[tuple[Line, np.ndarray]], loop: Line) -> list[Event]:
    """The operations of the step on a CPU, and those that XLA has compiled."""
    found = []
    for line, scheduling in threads:
        found += [event for event in line.events if "hlo_op" in event.stats]
        named = [event for event in line.events if _OPERATION.fullmatch(event.name) and not _collective(event.name)]
        if line is not loop:
            # The bounds of the scheduling alternate, so that an odd place is within.
            places = np.searchsorted(scheduling.ravel(), [event.start for event in named], side="right")
            named = [event for event, place in zip(named, places) if place % 2]
        found += named
    return found


def _kernels(streams: list[Line]) -> list[Event]:
    return [
        event
        for line in streams
        for event in line.events
        if not event.name.lower().startswith(("nccl", "memcpyh2d", "memcpyd2h", "memcpyp2p"))
    ]


def _collectives(capture: Capture) -> np.ndarray:
    """From when each collective was asked for until it was done (n, 2); one that is never done lasts to the end."""
    begun: dict[tuple, float] = {}
    found = []
    events = sorted(
        (
            event
            for line in capture.lines
            for event in line.events
            if event.name.startswith("ExecutorState::ProcessAsync")
        ),
        key=lambda event: event.start,
    )
    for event in events:
        if not str(event.stats.get("kernel_type", "")).startswith(_COLLECTIVES):
            continue
        key = event.stats.get("step_id"), event.stats.get("name")
        if event.name.endswith("Start"):
            begun[key] = event.start
        elif key in begun:
            found.append((begun.pop(key), event.end))
    return np.array(found + [(start, np.inf) for start in begun.values()], float).reshape(-1, 2)


def _collective(name: str) -> bool:
    return name.rpartition(":")[2].startswith(_COLLECTIVES)


def _named(lines: list[Line], beginning: str) -> list[Event]:
    return [event for line in lines for event in line.events if event.name.lower().startswith(beginning)]


def _spans(events: Iterable[Event]) -> np.ndarray:
    return np.array([(event.start, event.end) for event in events], float).reshape(-1, 2)


def _longest(events: list[Event], by_type: bool = False) -> list[Operation]:
    totals: dict[tuple[str, str], list] = defaultdict(lambda: [0, 0.0])
    for event in events:
        if "hlo_op" in event.stats:
            name, kind = event.name, event.name.partition(".")[0]
        else:
            name, _, kind = event.name.rpartition(":") if ":" in event.name else (event.name, "", "kernel")
        total = totals["" if by_type else name.removeprefix("StatefulPartitionedCall/"), kind]
        total[0] += 1
        total[1] += event.end - event.start
    longest = sorted(totals.items(), key=lambda item: -item[1][1])[:_TOP]
    return [Operation(name, kind, count, round(seconds, 9)) for (name, kind), (count, seconds) in longest]
