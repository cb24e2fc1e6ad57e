"""A training of the CFD surrogate at full size, through the launcher, for the time that remains.

How long an epoch takes is measured by a run of one; the training then has as many epochs as fit, so that its learning
rate has come down at the end.
"""

import json
from pathlib import Path
from typing import Any

import part
from part import Absent, Part

from launch.record.files import read_json, read_lines

_RESERVE_S = 15.0  # to start and to end


def measure(own: Part) -> None:
    """See the module."""
    gpus = "1"
    try:
        part.card()
    except Absent as absent:
        gpus = "0"
        own.row("GPU", "not measured", note=f"trained on the processor: {absent}")
    # The solver takes a second of a core for a flow of full size: fewer flows, so that there is time to train.
    words = ["workloads.cfd_resnet", "--engine", "jax", "--precision", "bfloat16", "--evaluate-every", "10"]
    words += (
        ["--network", "fc", "--flows", "16", "--test-flows", "2"]
        if own.tiny
        else ["--size", "full", "--flows", "192", "--test-flows", "16"]
    )
    words += ["--batch", "8" if own.tiny else "16", "--no-tensorboard"]
    first = own.launch("--name", "first", "--gpus-per-node", gpus, *words, "--epochs", "1")
    if first.returncode:
        raise SystemExit(f"the first epoch ended with {first.returncode}")
    result = read_json(own.folder / "first" / "result.json")
    timed = result["throughput_examples_per_s"]
    training = read_json(own.folder / "first" / "training.json")
    examples = training["steps_per_epoch"] * training["global_batch"]
    rate = timed or examples / result["phases_s"]["train"]
    epochs = 2 if own.tiny else max(2, int(0.8 * (own.left - _RESERVE_S) * rate / examples))
    own.row("epochs that fit", epochs, "", f"{examples} examples each, flows mirrored too")
    last = own.launch("--name", "last", "--gpus-per-node", gpus, *words, "--epochs", str(epochs))
    if last.returncode:
        raise SystemExit(f"the training ended with {last.returncode}")
    _report(own, own.folder / "last")


def _report(own: Part, run: Path) -> None:
    result: dict[str, Any] = read_json(run / "result.json")
    metrics = result["metrics"]
    own.row("throughput", result["throughput_examples_per_s"] or "too few steps", "examples/s")
    own.row("MFU", 100 * result["mfu"] if result["mfu"] else "not known", "%")
    own.row("time of the steps", result["phases_s"]["train"], "s", f"{result['steps']} steps")
    own.row("error", 100 * metrics["error"], "%", "on flows of other shapes")
    own.row("test error", 100 * metrics["test_error"], "%")
    own.row("times better than the mean field", metrics["times_better"])
    evaluated = [line for line in read_lines(run / "events.jsonl") if line.get("event") == "evaluated"]
    errors = {round(line["epoch"]): round(100 * line["metrics"]["error"], 2) for line in evaluated}
    own.row("error by epoch", json.dumps(errors).strip("{}").replace('"', ""), "%")


if __name__ == "__main__":
    part.main(measure)
