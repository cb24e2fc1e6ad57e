"""Studies on the disk as launches leave them, of runs whose every step is known; and ways to damage them."""

import json
from collections.abc import Callable
from pathlib import Path

from launch.record.rundir import RunDir
from launch.record.writing import publish_json
from profiling.telemetry.reading_lines import ReadingWriter
from profiling.telemetry.records import StepWriter
from profiling.traces import store
from profiling.traces.parts import PARTS, Step

VERSIONS = {"python": "3.11.7", "tensorflow": "2.18.1", "keras": "3.15.1", "numpy": "2.0.2"}
PLAN = {
    "site": "laptop",
    "backend": "local",
    "kind": "workload",
    "partition": None,
    "rendezvous": "gloo",
    "cpus_per_task": None,
    "ranks_per_node": 1,
    "gpus_per_node": 0,
    "seed": 0,
}
WAIT = 0.1  # part of a step


def make(
    folder: Path, nodes=(1, 2, 4), repeats=6, seconds=None, batch=lambda ranks: 8 * ranks, axis=None, steps=20
) -> Path:
    """A study of one rank a node. ``seconds(ranks, repeat)`` is the length of each of the steps of a run."""
    seconds = seconds or (lambda ranks, repeat: 0.05 * ranks**0.1 * (1 + 0.002 * repeat))
    folder.mkdir(parents=True)
    entries = []
    for repeat in range(1, repeats + 1):
        for ranks in nodes:
            for value in axis[1] if axis else [None]:
                values = {axis[0]: value} if axis else {}
                name = f"n{ranks}{f'-{value}' if axis else ''}-r{repeat}"
                run(folder / name, ranks, batch(ranks), seconds(ranks, repeat), repeat, steps)
                entries.append({"run": name, "nodes": ranks, "values": values, "repeat": repeat})
    index = {"workload": "workloads.some_net", "scaling": "weak", "throttle": None, "runs": entries}
    publish_json(folder / "study.json", index)
    publish_json(folder / "code.json", {"commit": "0123abc"})
    return folder


def run(path: Path, ranks: int, batch: int, seconds: float, repeat: int = 1, steps: int = 20) -> RunDir:
    """A finished run: the first of its steps was compiled, and one in ten of the others is warm-up."""
    run = RunDir(path)
    run.create()
    publish_json(run.run_json, PLAN | {"name": path.name, "nodes": ranks, "workload": "workloads.some_net"})
    publish_json(run.env_json, {"cpu": "a processor", "cores": 2, "gpus": [], "driver": None, "host": "secret-host", "environment": {"SLURM_JOB_NODELIST": "secret-host", "NCCL_DEBUG": "WARN", "CUDA_VISIBLE_DEVICES": "0,1,2,3", "CUDA_CACHE_PATH": "/secret/cache", "NCCL_TOPO_FILE": "/secret/topo.xml"}, "packages": {"horovod": "0.28.1"}})  # fmt: skip
    publish_json(run.training_json, {"workload": "workloads.some_net", "global_batch": batch, "examples": 64, "validation_examples": 32, "parameters": 99, "steps": 20, "steps_per_epoch": 10, "epochs": 2})  # fmt: skip
    began = 1.7e9 + 100 * repeat
    for event in ({"event": "submitted", "command": ["/opt/python", "-m", "launch", "--runs", "/secret/runs", "some_net"]}, {"event": "started"}):  # fmt: skip
        with open(run.events_jsonl, "a") as file:
            file.write(json.dumps({**event, "time": began}) + "\n")
    for rank in range(ranks):
        with StepWriter(run.steps / f"node{rank}.jsonl", rank, 1) as writer:
            for step in range(1, steps + 1):
                writer.write(
                    epoch=(step - 1) // 10, step=step, start=began + 5 + (9 + seconds * step if step > 1 else 0), seconds=seconds if step > 1 else 9.0,
                    input_seconds=WAIT * seconds, own_seconds=0.8 * seconds, examples=batch // ranks, loss=1.0, learning_rate=0.1, traced=False, compiled=step == 1,
                )  # fmt: skip
    phases = {
        "queue": None,
        "start": 0.5,
        "import": 2.0,
        "build": 1.0,
        "compile": 9.0,
        "train": 18 * seconds,
        "trace": seconds,
        "record": 0.1 * seconds,
    }
    result = {
        "status": "done",
        "ranks": ranks,
        "nodes": ranks,
        "steps": 20,
        "throughput_examples_per_s": batch / seconds,
    }
    publish_json(run.result_json, result | {"phases_s": phases, "versions": VERSIONS, "metrics": {"error": 0.3}, "attempts": 1})  # fmt: skip
    for event in ({"event": "checkpointed", "step": 20, "seconds": 0.1}, {"event": "evaluated", "step": 20, "epoch": 2.0, "metrics": {"error": 0.3}}, {"event": "ended", "outcome": "done", "status": 0}):  # fmt: skip
        with open(run.events_jsonl, "a") as file:
            file.write(json.dumps({**event, "time": began + 30}) + "\n")
    return run


def change(path: Path, edit: Callable[[dict], dict | None]) -> None:
    """Rewrite a file of JSON lines: ``edit`` returns each line changed, or None to take it out."""
    lines = [edit(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines if line is not None))


def change_json(path: Path, **values) -> None:
    """Set keys of a JSON file."""
    publish_json(path, json.loads(path.read_text()) | values)


def trace(run: RunDir, rank: int, shares: dict[str, float], seconds: float = 1.0) -> None:
    """A trace of steps 10 and 11 of a rank; ``shares`` of their length by part."""
    run.traces.mkdir(exist_ok=True)
    each = {part: seconds * shares.get(part, 0.0) for part in PARTS}
    steps = [Step(number, 1.7e9 + number, seconds, each, 0.0) for number in (10, 11)]
    store.write(run, rank, store.RankTrace(rank, 1, steps, [], []))


def read_gpus(run: Path, ranks: int, begin: float, seconds: float) -> None:
    """Readings of a GPU a rank, twice a second: use 50 % (SMs 1 %) and 1 % more for each rank, 200 W, 10 GiB."""
    for rank in range(ranks):
        with ReadingWriter(run / "readings" / f"node{rank}-attempt1.jsonl") as writer:
            for tick in range(int(2 * seconds) + 1):
                gpu = {"device": f"GPU-{rank}", "gpu_utilization": 50 + rank, "memory_bytes": 10 * 2**30}
                gpu |= {"sm_activity": 10 + 10 * rank}
                gpu |= {"power_usage_mw": 200_000, "energy_mj": 5_000 + 100_000 * tick}
                writer.write([{"time_ms": round(1000 * begin) + 500 * tick, "node": rank, "attempt": 1, "rank": rank, "rss_bytes": 2**30, **gpu}])  # fmt: skip
