"""The operations of a trace that took longest, each by itself and by type."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from profiling.traces.xplane import Event

OPERATION = re.compile(r"([\w.][\w.\\/>-]*):([A-Z_]\w*)")
"""The name of TensorFlow's event of an operation has the operation and its type: "sequential/dense/MatMul:MatMul"."""
_TEMPLATE = re.compile(r"<[^<>]*>")  # the innermost arguments of a template, in the name of a kernel
_TOP = 40  # number of operations that are kept


@dataclass(frozen=True)
class Operation:
    """All runs of an operation, or of all operations of a type, in the traced steps of a rank."""

    name: str  # empty for all of a type
    type: str
    count: int
    seconds: float  # an operation that runs others, such as a While, includes theirs


def longest(events: Sequence[Event], by_type: bool = False) -> list[Operation]:
    """Return the operations that took longest, or the types that did, the longest first."""
    totals: dict[tuple[str, str], list] = defaultdict(lambda: [0, 0.0])
    for event in events:
        name, kind = _name_and_type(event)
        total = totals["" if by_type else name.removeprefix("StatefulPartitionedCall/"), kind]
        total[0] += 1
        total[1] += event.end - event.start
    found = sorted(totals.items(), key=lambda item: -item[1][1])[:_TOP]
    return [Operation(name, kind, count, round(seconds, 9)) for (name, kind), (count, seconds) in found]


def _name_and_type(event: Event) -> tuple[str, str]:
    """Return the names of an operation and its type: that of a kernel, or of an operation of PyTorch, is its name
    without name spaces, arguments, and the type that it returns."""
    if "hlo_op" in event.stats:
        return event.name, event.name.partition(".")[0]
    if found := OPERATION.fullmatch(event.name):
        return found[1], found[2]
    bare, count = event.name.replace("(anonymous namespace)::", ""), 1
    while count:
        bare, count = _TEMPLATE.subn("", bare)
    words = re.split(r"[<(]", bare)[0].split() or [""]
    return event.name, words[-1].rpartition("::")[2] or event.name
