"""All that the traces of a run say, as a document for programs: its ranks' steps and operations, Horovod's timeline."""

from dataclasses import asdict
from typing import Any

from launch.errors import Refusal
from launch.record.files import read_lines
from launch.record.rundir import RunDir
from profiling.traces import store, timeline
from profiling.traces.parts import PARTS
from profiling.traces.store import RankTrace


def document(run: RunDir, attempt: int | None = None) -> dict[str, Any]:
    """What the traces of a run say; seconds, and shares of the traced time.

    Parameters
    ----------
    run : RunDir
        The run.
    attempt : int, optional
        Which start of it; by default the last that was traced.

    Raises
    ------
    Refusal
        If there is nothing to read.
    """
    traces, notes = store.read(run)
    timelines = {int(path.stem.removeprefix("horovod")) for path in run.traces.glob("horovod[0-9]*.json")}
    attempts = sorted({trace.attempt for trace in traces} | timelines)
    if not attempts:
        raise Refusal(
            "; ".join(notes) or f"{run.path} has no traces: ask for them with python -m launch WORKLOAD --trace 20..30"
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
    seconds = sum(step.seconds for step in trace.steps)
    shares = {part: sum(step.parts[part] for step in trace.steps) / seconds for part in PARTS}
    shares["hidden"] = sum(step.hidden for step in trace.steps) / seconds
    return {"rank": trace.rank, "seconds": seconds, "shares": shares} | store.as_json(trace)


def _timeline(run: RunDir, attempt: int) -> dict[str, Any]:
    """The timeline, joined by time with rank 0's records of its steps."""
    recorded = timeline.read(run.timeline(attempt))
    spans = [spans for spans in recorded.phases.values() if len(spans)]
    first, last = min(span[0, 0] for span in spans), max(span[-1, 1] for span in spans)
    steps = [
        {"number": line["step"], "seconds": line["seconds"]}
        | timeline.within(recorded, line["start"], line["start"] + line["seconds"])
        for line in read_lines(run.steps / "node0.jsonl")
        if (line.get("rank"), line.get("attempt")) == (0, attempt)
        and first <= line["start"] + line["seconds"]
        and line["start"] <= last
    ]
    return {
        "steps": steps,
        "seconds": {phase: sum(step[phase] for step in steps) for phase in timeline.PHASES},
        "bytes": sum(tensor.bytes * tensor.count for tensor in recorded.tensors),
        "tensors": [asdict(tensor) for tensor in recorded.tensors],
    }
