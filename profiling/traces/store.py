"""The traces of a run: each rank's table of steps, extracted on the rank after the window, or from the raw trace."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from launch.errors import Refusal
from launch.plan.typed import build, mismatch
from launch.record.contents import Natural
from launch.record.files import Unreadable, read_lines
from launch.record.rundir import RunDir
from launch.record.writing import append_line
from profiling.traces import parts, xplane
from profiling.traces.operations import Operation
from profiling.traces.parts import Step


@dataclass(frozen=True)
class RankTrace:
    """The trace of one rank; a line of traces/node<k>.jsonl."""

    rank: int
    attempt: int
    steps: list[Step]
    operations: list[Operation]
    types: list[Operation]


def extract(run: RunDir, attempt: int, rank: int) -> RankTrace:
    """Read the raw trace of a rank.

    Raises
    ------
    Refusal
        If the trace is cut short, or not one of the training loop.
    """
    path = run.raw_trace(attempt, rank)
    try:
        table = parts.table(xplane.read(path))
    except Refusal as refusal:
        reason = str(refusal)
        raise Refusal(reason if str(path) in reason else f"{path}: {reason}") from None
    return RankTrace(rank, attempt, table.steps, table.operations, table.types)


def write(run: RunDir, node: int, trace: RankTrace) -> None:
    """Append the trace of a rank to the file of its node."""
    append_line(run.traces / f"node{node}.jsonl", asdict(trace))


def read(run: RunDir) -> tuple[list[RankTrace], list[str]]:
    """Return the traces of a run by attempt and rank, and notes on what was left out.

    If a rank died before it had read its raw trace, the trace is read now.
    """
    traces: dict[tuple[int, int], RankTrace] = {}
    notes = []
    for path in sorted(run.traces.glob("node*.jsonl")):
        try:
            for line in read_lines(path):
                if trace := _from_line(line):
                    traces[trace.attempt, trace.rank] = trace
                else:
                    notes.append(f"a line of {path.name} is damaged and passed over")
        except Unreadable as error:
            notes.append(f"left out: {error.reason}")
    for path in sorted(run.traces.glob("plugins/profile/attempt*/rank*.xplane.pb")):
        name = re.fullmatch(r"attempt([0-9]{1,9})/rank([0-9]{1,9})\.xplane\.pb", f"{path.parent.name}/{path.name}")
        key = (int(name[1]), int(name[2])) if name else None
        if key and key not in traces:
            try:
                traces[key] = extract(run, *key)
            except Refusal as refusal:
                notes.append(f"left out: {refusal}")
    return [traces[key] for key in sorted(traces)], notes


_LINE = {"rank": Natural, "attempt": Natural, **dict.fromkeys(("steps", "operations", "types"), list[dict])}


def _from_line(line: dict[str, Any]) -> RankTrace | None:
    """Return the trace in a line; None if it is not one, or one of another version."""
    if mismatch(line, _LINE) or not line.keys() >= _LINE.keys():
        return None
    try:
        steps = [build(Step, each, "steps") for each in line["steps"]]
        operations, types = ([build(Operation, each, name) for each in line[name]] for name in ("operations", "types"))
    except Refusal:
        return None
    if not sum(step.seconds for step in steps) > 0 or any(set(step.parts) != set(parts.PARTS) for step in steps):
        return None
    return RankTrace(line["rank"], line["attempt"], steps, operations, types)
