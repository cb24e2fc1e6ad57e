"""python -m profiling trace RUN|TRACE: where the time of traced steps went, the longest operations, Horovod's timeline.

A trace is a file .xplane.pb, a log folder of TensorBoard, a trace of PyTorch (.json, .json.gz), or a timeline of
Horovod.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from launch.cli.names import Named
from launch.errors import Refusal
from launch.plan import options
from launch.record.rundir import RunDir
from profiling import text
from profiling.traces import any_path
from profiling.traces.document import document
from profiling.traces.parts import PARTS
from profiling.traces.timeline import PHASES


@dataclass(frozen=True)
class Options(Named):
    """The options of the verb."""

    attempt: int | None = None  # which start of the run, if several were traced; by default the last
    rank: int | None = None  # whose operations are shown; by default those of the first traced rank
    steps: bool = False  # also a line per step
    top: int = 10  # how many operations and tensors are shown
    json: bool = False  # print JSON, with all operations and tensors


def run(argv: Sequence[str]) -> str:
    """Return what the verb prints."""
    (path,), chosen = options.with_files(Options, argv, ["RUN|TRACE"])
    if any_path.is_run(path):
        traces = document(RunDir.open(path), chosen.attempt)
    elif chosen.attempt is not None:
        raise Refusal(f"--attempt is of a run, and {path} is a trace: leave it out")
    else:
        traces = any_path.document(path)
    return json.dumps(traces, indent=1) if chosen.json else _as_text(traces, chosen)


def _as_text(traces: dict[str, Any], chosen: Options) -> str:
    ranks, blocks = (
        traces["ranks"],
        [traces["run"] + ("" if traces["attempt"] is None else f", attempt {traces['attempt']}")],
    )
    if ranks:
        blocks.append(_shares(ranks))
        if chosen.steps:
            blocks.append(_steps(ranks))
        shown = [rank for rank in ranks if chosen.rank in (None, rank["rank"])]
        if not shown:
            traced = ", ".join(dict.fromkeys(str(rank["rank"]) for rank in ranks))
            raise Refusal(f"rank {chosen.rank} was not traced: give one of {traced} as --rank")
        whose = f"rank {shown[0]['rank']}" + (f" in {shown[0]['file']}" if _windows(ranks) else "")
        blocks += [f"what {whose} computed", *_longest(shown[0], chosen.top)]
    if traces["timeline"]:
        blocks += _collectives(traces["timeline"], chosen)
    if traces["notes"]:
        blocks.append("\n".join(traces["notes"]))
    return "\n\n".join(blocks)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2f}"


def _windows(ranks: list[dict[str, Any]]) -> list[tuple[str, text.Form]]:
    """Return a column that names the trace of each row, if several are of one rank; else none."""
    several = len({rank["rank"] for rank in ranks}) < len(ranks)
    return [("trace", text.value("file", str))] if several else []


def _shares(ranks: list[dict[str, Any]]) -> str:
    columns = [
        ("rank", text.value("rank", str)),
        ("steps", text.value("steps", lambda steps: f"{steps[0]['number']}..{steps[-1]['number']}")),
        ("ms per step", lambda rank: _ms(rank["seconds"] / len(rank["steps"]))),
        *((part, lambda rank, part=part: text.percent(rank["shares"][part])) for part in (*PARTS, "hidden")),
    ]
    return text.table([*columns, *_windows(ranks)], ranks, ">" * len(columns) + "<")


def _steps(ranks: list[dict[str, Any]]) -> str:
    columns = [
        ("rank", text.value("rank", str)),
        ("step", text.value("number", str)),
        ("ms", text.value("seconds", _ms)),
        *((f"{part} [ms]", text.value(part, _ms)) for part in (*PARTS, "hidden")),
    ]
    rows = [rank | step | step["parts"] for rank in ranks for step in rank["steps"]]
    return text.table([*columns, *_windows(ranks)], rows, ">" * len(columns) + "<")


def _longest(rank: dict[str, Any], top: int) -> list[str]:
    computed = sum(step["parts"]["compute"] for step in rank["steps"])
    columns = [
        ("ms per step", text.value("seconds", lambda seconds: _ms(seconds / len(rank["steps"])))),
        ("of compute", text.value("seconds", lambda seconds: text.percent(seconds / computed) if computed else "")),
        ("runs", text.value("count", str)),
        ("type", text.value("type", str)),
    ]
    operations = [*columns, ("operation", text.value("name", str))]
    return [
        text.table(columns, rank["types"][:top], ">>><"),
        text.table(operations, rank["operations"][:top], ">>><"),
    ]


def _collectives(timeline: dict[str, Any], chosen: Options) -> list[str]:
    steps, blocks = timeline["steps"], []
    phases = [(f"{phase} [ms]", text.value(phase, _ms)) for phase in PHASES]
    if steps:
        seconds = sum(step["seconds"] for step in steps)
        size = text.number(timeline["bytes"] / len(steps) / 1e6, 3)
        columns = [
            ("phase", lambda item: item[0]),
            ("ms per step", lambda item: _ms(item[1] / len(steps))),
            ("of the step", lambda item: text.percent(item[1] / seconds)),
        ]
        blocks += [
            f"Horovod on rank 0, steps {steps[0]['number']}..{steps[-1]['number']}, {size} MB per step; "
            "phases of several tensors overlap",
            text.table(columns, timeline["seconds"].items()),
        ]
        if chosen.steps:
            columns = [("step", text.value("number", str)), ("ms", text.value("seconds", _ms)), *phases]
            blocks.append(text.table(columns, steps))
    else:
        blocks.append("Horovod on rank 0; no records of these steps")
    tensors = [
        tensor | {"tensor": tensor["name"]} | {phase: tensor["seconds"][phase] / tensor["count"] for phase in PHASES}
        for tensor in timeline["tensors"][: chosen.top]
    ]
    columns = [*phases, *((key, text.value(key, str)) for key in ("count", "shape", "tensor"))]
    return [*blocks, text.table(columns, tensors, ">" * (len(PHASES) + 1) + "<")]
