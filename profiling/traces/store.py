"""The traces of a run: each rank's table of steps, extracted on the rank after the window, or from the raw trace."""

from dataclasses import asdict, dataclass
from typing import Any

from launch.errors import Refusal
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
    """Append a rank's table to the file of its node."""
    line = {"rank": trace.rank, "attempt": trace.attempt} | as_json(trace)
    append_line(run.traces / f"node{node}.jsonl", line)


def as_json(trace: RankTrace) -> dict[str, list[dict[str, Any]]]:
    """The steps and operations of a trace."""
    return {name: [asdict(each) for each in getattr(trace, name)] for name in ("steps", "operations", "types")}


def read(run: RunDir) -> tuple[list[RankTrace], list[str]]:
    """The traces of a run.

    Parameters
    ----------
    run : RunDir
        The run.

    Returns
    -------
    traces : list of RankTrace
        Of every attempt, by attempt and rank. A raw trace whose rank died before it had read it is read now.
    notes : list of str
        What was left out, and why.
    """
    traces: dict[tuple[int, int], RankTrace] = {}
    notes = []
    for path in sorted(run.traces.glob("node*.jsonl")):
        for line in read_lines(path):
            try:
                trace = _from_line(line)
            except (AttributeError, KeyError, TypeError, ValueError):
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
    steps = [Step(**step) for step in line["steps"]]
    if not steps or any(set(step.parts) != set(parts.PARTS) for step in steps):
        raise ValueError
    operations, types = ([Operation(**each) for each in line[name]] for name in ("operations", "types"))
    return RankTrace(line["rank"], line["attempt"], steps, operations, types)
