"""python -m profiling mllog RUN: the run as lines of an MLPerf log (:::MLLOG), from its records."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from launch.errors import Refusal
from launch.record.files import read_json, read_lines
from launch.record.rundir import RunDir
from launch.record.steps import StepReader
from profiling.cli import arguments

POINT, START, END = "POINT_IN_TIME", "INTERVAL_START", "INTERVAL_END"


@dataclass(frozen=True)
class Options:
    """The options of the verb: what no record says; left out of the log where it is not given."""

    benchmark: str | None = None  # submission_benchmark, as in deepcam; the workload's name by default
    org: str | None = None  # submission_org
    platform: str | None = None  # submission_platform
    division: Literal["closed", "open"] | None = None  # submission_division
    status: Literal["cloud", "onprem", "preview", "research"] | None = None  # submission_status


def run(argv: Sequence[str]) -> str:
    """What the verb prints; the words behind it are RUN and options.

    Raises
    ------
    Refusal
        Bad words, no training, or one that was interrupted: MLPerf's clock knows no interruption.
    """
    (path,), options = arguments.parse(Options, argv, ["RUN"])
    run = RunDir.open(path)
    training, started = read_json(run.training_json), run.events("started")
    if training is None or not started:
        raise Refusal(f"{path} has not trained: give a run of a workload that has begun")
    if len(started) > 1:
        raise Refusal(
            f"{path} was made in {len(started)} attempts, and MLPerf times runs without interruption: give another run"
        )
    lines = [*_facts(run, training, options), *_times(run)]
    return "\n".join(_encode(*line) for line in sorted(lines, key=lambda line: line[0]))


Line = tuple[float, str, str, Any, dict[str, Any]]
"""Unix seconds, event type, key, value, metadata."""


def _facts(run: RunDir, training: dict[str, Any], options: Options) -> Iterator[Line]:
    plan, began = read_json(run.run_json), run.events("started")[0]["time"]
    told = {
        "submission_benchmark": options.benchmark or training["workload"].rpartition(".")[2],
        "submission_org": options.org,
        "submission_platform": options.platform,
        "submission_division": options.division,
        "submission_status": options.status,
        "number_of_nodes": plan["nodes"],
        "accelerators_per_node": plan["gpus_per_node"],
        "seed": plan["seed"],
        "global_batch_size": training["global_batch"],
        "gradient_accumulation_steps": training.get("accumulate"),
        "train_samples": training["examples"],
        "eval_samples": training["validation_examples"],
    }
    for key, value in told.items():
        if value is not None:
            yield began, POINT, key, value, {"file": run.run_json.name, "lineno": 1}


def _times(run: RunDir) -> Iterator[Line]:
    """The clock starts when the packages are imported and the data are touched, as the rules of MLPerf HPC have it.

    An evaluation is taken to begin when the step before it ends: the last one, which a checkpoint precedes, is thus told
    too long rather than too short.
    """
    events = [(number, event) for number, event in enumerate(read_lines(run.events_jsonl), 1)]
    number, started = next((number, event) for number, event in events if event["event"] == "started")
    file = {"file": run.events_jsonl.name, "lineno": number}
    result = run.result()
    phases = (result or {}).get("phases_s") or {}
    ready = started["time"] + (phases.get("start") or 0) + (phases.get("import") or 0)
    yield started["time"], START, "init_start", None, file
    yield ready, END, "init_stop", None, file
    yield ready, START, "run_start", None, file

    ends: dict[int, float] = {}
    epochs: dict[int, list[tuple[int, float, float]]] = {}
    for number, step in enumerate(StepReader(run).read(run.node_steps(0)), 1):
        if step["rank"] == 0:
            ends[step["step"]] = step["start"] + step["seconds"]
            if "epoch" in step:
                epochs.setdefault(step["epoch"], []).append((number, step["start"], ends[step["step"]]))
    for epoch, steps in sorted(epochs.items()):
        number = {"epoch_num": epoch + 1}
        first, last = steps[0], steps[-1]
        yield first[1], START, "epoch_start", None, {"file": "steps/node0.jsonl", "lineno": first[0], **number}
        yield last[2], END, "epoch_stop", None, {"file": "steps/node0.jsonl", "lineno": last[0], **number}

    last = max([ready, *ends.values()])
    for number, event in events:
        if event["event"] == "evaluated":
            about = {"file": run.events_jsonl.name, "lineno": number, "epoch_num": event["epoch"]}
            yield ends.get(event["step"], event["time"]), START, "eval_start", None, about
            for name, value in event["metrics"].items():
                yield event["time"], POINT, f"eval_{name}", value, about
            yield event["time"], END, "eval_stop", None, about
            last = max(last, event["time"])
    if result and "throughput_examples_per_s" in result:
        value, about = {"throughput": result["throughput_examples_per_s"]}, {"file": run.result_json.name, "lineno": 1}
        yield last, POINT, "tracked_stats", value, about | ({"step": result["steps"]} if "steps" in result else {})
    status = {"status": "success" if result else "aborted"}
    yield last, END, "run_stop", None, {"file": run.events_jsonl.name, "lineno": len(events), **status}


def _encode(seconds: float, kind: str, key: str, value: Any, metadata: dict[str, Any]) -> str:
    fields = {"namespace": "", "time_ms": round(1000 * seconds), "event_type": kind, "key": key, "value": value}
    return f":::MLLOG {json.dumps(fields | {'metadata': metadata})}"
