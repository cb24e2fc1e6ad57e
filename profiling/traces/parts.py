"""Where the time of a step went: a trace -> each traced step in parts that add up to it, and the longest operations.

Every moment of a step belongs to the first of these parts that applies:

input          the training loop waits for its batch; on a GPU also: a batch is copied to it and nothing is computed
compute        an operation runs: a kernel on the GPU, or on a CPU an operation of the step's graph
communication  nothing is computed, and a collective is under way, from when this rank asked for it until it was done;
               this includes the wait for ranks that are behind
compile        a function is traced or compiled; in such a step also what would be the host's
host           the training loop is in Python or in the framework's runtime, or an operation is being scheduled
idle           the loop waits for its operations, and none of the above happens

Communication that is hidden behind computing is not a part, because it takes no time; its length is kept separately.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from launch.errors import Refusal
from profiling.traces import streams as gpu
from profiling.traces import xplane
from profiling.traces.intervals import difference, intersection, length, union
from profiling.traces.marks import find
from profiling.traces.operations import OPERATION, Operation, longest
from profiling.traces.xplane import Capture, Event, Line

STEP, INPUT, WAIT = "train", "input", "wait"
"""Marks of the training loop: one around each step, with its number, and in it one around the wait for the batch. With
JAX also one around each wait for what it computes; TensorFlow's runtime marks that itself."""
PARTS = ("compute", "communication", "input", "host", "compile", "idle")

_COLLECTIVES = ("Horovod", "Collective", "Nccl")  # prefixes of the types of collectives
_COMPILING = (
    *("tf.function-graph_building", "cpucompiler::", "gpucompiler::", "xlacompile", "codegen (wait)"),
    *("lower_sharding_computation", "backend_compile"),  # names in JAX, which does not mark that it traces Python
)
_LAUNCHED = re.compile(r"PjitFunction\((.*)\)")  # event of the thread that launches a compiled function of JAX


@dataclass(frozen=True)
class Step:
    """A traced step on a rank; all times in seconds."""

    number: int  # counted from 1 over the whole run
    start: float  # Unix time
    seconds: float
    parts: dict[str, float]  # PARTS -> seconds; their sum is `seconds`
    hidden: float  # communication while something was computed


@dataclass(frozen=True)
class Table:
    """The content of a rank's trace."""

    steps: list[Step]
    operations: list[Operation]  # those that took longest, the longest first
    types: list[Operation]  # the same by type


def table(capture: Capture) -> Table:
    """Split the steps of a trace into parts; the training loop has to have marked its steps.

    Raises
    ------
    Refusal
        If no step is marked, or none has a length.
    """
    host = [line for line in capture.lines if line.plane == xplane.HOST]
    loops = [line for line in host if any(_is_step(event) for event in line.events)]
    if not loops:
        raise Refusal("the trace has no mark of a step: was it cut short, or not made by this training loop?")
    loop = loops[0]
    marks = [event for line in loops for event in line.events if _is_step(event)]
    runs = {event.stats["id"] for event in loop.events if event.name == "FunctionRun" and "id" in event.stats}
    threads = [(line, _scheduling(line, runs)) for line in host]  # several may have one name
    streams = gpu.streams(capture.lines)
    operations = gpu.computing(streams) if streams else _operations(threads, loop)

    compute = union(_spans(operations))
    communication = union(_collectives(capture), _spans(gpu.collectives(streams)))
    copies = difference(union(_spans(gpu.to_device(streams))), compute)
    waits = (event for event in loop.events if event.name == WAIT)  # XLA has others whose names begin so
    executing = union(_spans(_named([loop], "kernelanddevicefunc::run")), _spans(waits))
    when = {
        "input": union(_spans(_named([loop], INPUT)), copies),
        "compute": compute,
        "communication": communication,
        "compile": union(_spans(_named(capture.lines, *_COMPILING))),
        "host": union(*(spans for _, spans in threads)),
    }
    steps = [_step(capture, int(mark.stats["step_num"]), mark.start, mark.end, when, executing) for mark in marks]
    operations = [event for event in operations if marks[0].start <= event.start < marks[-1].end]
    return _table(steps, operations)


def of_any(capture: Capture) -> tuple[Table, str]:
    """Split the steps of a trace of any program into parts, and say how the steps were found.

    What its threads did counts as host, and of the wait for a batch only the copies are known.

    Raises
    ------
    Refusal
        If it holds no event, or no step has a length.
    """
    found = find(capture)
    host = [line for line in capture.lines if line.plane == xplane.HOST]
    streams = gpu.streams(capture.lines)
    work = [event for line in host for event in line.events if event.name not in found.marks]
    operations = gpu.computing(streams) if streams else [event for event in work if _computes(event)]
    compute = union(_spans(operations))
    collectives = gpu.collectives(streams) or [event for event in work if gpu.is_collective(event)]
    when = {
        "input": difference(union(_spans(gpu.to_device(streams))), compute),
        "compute": compute,
        "communication": union(_collectives(capture), _spans(collectives)),
        "compile": union(_spans(_named(capture.lines, *_COMPILING))),
        "host": union(_spans(work)),
    }
    steps = [_step(capture, number, start, end, when, None) for number, start, end in found.spans]
    first, last = found.spans[0][1], found.spans[-1][2]
    operations = [event for event in operations if first <= event.start < last]
    return _table(steps, operations), found.how


def _table(steps: list[Step], operations: list[Event]) -> Table:
    if not sum(step.seconds for step in steps) > 0:
        raise Refusal("the trace has steps of no length only: was it cut short, or are the lengths not in it?")
    return Table(steps, longest(operations), longest(operations, by_type=True))


def _computes(event: Event) -> bool:
    """Return whether an event of a thread is an operation of TensorFlow, XLA or PyTorch that computes."""
    if event.stats.get("cat") in ("cpu_op", "Operator"):
        return not gpu.is_collective(event)
    return "hlo_op" in event.stats or bool(OPERATION.fullmatch(event.name))


def _step(
    capture: Capture, number: int, start: float, end: float, when: dict[str, np.ndarray], executing: np.ndarray | None
) -> Step:
    """Split a step into parts; the loop is in Python where it executes nothing, if that is known."""
    whole = left = np.array([[start, end]])
    parts = {}
    for name, spans in when.items():
        if name == "host" and executing is not None:
            spans = union(spans, difference(whole, executing))
        parts[name] = length(intersection(left, spans))
        left = difference(left, spans)
    parts["idle"] = length(left)
    if parts["compile"]:
        parts["compile"], parts["host"] = parts["compile"] + parts["host"], 0.0
    return Step(
        number,
        round(capture.began + start, 6),
        round(end - start, 9),
        {name: round(parts[name], 9) for name in PARTS},
        round(length(intersection(intersection(when["communication"], when["compute"]), whole)), 9),
    )


def _is_step(event: Event) -> bool:
    return event.name == STEP and "step_num" in event.stats


def _scheduling(line: Line, runs: set[int]) -> np.ndarray:
    """Return when a thread handled operations of the graphs that the loop runs, not of others such as the input's."""
    handled = (event for event in line.events if event.name == "ExecutorState::Process")
    return union(_spans(event for event in handled if event.stats.get("id") in runs))


def _operations(threads: list[tuple[Line, np.ndarray]], loop: Line) -> list[Event]:
    """Return the operations of the step on a CPU, and those that XLA compiled: for JAX only those that the loop
    launched, not those that load its batches."""
    launched = {f"jit_{found[1]}" for event in loop.events if (found := _LAUNCHED.fullmatch(event.name))}
    operations = []
    for line, scheduling in threads:
        compiled = [event for event in line.events if "hlo_op" in event.stats and not gpu.is_collective(event)]
        operations += [e for e in compiled if not launched or e.stats.get("hlo_module") in launched]
        named = [event for event in line.events if OPERATION.fullmatch(event.name)]
        named = [event for event in named if not event.name.rpartition(":")[2].startswith(_COLLECTIVES)]
        if line is not loop:
            # The bounds of the scheduling alternate, so an odd position is inside.
            places = np.searchsorted(scheduling.ravel(), [event.start for event in named], side="right")
            named = [event for event, place in zip(named, places) if place % 2]
        operations += named
    return operations


def _collectives(capture: Capture) -> np.ndarray:
    """Return when each collective was under way, from request to completion (n, 2); an unfinished one to the end."""
    begun: dict[tuple, float] = {}
    spans = _of_xla(capture)
    for event in sorted(_named(capture.lines, "executorstate::processasync"), key=lambda event: event.start):
        if not str(event.stats.get("kernel_type", "")).startswith(_COLLECTIVES):
            continue
        key = event.stats.get("step_id"), event.stats.get("name")
        if event.name.endswith("Start"):
            begun[key] = event.start
        elif key in begun:
            spans.append((begun.pop(key), event.end))
    return np.array(spans + [(start, np.inf) for start in begun.values()], float).reshape(-1, 2)


def _of_xla(capture: Capture) -> list[tuple[float, float]]:
    """Return the collectives that JAX makes on a CPU; the end of one that runs beside others is a separate event."""
    events = [event for line in capture.lines if line.plane == xplane.HOST for event in line.events]
    ends = {event.stats.get("_c"): event.end for event in events if event.name.startswith("end: ")}
    asked = [event for event in events if "hlo_op" in event.stats and gpu.is_collective(event)]
    return [(event.start, max(event.end, ends.get(event.stats.get("_p"), event.end))) for event in asked]


def _named(lines: list[Line], *beginnings: str) -> list[Event]:
    """Return the events whose names, in lower case, begin so."""
    return [event for line in lines for event in line.events if event.name.lower().startswith(beginnings)]


def _spans(events: Iterable[Event]) -> np.ndarray:
    return np.array([(event.start, event.end) for event in events], float).reshape(-1, 2)
