"""Obstacles in a channel -> the steady flow round them.

    python -m launch --nodes 2 workloads.cfd_resnet

trains on flows of our own lattice Boltzmann solver, and ends with the relative error on shapes it has not seen, how many
times better that is than the mean flow, and figures/test.png. See docs/cfd_resnet.md for what it reaches.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from launch.errors import Refusal
from launch.rank import Rank
from workloads.api import Data, Training, Workload

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from workloads.cfd_resnet.data import FlowSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Training):
    """The defaults are the recipe for the small set on two ranks of one core each."""

    epochs: float = 30  # passes over the training set at one rank
    batch: int = 8  # examples per rank per step
    lr: float = 1.5e-3  # learning rate at one rank
    scaling: Literal["linear", "sqrt", "none"] = "sqrt"  # how the learning rate grows with the number of ranks
    evaluate_every: float = 5  # epochs between evaluations; 0: only at the end
    size: Literal["small", "full"] = "small"  # 32 x 64 cells and 192 flows, or 128 x 256 and 3,000
    flows: int = 0  # to train on; 0: as many as the size has. More of them begin with those of fewer
    test_flows: int = 0  # of a third set, measured once at the end; 0: as many as the size has
    reynolds: tuple[float, ...] = field(default=(), metadata={"separator": ","})  # train on `flows` shapes at each of
    # these, and tell the network which it is: 16,32,64. Empty: at that of the size, and the network sees the mask alone
    test_reynolds: tuple[float, ...] = field(default=(), metadata={"separator": ","})  # further ones to be measured at
    network: Literal["fc", "cnn", "residual", "gated"] = "gated"  # fully connected, Guo's, or a residual U-net
    width: int = 0  # units of a hidden layer (fc) or filters of the first convolution; 0: as published, 256, 128, 8, 8
    hidden: int = 1  # hidden layers (fc)
    conserve: bool = True  # correct the flux through each column of the predicted flow to that of the inlet
    position: bool = True  # tell the place of each cell in the channel beside the mask (residual, gated)
    dropout: float = 0.0  # part of the activations in a block dropped in training (residual, gated)
    loss: Literal["relative", "square"] = "relative"  # norm of the error over that of the flow, or mean square
    weight_decay: float = 0.0  # of AdamW; 0: Adam
    mirror: bool = True  # train on each flow mirrored at the middle of the channel too
    masks: Path | None = None  # folder of mask files: flows round those shapes are predicted and measured at the end

    def __post_init__(self) -> None:
        Training.__post_init__(self)
        for name, least in (("width", 0), ("hidden", 0), ("flows", 0), ("test_flows", 0), ("weight_decay", 0)):
            if not getattr(self, name) >= least:
                option = name.replace("_", "-")
                raise Refusal(f"--{option} {getattr(self, name)} is too small: give {least} or more")
        if not 0 <= self.dropout < 1:
            raise Refusal(f"--dropout {self.dropout} is not a part of the activations: give a number from 0 to below 1")
        if self.test_reynolds and not self.reynolds:
            raise Refusal("--test-reynolds needs a network that is told the number: give --reynolds too, as 16,32,64")
        for name in ("reynolds", "test_reynolds"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise Refusal(f"--{name.replace('_', '-')} names a number twice: give each once")

    def flow_set(self) -> FlowSet:
        """The data set: that of the size, with as many flows as are asked for."""
        from workloads.cfd_resnet.data import SIZES

        flow_set = SIZES[self.size]
        return replace(flow_set, train=self.flows or flow_set.train, test=self.test_flows or flow_set.test)

    def describe(self, size: int) -> dict[str, str]:
        """The lines of the loop, and what is trained on what."""
        flow_set = self.flow_set()
        mirrored = ", each mirrored too" if self.mirror else ""
        lines = Training.describe(self, size) | {
            "network": self.network + (f", width {self.width}" if self.width else ""),
            "data": f"{flow_set.train} flows of {flow_set.height} x {flow_set.width} cells{mirrored}; "
            f"{flow_set.validation} others to choose by, {flow_set.test} to measure on at the end",
        }
        if self.reynolds:
            further = f"; measured at {_listed(self.test_reynolds)} too" if self.test_reynolds else ""
            lines["Reynolds number"] = f"{_listed(self.reynolds)}, so many flows at each; an input{further}"
        return lines


def build(config: Config, rank: Rank) -> Workload:
    """The network, its loss and the flows, which are made first where they are missing.

    Raises
    ------
    Refusal
        If the network cannot take flows of that size, or the flows cannot be made.
    """
    import keras
    import tensorflow as tf

    from workloads.cfd_resnet.data import flows
    from workloads.cfd_resnet.examples import Examples
    from workloads.cfd_resnet.held_out import measure
    from workloads.cfd_resnet.metrics import Metrics, mean_field, relative_error

    flow_set = config.flow_set()
    progress = None if rank.is_chief else lambda line: None
    model = _network(config, flow_set)
    numbers = config.reynolds or (flow_set.reynolds,)

    def examples(split: str, numbers: tuple[float, ...] = numbers, masks: Path | None = None) -> Examples:
        parts = [flows(replace(flow_set, reynolds=number, masks=masks), split, progress=progress) for number in numbers]
        return Examples(parts, flow_set.reynolds if config.reynolds else None)

    train, validation = examples("train"), examples("validation")
    held_out = {"test": examples("test")}
    if config.reynolds:
        held_out |= {f"test_re{number:g}": examples("test", (number,)) for number in (*numbers, *config.test_reynolds)}
    if config.masks:
        held_out["masks"] = examples("validation", masks=config.masks)
    metrics = Metrics(mean_field(train.parts))

    @tf.autograph.experimental.do_not_convert  # it holds no Python that depends on a tensor
    def loss(targets: dict[str, tf.Tensor], outputs: tf.Tensor) -> tf.Tensor:
        if config.loss == "square":
            return tf.reduce_mean(tf.square(outputs - targets["flow"]), axis=[1, 2, 3])
        return relative_error(outputs, targets["flow"])

    def finish(model: keras.Model, figures: Path) -> dict[str, float]:
        return measure(model, held_out, metrics, config.batch, figures)

    def optimizer(rate: keras.optimizers.schedules.LearningRateSchedule) -> keras.optimizers.Optimizer:
        if config.weight_decay:
            return keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)
        return keras.optimizers.Adam(rate)

    return Workload(
        model=model,
        loss=loss,
        optimizer=optimizer,
        train=Data(len(train) * (2 if config.mirror else 1), train.load),
        validation=Data(len(validation), validation.load),
        statistics=tf.autograph.experimental.do_not_convert(metrics.statistics),
        summarise=metrics.summarise,
        finish=finish,
    )


def _listed(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _network(config: Config, flow_set: FlowSet) -> keras.Model:
    from workloads.cfd_resnet.networks import NETWORKS, conserving

    settings: dict[str, Any] = {}
    if config.network == "fc":
        settings = {"units": config.width, "hidden": config.hidden}
    elif config.network == "cnn":
        settings = {"filters": config.width}
    else:
        settings = {"filters": config.width, "dropout": config.dropout, "position": config.position}
    settings["channels"] = 2 if config.reynolds else 1
    if not config.width:
        settings = {name: value for name, value in settings.items() if name not in ("units", "filters")}
    model = NETWORKS[config.network](flow_set.height, flow_set.width, **settings)
    return conserving(model) if config.conserve else model
