"""python -m profiling mllog RUN: the run as lines of an MLPerf log (:::MLLOG)."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from launch.cli.names import Named
from launch.errors import Refusal
from launch.plan import options
from launch.record.contents import Event, TrainingRecord
from launch.record.files import read_lines
from launch.record.performance.steps import StepReader
from launch.record.rundir import RunDir

POINT, START, END = "POINT_IN_TIME", "INTERVAL_START", "INTERVAL_END"


@dataclass(frozen=True)
class Options(Named):
    """The options of the verb: facts that no record contains. Those not given are left out of the log."""

    benchmark: str | None = None  # submission_benchmark, as in deepcam; the workload's name by default
    org: str | None = None  # submission_org
    platform: str | None = None  # submission_platform
    division: Literal["closed", "open"] | None = None  # submission_division
    status: Literal["cloud", "onprem", "preview", "research"] | None = None  # submission_status


class Line(NamedTuple):
    """A line of the log."""

    time: float  # Unix seconds
    event_type: str
    key: str
    value: Any
    metadata: dict[str, Any]

    def __str__(self) -> str:
        fields = {
            "namespace": "",
            "time_ms": round(1000 * self.time),
            "event_type": self.event_type,
            "key": self.key,
            "value": self.value,
            "metadata": self.metadata,
        }
        return f":::MLLOG {json.dumps(fields)}"


def run(argv: Sequence[str]) -> str:
    """Return what the verb prints."""
    (path,), chosen = options.with_files(Options, argv, ["RUN"])
    run = RunDir.open(path)
    training, started = run.training(), run.events("started")
    if training is None or not started:
        raise Refusal(f"{path} has not trained: give a run of a workload that has begun")
    if len(started) > 1:
        raise Refusal(
            f"{path} took {len(started)} attempts, and MLPerf times runs without interruption: give another run"
        )
    lines = [*_facts(run, training, chosen), *_times(run)]
    return "\n".join(map(str, sorted(lines, key=lambda line: line.time)))


def _facts(run: RunDir, training: TrainingRecord, chosen: Options) -> Iterator[Line]:
    plan, began = run.record(), run.events("started")[0]["time"]
    facts = {
        "submission_benchmark": chosen.benchmark or plan["workload"].rpartition(".")[2],
        "submission_org": chosen.org,
        "submission_platform": chosen.platform,
        "submission_division": chosen.division,
        "submission_status": chosen.status,
        "number_of_nodes": plan["nodes"],
        "accelerators_per_node": plan.get("gpus_per_node", 0),
        "seed": plan.get("seed"),
        "global_batch_size": training.get("global_batch"),
        "gradient_accumulation_steps": training.get("accumulate"),
        "train_samples": training.get("examples"),
        "eval_samples": training.get("validation_examples"),
    }
    for key, value in facts.items():
        if value is not None:
            yield Line(began, POINT, key, value, {"file": run.run_json.name, "lineno": 1})


def _times(run: RunDir) -> Iterator[Line]:
    """Yield the lines with times. The clock starts after the imports, when the data are touched (rules of MLPerf HPC).

    An evaluation is assumed to begin when the step before it ends. The last one follows a checkpoint, so it is
    reported too long rather than too short.
    """
    events = [(number, event) for number, event in enumerate(read_lines(run.events_jsonl, Event), 1)]
    number, started = next((number, event) for number, event in events if event.get("event") == "started")
    source = {"file": run.events_jsonl.name, "lineno": number}
    result = run.result()
    phases = (result or {}).get("phases_s", {})
    ready = started["time"] + (phases.get("start") or 0) + (phases.get("import") or 0)
    yield Line(started["time"], START, "init_start", None, source)
    yield Line(ready, END, "init_stop", None, source)
    yield Line(ready, START, "run_start", None, source)

    ends: dict[int, float] = {}
    epochs: dict[int, list[tuple[int, float, float]]] = {}  # number -> (line, start, end) of its steps
    for number, step in enumerate(StepReader(run).read(run.node_steps(0)), 1):
        if step["rank"] == 0:
            ends[step["step"]] = step["start"] + step["seconds"]
            if "epoch" in step:
                epochs.setdefault(step["epoch"], []).append((number, step["start"], ends[step["step"]]))
    for epoch, steps in sorted(epochs.items()):
        (first, start, _), (last, _, end) = steps[0], steps[-1]
        of_epoch = {"file": "steps/node0.jsonl", "epoch_num": epoch + 1}
        yield Line(start, START, "epoch_start", None, of_epoch | {"lineno": first})
        yield Line(end, END, "epoch_stop", None, of_epoch | {"lineno": last})

    stop = max([ready, *ends.values()])
    for number, event in events:
        if event.get("event") == "evaluated" and {"epoch", "step", "metrics"} <= event.keys():
            source = {"file": run.events_jsonl.name, "lineno": number, "epoch_num": event["epoch"]}
            yield Line(
                ends[event["step"]] if event["step"] in ends else event["time"], START, "eval_start", None, source
            )
            for name, value in event["metrics"].items():
                yield Line(event["time"], POINT, f"eval_{name}", value, source)
            yield Line(event["time"], END, "eval_stop", None, source)
            stop = max(stop, event["time"])
    if result:
        throughput = {"throughput": result.get("throughput_examples_per_s")}
        source = {"file": run.result_json.name, "lineno": 1, "step": result.get("steps")}
        yield Line(stop, POINT, "tracked_stats", throughput, source)
    status = {"status": "success" if result else "aborted"}
    yield Line(stop, END, "run_stop", None, {"file": run.events_jsonl.name, "lineno": len(events), **status})
