"""A workload for tests: a few weights, synthetic data, milliseconds a step."""

import time
from dataclasses import dataclass
from typing import Any, Literal

from launch.node.rank import Rank
from workloads.api import Data, Training, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Training):
    examples: int = 1024  # of the training set
    network: Literal["dense", "noisy"] = "dense"  # noisy: with dropout and batch normalisation
    width: int = 8  # of the hidden layer
    poison: int = -1  # training example whose target is NaN
    steep: int = -1  # training example whose loss is finite and whose gradient is not
    broken: int = -1  # training example that cannot be read
    pause: float = 0  # seconds that reading a batch takes
    slow: int = -1  # rank that alone takes them
    metric: Literal["squares", "sqares"] = "squares"  # of the sums, from which the metric is made


def build(config: Config, rank: Rank) -> Workload:
    import keras
    import numpy as np
    from keras import ops

    random = np.random.default_rng(1)
    inputs = random.normal(size=(config.examples, 5)).astype(np.float32)
    targets = np.tanh(inputs @ random.normal(size=(5, 2))).astype(np.float32)
    if config.poison >= 0:
        targets[config.poison] = np.nan
    if config.steep >= 0:
        targets[config.steep] = 0
    noisy = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.2)] if config.network == "noisy" else []
    layers = [keras.layers.Dense(config.width, "tanh"), *noisy, keras.layers.Dense(2)]

    def load(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        time.sleep(config.pause if config.slow in (-1, rank.rank) else 0)
        if config.broken in index:
            raise OSError(f"example {config.broken} cannot be read")
        return inputs[index], targets[index]

    def loss(targets: Any, outputs: Any) -> Any:
        errors = ops.mean((targets - outputs) ** 2, axis=1)
        if config.steep >= 0:
            errors += ops.sum(
                ops.sqrt(0 * outputs + ops.cast(targets != 0, "float32")) - ops.cast(targets != 0, "float32")
            )
        return errors

    return Workload(
        model=keras.Sequential([keras.Input((5,)), *layers]),
        loss=loss,
        optimizer=lambda rate: keras.optimizers.Adam(rate),
        train=Data(config.examples, load),
        validation=Data(101, lambda index: (inputs[index], targets[index])),
        statistics=lambda targets, outputs: {"squares": ops.sum((targets - outputs) ** 2, axis=0)},
        summarise=lambda totals, examples: {"rms": float(np.sqrt(totals[config.metric].sum() / examples / 2))},
        finish=lambda model, figures: {"parameters": float(model.count_params())},
        target=("rms", "<=", 0.6),
    )
