"""A workload on JAX, in float32 and bfloat16, by our loop and by the shortest loop written by hand:   workload.py ... NAME

Ours is what a rank of one does in ``rankloop workloads.NAME``: sharding, pipeline, records, a checkpoint at the end.
Both train the same network on the same examples, one after the other in one process.
"""

import importlib
import time
from typing import Any

import hand
import jax
import part
from part import Absent, Part

from launch.node.rank import Rank
from launch.plan import options
from launch.record.files import read_lines
from launch.record.rundir import RunDir
from workloads.training import flops, train
from workloads.training.sharding import Sharding

WORKLOADS = {  # options on a GPU, and those of --tiny
    "mnist": (["--network=dropout", "--batch=256"], ["--network=fc", "--batch=16"]),
    "cfd_resnet": (["--batch=32"], ["--network=fc", "--batch=2", "--flows=16", "--test-flows=2"]),
    "climate": (["--batch=16", "--sequences=8"], ["--batch=2", "--sequences=7", "--width=8", "--kernel=3"]),
    "tabular": (["--batch=128"], ["--batch=32"]),
}
_WARM = 4  # steps that are not timed: the first compiles


def measure(own: Part) -> None:
    """See the module."""
    (name,), precisions = own.words, ("float32", "bfloat16")
    try:
        card = part.card()
    except Absent as absent:
        card = None
        own.row("joules per example", "not measured", note=str(absent))
    for place, precision in enumerate(precisions):
        # Half of what is left is for building, compiling and a second time for the loop by hand.
        seconds = 0.3 if own.tiny else max(1.0, min(6.0, own.left / (len(precisions) - place) / 5))
        one(own, name, precision, seconds, card)


def one(own: Part, name: str, precision: str, seconds: float, card: Any) -> None:
    """Both loops in one precision, each for about so many seconds."""
    module = importlib.import_module(f"workloads.{name}")
    words = [*WORKLOADS[name][own.tiny], "--engine=jax", "--evaluate-every=0", f"--precision={precision}"]
    config = options.parse(module.Config, words, name)
    engine = train.configure(config, Rank(), 0)
    import keras

    from workloads.training.loop import Loop

    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
    workload = module.build(config, Rank())
    with engine.Communicator(Rank()) as communicator:
        sharding = Sharding(len(workload.train), config.batch, 1, 0)
        optimizer = communicator.averaging(workload.optimizer(config.learning_rate_plan(1).schedule(10_000)))
        optimizer.build(workload.model.trainable_variables)
        run = RunDir(own.folder / precision)
        run.create()
        loop = Loop(engine, config, workload, optimizer, communicator, sharding, run, 1)
        loop.restore()
        loop.train(2 * _WARM)
        steps = max(_WARM, round(seconds / _seconds(run, _WARM)))
        before, began = card.read() if card else {}, time.monotonic()
        loop.train(loop.step + _WARM + steps)
        after, watts = card.read() if card else {}, None
        if "energy_mj" in before and "energy_mj" in after:
            watts = (after["energy_mj"] - before["energy_mj"]) / 1e3 / (time.monotonic() - began)
    lines = list(read_lines(run.steps / "node0.jsonl"))[-steps:]
    each = sum(line["seconds"] for line in lines) / steps
    kind = f"{precision}, batch {config.batch}"
    own.row(f"{kind}: ours", config.batch / each, "examples/s", f"{steps} steps of {1000 * each:.3g} ms")
    own.row(f"{kind}: input wait", 100 * sum(line["input_seconds"] for line in lines) / steps / each, "%")
    if watts is not None:
        own.row(f"{kind}: energy", watts * each / config.batch, "J per example", f"{watts:.0f} W")
    if loop.make_step.forward_flops:
        rate = flops.TRAINING * loop.make_step.forward_flops / each
        peak = flops.peak(engine.square, keras.config.dtype_policy().compute_dtype)
        own.row(f"{kind}: operations", rate / 1e12, "TFLOP/s")
        own.row(f"{kind}: MFU", 100 * rate / peak, "%", f"of {peak / 1e12:.3g} TFLOP/s of matrix products")
    batches = [jax.device_put(batch) for batch in _batches(workload, config.batch)]
    by_hand = hand.seconds_per_step(workload, optimizer, batches, steps)
    own.row(f"{kind}: by hand", config.batch / by_hand, "examples/s", "batches on the device, loss never read")
    own.row(f"{kind}: ours over by hand, time of a step", each / by_hand)


def _seconds(run: RunDir, last: int) -> float:
    """Of a step, from the last lines."""
    lines = list(read_lines(run.steps / "node0.jsonl"))[-last:]
    return sum(line["seconds"] for line in lines) / last


def _batches(workload: Any, batch: int, most: int = 4) -> list[Any]:
    """Some batches as they are loaded, augmented as in an epoch."""
    import numpy as np

    found = []
    for number in range(min(most, len(workload.train) // batch)):
        index = np.arange(number * batch, (number + 1) * batch)
        one = workload.train.load(index)
        found.append(jax.tree.map(np.asarray, one, is_leaf=lambda x: hasattr(x, "shape")))
    return found


if __name__ == "__main__":
    part.main(measure)
