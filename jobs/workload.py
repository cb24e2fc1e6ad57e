"""A curve, learned by a small network.   rankloop --nodes 2 FILE --width 64

The fields of Config are options of the command line. Put your data, network and metrics in the place of these.
"""

from dataclasses import dataclass

from launch.node.rank import Rank
from workloads.api import Data, Training, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Training):
    """The options of this workload; Training has those of every workload: --batch, --lr, --precision ..."""

    epochs: float = 5  # passes over the training set
    width: int = 32  # units of the hidden layer


def build(config: Config, rank: Rank) -> Workload:
    """The network, the data of all ranks, and what is measured. Rank has rank, size, local_rank and node."""
    import keras  # here and not at the top, so that the launcher reads the options in milliseconds
    import numpy as np

    x = np.random.default_rng(0).uniform(-3, 3, (5000, 1)).astype("float32")
    y = np.sin(x)
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(config.width, activation="tanh"), keras.layers.Dense(1)]
    )
    return Workload(
        model=model,
        loss=lambda targets, outputs: keras.ops.mean((outputs - targets) ** 2, axis=-1),  # of each example
        optimizer=keras.optimizers.Adam,  # gets the schedule of the learning rate
        train=Data(4000, lambda index: (x[index], y[index])),  # each rank loads its share of the indices
        validation=Data(1000, lambda index: (x[4000 + index], y[4000 + index])),
        statistics=lambda targets, outputs: {"squared": keras.ops.sum((outputs - targets) ** 2)},  # sums over a batch
        summarise=lambda totals, examples: {"rmse": (totals["squared"] / examples) ** 0.5},
    )
