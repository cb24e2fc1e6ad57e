"""The traces of a run: each rank's table of steps, extracted on the rank after the window, or from the raw trace."""

from dataclasses import asdict, dataclass
from typing import Any

from launch.errors import Refusal
from launch.plan import typed
from launch.plan.request import Natural
from launch.record.files import append_line, read_lines
from launch.record.rundir import RunDir
from profiling.traces import parts, xplane
from profiling.traces.parts import Operation, Step


@dataclass(frozen=True)
class RankTrace:
    """What the trace of one rank says; a line of traces/node<k>.jsonl."""

    rank: int
    attempt: int
    steps: list[Step]
    operations: list[Operation]
    types: list[Operation]


def extract(run: RunDir, attempt: int, rank: int) -> RankTrace:
    """Read a raw trace.

    Raises
    ------
    Refusal
        If it is cut short or not a trace of the training loop.
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
    """The traces of a run by attempt and rank, and notes on what was left out.

    A raw trace whose rank died before it had read it is read now.
    """
    traces: dict[tuple[int, int], RankTrace] = {}
    notes = []
    for path in sorted(run.traces.glob("node*.jsonl")):
        for line in read_lines(path):
            try:
                trace = _from_line(line)
            except (KeyError, TypeError, ValueError, Refusal):
                notes.append(f"a line of {path.name} is damaged and passed over")
                continue
            traces[trace.attempt, trace.rank] = trace
    for path in sorted(run.traces.glob("plugins/profile/attempt*/rank*.xplane.pb")):
        key = int(path.parent.name.removeprefix("attempt")), int(path.name.partition(".")[0].removeprefix("rank"))
        if key not in traces:
            try:
                traces[key] = extract(run, *key)
            except Refusal as refusal:
                notes.append(f"left out: {refusal}")
    return [traces[key] for key in sorted(traces)], notes


def _from_line(line: dict[str, Any]) -> RankTrace:
    steps = [typed.build(Step, step, "a step") for step in line["steps"]]
    whole = all(set(step.parts) == set(parts.PARTS) for step in steps) and sum(step.seconds for step in steps) > 0
    if not whole or typed.mismatch(line, {"rank": Natural, "attempt": Natural}):
        raise ValueError
    operations, types = (
        [typed.build(Operation, operation, "an operation") for operation in line[name]]
        for name in ("operations", "types")
    )
    return RankTrace(line["rank"], line["attempt"], steps, operations, types)
