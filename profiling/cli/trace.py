"""python -m profiling trace RUN: where the time of the traced steps went, by rank; the longest operations; Horovod's timeline."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from launch.errors import Refusal
from launch.record.files import read_lines
from launch.record.rundir import RunDir
from profiling import text
from profiling.cli import arguments
from profiling.traces import store, timeline
from profiling.traces.parts import PARTS, Step
from profiling.traces.store import RankTrace


@dataclass(frozen=True)
class Options:
    """The options of the verb."""

    attempt: int | None = None  # which start of the run, where several were traced: the last
    rank: int | None = None  # whose operations are shown: the first that was traced
    steps: bool = False  # a line for each step too
    top: int = 10  # operations and tensors that are shown
    json: bool = False  # the same as JSON, all operations and tensors


def run(argv: Sequence[str]) -> str:
    """What the verb prints; the words behind it are RUN and options.

    Raises
    ------
    Refusal
        Bad words, a run without traces, or none that can be read.
    """
    (path,), options = arguments.parse(Options, argv, ["RUN"])
    document = gather(RunDir.open(path), options.attempt)
    return json.dumps(document, indent=1) if options.json else _show(document, options)


def gather(run: RunDir, attempt: int | None = None) -> dict[str, Any]:
    """All that the traces of a run say; seconds, and shares of the traced time.

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
    found, notes = store.read(run)
    noted = {int(path.stem.removeprefix("horovod")) for path in run.traces.glob("horovod[0-9]*.json")}
    attempts = sorted({trace.attempt for trace in found} | noted)
    if not attempts:
        raise Refusal(
            "; ".join(notes) or f"{run.path} has no traces: ask for them with python -m launch WORKLOAD --trace 20..30"
        )
    attempt = attempts[-1] if attempt is None else attempt
    if attempt not in attempts:
        raise Refusal(f"attempt {attempt} of {run.path} has no traces: give one of {', '.join(map(str, attempts))}")
    if len(attempts) > 1:
        notes.append(f"attempts {', '.join(map(str, attempts))} were traced; this is attempt {attempt}")
    chosen = [trace for trace in found if trace.attempt == attempt]
    document: dict[str, Any] = {
        "run": str(run.path),
        "attempt": attempt,
        "ranks": [_rank(trace) for trace in chosen],
        "timeline": None,
        "notes": notes,
    }
    if attempt in noted:
        try:
            document["timeline"] = _timeline(run, attempt)
        except Refusal as refusal:
            notes.append(f"left out: {refusal}")
            if not chosen:
                raise
    return document


def _rank(trace: RankTrace) -> dict[str, Any]:
    seconds = sum(step.seconds for step in trace.steps)
    shares = {part: sum(step.parts[part] for step in trace.steps) / seconds for part in PARTS}
    hidden = sum(step.hidden for step in trace.steps) / seconds
    return {"rank": trace.rank, "seconds": seconds, "shares": shares | {"hidden": hidden}} | store.as_json(trace)


def _timeline(run: RunDir, attempt: int) -> dict[str, Any]:
    """The timeline, joined by time with the chief's records of its steps."""
    found = timeline.read(run.timeline(attempt))
    spans = [spans for spans in found.phases.values() if len(spans)]
    first, last = min(s[0, 0] for s in spans), max(s[-1, 1] for s in spans)
    steps = [
        {"number": line["step"], "seconds": line["seconds"]}
        | timeline.within(found, line["start"], line["start"] + line["seconds"])
        for line in read_lines(run.steps / "node0.jsonl")
        if (line.get("rank"), line.get("attempt")) == (0, attempt)
        and first <= line["start"] + line["seconds"]
        and line["start"] <= last
    ]
    tensors = [tensor._asdict() for tensor in found.tensors]
    return {
        "steps": steps,
        "seconds": {phase: sum(step[phase] for step in steps) for phase in timeline.PHASES},
        "bytes": sum(tensor.bytes * tensor.count for tensor in found.tensors),
        "tensors": tensors,
    }


def _show(document: dict[str, Any], options: Options) -> str:
    blocks = [f"{document['run']}, attempt {document['attempt']}"]
    if document["ranks"]:
        blocks.append(_shares(document["ranks"]))
        if options.steps:
            blocks.append(_steps(document["ranks"]))
        blocks += _longest(_of(document["ranks"], options.rank), options.top)
    if document["timeline"]:
        blocks.append(_collectives(document["timeline"], options))
    if document["notes"]:
        blocks.append("\n".join(document["notes"]))
    return "\n\n".join(blocks)


def _shares(ranks: list[dict[str, Any]]) -> str:
    header = ["rank", "steps", "ms a step", *PARTS, "hidden"]
    rows = [
        [
            str(rank["rank"]),
            f"{rank['steps'][0]['number']}..{rank['steps'][-1]['number']}",
            _ms(rank["seconds"] / len(rank["steps"])),
            *(text.percent(rank["shares"][part]) for part in (*PARTS, "hidden")),
        ]
        for rank in ranks
    ]
    return text.aligned(header, rows)


def _steps(ranks: list[dict[str, Any]]) -> str:
    rows = [
        [
            str(rank["rank"]),
            str(step.number),
            _ms(step.seconds),
            *(_ms(step.parts[part]) for part in PARTS),
            _ms(step.hidden),
        ]
        for rank in ranks
        for step in (Step(**values) for values in rank["steps"])
    ]
    return text.aligned(["rank", "step", "ms", *(f"{part} [ms]" for part in PARTS), "hidden [ms]"], rows)


def _of(ranks: list[dict[str, Any]], number: int | None) -> dict[str, Any]:
    for rank in ranks:
        if number in (None, rank["rank"]):
            return rank
    raise Refusal(
        f"rank {number} was not traced: give one of {', '.join(str(rank['rank']) for rank in ranks)} as --rank"
    )


def _longest(rank: dict[str, Any], top: int) -> list[str]:
    computed = sum(step["parts"]["compute"] for step in rank["steps"])

    def row(operation: dict[str, Any]) -> list[str]:
        share = text.percent(operation["seconds"] / computed) if computed else ""
        return [_ms(operation["seconds"] / len(rank["steps"])), share, str(operation["count"]), operation["type"]]

    types = [row(operation) for operation in rank["types"][:top]]
    operations = [[*row(operation), operation["name"]] for operation in rank["operations"][:top]]
    header = ["ms a step", "of compute", "runs", "type"]
    return [
        f"what rank {rank['rank']} computed",
        _left(header, types, 1),
        _left([*header, "operation"], operations, 2),
    ]


def _collectives(found: dict[str, Any], options: Options) -> str:
    steps = found["steps"]
    if steps:
        seconds = sum(step["seconds"] for step in steps)
        rows = [
            [phase, _ms(total / len(steps)), text.percent(total / seconds)] for phase, total in found["seconds"].items()
        ]
        head = [
            f"Horovod on rank 0, steps {steps[0]['number']}..{steps[-1]['number']}, {text.number(found['bytes'] / len(steps) / 1e6, 3)} MB a step; "
            "phases of several tensors overlap",
            "",
            text.aligned(["phase", "ms a step", "of the step"], rows),
        ]
    else:
        head = ["Horovod on rank 0; no records of these steps"]
    tensors = [
        [*(_ms(tensor["seconds"][phase] / tensor["count"]) for phase in timeline.PHASES), str(tensor["count"]),
         tensor["shape"], tensor["name"]]
        for tensor in found["tensors"][: options.top]
    ]  # fmt: skip
    header = [*(f"{phase} [ms]" for phase in timeline.PHASES), "times", "shape", "tensor"]
    blocks = ["\n".join(head), _left(header, tensors, 2)]
    if options.steps and steps:
        rows = [
            [str(step["number"]), _ms(step["seconds"]), *(_ms(step[phase]) for phase in timeline.PHASES)]
            for step in steps
        ]
        blocks.insert(1, text.aligned(["step", "ms", *(f"{phase} [ms]" for phase in timeline.PHASES)], rows))
    return "\n\n".join(blocks)


def _left(header: list[str], rows: list[list[str]], columns: int) -> str:
    """Aligned columns, of which the last ones begin at the left."""
    lines = [header, *rows]
    widths = [max(len(line[-i]) for line in lines) for i in range(1, columns + 1)]
    padded = [[*line[:-columns], *(line[-i].ljust(widths[i - 1]) for i in range(columns, 0, -1))] for line in lines]
    return text.aligned(padded[0], padded[1:])


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"
