"""Maps of the atmosphere -> tropical cyclones and atmospheric rivers, after SC18 and MLPerf HPC DeepCAM.

    python -m launch --nodes 2 workloads.climate

trains a small Tiramisu on generated weather, labelled by the published rules. It ends with the IoU of each class and
figures/maps.png. ``--data FOLDER`` trains on files of the published layouts. See docs/climate.md for what it reaches.

Data: none: it generates weather once; by --data files of the published layouts
Time: 20 min
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from launch.errors import Refusal
from launch.plan.typed import Count, Natural, NotNegative, Positive
from workloads.api import Data, Part, Training, Workload
from workloads.climate.recipes import recipe
from workloads.training.scaling_rules import LearningRatePlan

if TYPE_CHECKING:
    import keras

    from launch.node.rank import Rank
    from workloads.climate.generate import Corpus


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Config(Training):
    """The defaults are the recipe for the small set on two ranks of one core each."""

    epochs: Positive = 20  # passes over the training set at one rank
    batch: Count = 2  # examples per rank per step
    lr: Positive = 2e-3  # learning rate at one rank
    lr_scaling: Literal["linear", "sqrt", "none"] = "sqrt"  # how the learning rate grows with the number of ranks
    evaluate_every: NotNegative = 5  # epochs between evaluations; 0: only at the end
    size: Literal["small", "full"] = "small"  # of generated maps: 96 x 144 points, or 768 x 1152 as published
    sequences: Natural = 0  # of 8 days, to train on; 0: as many as the size has
    data: Path | None = None  # folder of files in a published layout, in place of generated weather
    network: Literal["tiramisu", "deeplab", "deepcam"] = "tiramisu"  # the two of SC18, and that of MLPerf HPC
    width: Natural = 0  # of the network, from 8 on, 64 as published; 0: 12 on small maps and 64 on others
    kernel: Count = 5  # size of the convolutions (tiramisu)
    dropout: Part = 0.0  # part of the activations dropped in training (tiramisu); SC18: 0.2
    normalise: bool = True  # batch normalisation after each convolution (tiramisu); SC18 had none
    weights: Literal["none", "inverse", "sqrt", "mlperf"] = "mlperf"  # of a class of frequency f in the loss: 1, 1 / f,
    # 1 / sqrt(f) as in SC18, or f^-0.125
    optimizer: Literal["adam", "lamb", "lars", "larc", "larc-adam"] = "adam"  # LARS needs a learning rate of about 1
    lag: bool = False  # apply the gradients of the previous step in each step
    schedule: Literal["loop", "mlperf"] = "loop"  # of the learning rate: that of the options above, or MLPerf HPC's for
    # the global batch, which ignores them
    channels: Literal["standard", "minmax"] = "standard"  # scaled by mean and deviation, or to 0..1 as published
    augment: bool = True  # turn each training map round the axis and mirror it at the equator, at random
    check: Natural = 256  # files of each rank that are read completely before the first step; of others only the layout

    def __post_init__(self) -> None:
        Training.__post_init__(self)
        # Layers of two or three channels made TensorFlow 2.18 corrupt its memory on a CPU with AMX, through oneDNN.
        if 0 < self.width < 8:
            raise Refusal(f"--width {self.width} is too small: give 8 or more, or 0")

    def learning_rate_plan(self, size: int) -> LearningRatePlan:
        """Return the learning-rate plan of the loop, or that of MLPerf HPC."""
        return recipe(self.batch * size) if self.schedule == "mlperf" else Training.learning_rate_plan(self, size)

    def describe(self, size: int) -> dict[str, str]:
        """Return the loop's lines of the plan, and those on network, loss and data."""
        if self.data:
            data = f"files of {self.data}"
        else:
            from workloads.climate.generate import DAYS

            parameters = _corpus(self)
            data = f"{parameters.train * DAYS} generated maps of {parameters.height} x {parameters.width} points; "
            data += f"{parameters.validation * DAYS} others to measure on"
        weights = {"none": "1", "inverse": "1 / f", "sqrt": "1 / sqrt(f)", "mlperf": "f^-0.125"}[self.weights]
        lines = Training.describe(self, size)
        if self.schedule == "mlperf":
            lines["epochs"] += f"; to the target of MLPerf it took {recipe(self.batch * size).epochs}"
        return lines | {
            "optimizer": self.optimizer + (", gradients of the step before" if self.lag else ""),
            "network": f"{self.network}, width {_width(self)}",
            "loss": f"cross-entropy, classes weighted by {weights}",
            "data": data,
        }


def build(config: Config, rank: Rank) -> Workload:
    """Build the network, its loss and the maps; missing maps are generated first.

    Raises
    ------
    Refusal
        If the files cannot be trained on, or the maps cannot be generated.
    """
    from workloads.climate import metrics
    from workloads.climate.generate import corpus
    from workloads.climate.maps import Maps, Scale
    from workloads.climate.published import weights

    folder = config.data or corpus(_corpus(config), progress=None if rank.is_chief else lambda line: None)
    scale = Scale.read(folder, config.channels)
    train = Maps(folder / "train", scale, label_sets=True)
    validation = Maps(folder / "validation", scale)
    for examples in (train, validation):
        examples.check(rank.rank, rank.size, config.check)
        if examples.size != train.size:
            raise Refusal(
                f"the maps of {folder} have {train.size} points in train and {examples.size} in validation: "
                "give one size"
            )
    model = _network(config, *train.size)
    value = weights(config.weights)

    def finish(model: Any, figures: Path) -> dict[str, float]:
        import numpy as np

        from workloads.climate import picture
        from workloads.climate.published import CHANNELS

        fields, labels = validation.load(np.arange(min(len(validation), 64)))
        predicted = np.argmax(model.predict(fields, config.batch, verbose=0), axis=-1)
        vapour = fields[..., CHANNELS.index("TMQ")] * scale.spread[0] + scale.offset[0]
        picture.draw(figures / "maps.png", vapour, "water vapour (TMQ), kg/m2", labels, predicted)
        return {}

    return Workload(
        model=model,
        loss=lambda labels, logits: metrics.weighted_cross_entropy(labels, logits, value),
        optimizer=lambda rate: _optimizer(config, rate),
        train=Data(len(train), train.load, augment=train.augment if config.augment else None, files=train),
        validation=Data(len(validation), validation.load, files=validation),
        statistics=metrics.statistics,
        summarise=metrics.summarise,
        finish=finish,
        target=("sample_iou", ">=", 0.82),  # the target of MLPerf HPC
    )


def _corpus(config: Config) -> Corpus:
    from workloads.climate.generate import SIZES

    parameters = SIZES[config.size]
    return replace(parameters, train=config.sequences or parameters.train)


def _optimizer(config: Config, rate: Any) -> keras.optimizers.Optimizer:
    from keras import optimizers

    from workloads.training.optimizers import LARC, LARS, LARCAdam, lagged

    optimizer = {
        "adam": lambda: optimizers.Adam(rate),
        # As MLPerf HPC's submissions, except that Keras decays weights separately from the layer's rate.
        "lamb": lambda: optimizers.Lamb(rate, epsilon=1e-6, weight_decay=0.01, global_clipnorm=1.0),
        "lars": lambda: LARS(rate),
        "larc": lambda: LARC(rate, momentum=0.9),
        "larc-adam": lambda: LARCAdam(rate),
    }[config.optimizer]()
    return lagged(optimizer) if config.lag else optimizer


def _width(config: Config) -> int:
    return config.width or (12 if config.size == "small" and not config.data else 64)


def _network(config: Config, height: int, width_points: int) -> keras.Model:
    from workloads.climate.networks import NETWORKS

    settings = {}
    if config.network == "tiramisu":
        settings = {"kernel": config.kernel, "dropout": config.dropout, "normalise": config.normalise}
    return NETWORKS[config.network](height, width_points, width=_width(config), **settings)
