"""The traces of a run as a document for programs: its ranks' steps and operations, Horovod's timeline."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from launch.errors import Refusal, command
from launch.record.contents import StepRecord
from launch.record.files import read_lines
from launch.record.rundir import RunDir
from profiling.traces import store, timeline
from profiling.traces.parts import PARTS, Step
from profiling.traces.store import RankTrace


def document(run: RunDir, attempt: int | None = None) -> dict[str, Any]:
    """Return the traces of an attempt of a run, by default the last: seconds, and shares of the traced time.

    Raises
    ------
    Refusal
        If there is nothing to read.
    """
    traces, notes = store.read(run)
    names = (re.fullmatch(r"horovod([0-9]{1,9})\.json", path.name) for path in run.traces.glob("horovod*.json"))
    timelines = {int(name[1]) for name in names if name}
    attempts = sorted({trace.attempt for trace in traces} | timelines)
    if not attempts:
        raise Refusal(
            "; ".join(notes)
            or f"there are no traces in {run.traces}: ask for them with {command('WORKLOAD --trace 20..30')}"
        )
    attempt = attempts[-1] if attempt is None else attempt
    if attempt not in attempts:
        raise Refusal(f"attempt {attempt} of {run.path} has no traces: give one of {', '.join(map(str, attempts))}")
    if len(attempts) > 1:
        notes.append(f"attempts {', '.join(map(str, attempts))} were traced; this is attempt {attempt}")
    ranks = [_rank(trace) for trace in traces if trace.attempt == attempt]
    of_horovod = None
    if attempt in timelines:
        try:
            of_horovod = _timeline(run, attempt)
        except Refusal as refusal:
            notes.append(f"left out: {refusal}")
            if not ranks:
                raise
    return {"run": str(run.path), "attempt": attempt, "ranks": ranks, "timeline": of_horovod, "notes": notes}


def _rank(trace: RankTrace) -> dict[str, Any]:
    return asdict(trace) | shares(trace.steps)


def shares(steps: Sequence[Step]) -> dict[str, Any]:
    """Return the length of some steps, and the shares of their parts in it."""
    seconds = sum(step.seconds for step in steps)
    parts = {part: sum(step.parts[part] for step in steps) / seconds for part in PARTS}
    return {"seconds": seconds, "shares": parts | {"hidden": sum(step.hidden for step in steps) / seconds}}


def _timeline(run: RunDir, attempt: int) -> dict[str, Any]:
    """Return the timeline, joined by time with rank 0's records of its steps."""
    recorded = timeline.read(run.timeline(attempt))
    spans = [spans for spans in recorded.phases.values() if len(spans)]
    first, last = min(span[0, 0] for span in spans), max(span[-1, 1] for span in spans)
    of_rank_0 = (
        (step["step"], step.get("start", 0.0), step.get("seconds", 0.0))
        for step in read_lines(run.steps / "node0.jsonl", StepRecord)
        if (step["rank"], step.get("attempt")) == (0, attempt)
    )
    steps = [
        {"number": number, "seconds": seconds} | timeline.within(recorded, start, start + seconds)
        for number, start, seconds in of_rank_0
        if first <= start + seconds and start <= last
    ]
    return of_timeline(recorded, steps)


def of_timeline(recorded: timeline.Timeline, steps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a timeline as a value, with its phases in some steps."""
    return {
        "steps": steps,
        "seconds": {phase: sum(step[phase] for step in steps) for phase in timeline.PHASES},
        "bytes": sum(tensor.bytes * tensor.count for tensor in recorded.tensors),
        "tensors": [asdict(tensor) for tensor in recorded.tensors],
    }
