"""Ways to the same step: what each rank of `test_step_options` runs, on either engine."""

import sys
from pathlib import Path

import numpy as np
import tiny

from launch.node.rank import from_environment
from launch.plan import options
from workloads.training import engines

STEPS = 8
WAYS: dict[str, tuple[list[str], float]] = {
    # options of the loop, and by which part of itself the change of the weights may differ
    "plain": ([], 1e-5),
    "accumulate": (["--accumulate", "4"], 1e-5),
    "xla": (["--xla"], 1e-5),
    "accumulate and xla": (["--accumulate", "2", "--xla"], 1e-5),
    "compress": (["--compress"], 2e-3),
    "buckets": (["--bucket-mb", "1e-4"], 1e-5),
    "bfloat16": (["--precision", "bfloat16"], 5e-2),
    "float16": (["--precision", "float16"], 1e-2),
    "float16 and accumulate": (["--precision", "float16", "--accumulate", "2"], 1e-2),
    "all": (["--precision", "float16", "--compress", "--accumulate", "2"], 1e-2),
}


def offered(engine: str) -> list[str]:
    """The ways that an engine has: JAX sends all as float32 in one message, and compiles with XLA in any case."""
    of_horovod = {"--compress", "--bucket-mb", "--xla"}
    return [name for name, (given, _) in WAYS.items() if engine == "horovod" or not of_horovod & {*given}]


def train(name: str, folder: str) -> None:
    """Some steps of plain SGD in every way, on this rank's part of the examples."""
    engine = engines.load(name)
    import keras

    rank = from_environment()
    with engine.Communicator(rank) as communicator:
        for way in offered(name):
            words = [*WAYS[way][0], "--engine", name, "--batch", str(32 // rank.size)]
            config = options.parse(tiny.Config, words)
            keras.config.set_dtype_policy("float32" if config.precision == "float32" else f"mixed_{config.precision}")
            keras.utils.set_random_seed(3)
            workload = tiny.build(config, rank)
            before = [np.array(weight) for weight in workload.model.weights]
            optimizer = keras.optimizers.SGD(0.2)
            if config.precision == "float16":
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer = communicator.averaging(optimizer, config.compress, round(config.bucket_mb * 2**20))
            optimizer.build(workload.model.trainable_variables)
            step = engine.Step(workload, optimizer, communicator, config.xla, config.accumulate)
            for number in range(STEPS):
                index = np.arange(32 * number, 32 * (number + 1))[rank.rank :: rank.size]
                batch = keras.tree.map_structure(keras.ops.convert_to_tensor, workload.train.load(index))
                outcome = step(number + 1, *batch, [False])
            changes = [np.array(weight) - old for weight, old in zip(workload.model.weights, before)]
            np.savez(Path(folder) / f"{way}-{rank.size}-{rank.rank}.npz", *changes, outcome.loss)


def main() -> None:
    train(*sys.argv[1:])
