"""Obstacles in a channel -> the steady flow round them.

    python -m launch --nodes 2 workloads.cfd_resnet

trains on flow fields of our own lattice Boltzmann solver. It ends with the relative error on unseen shapes, the ratio
of the mean flow's error to that, and figures/test.png. See docs/cfd_resnet.md for what it reaches.

Data: none: it computes its flows once, or by --deepcfd those published with DeepCFD
Time: 2 min, the flows included
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from launch.errors import Refusal
from launch.plan.typed import Count, Natural, NotNegative, Positive
from workloads.api import Part, Training, Workload
from workloads.cfd_resnet.flow_set import SIZES, FlowSet, Reynolds

if TYPE_CHECKING:
    import keras

    from launch.node.rank import Rank


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Config(Training):
    """The defaults are the recipe for the small set on two ranks of one core each."""

    epochs: Positive = 30  # passes over the training set at one rank
    batch: Count = 8  # examples per rank per step
    lr: Positive = 1.5e-3  # learning rate at one rank
    lr_scaling: Literal["linear", "sqrt", "none"] = "sqrt"  # how the learning rate grows with the number of ranks
    evaluate_every: NotNegative = 5  # epochs between evaluations; 0: only at the end
    size: Literal["small", "full"] = "small"  # 32 x 64 cells and 192 flows, or 128 x 256 and 3,000
    flows: Natural = 0  # to train on; 0: as many as the size has. A larger set begins with a smaller one
    test_flows: Natural = 0  # of a third set, measured once at the end; 0: as many as the size has
    reynolds: tuple[Reynolds, ...] = field(
        default=(), metadata={"separator": ","}
    )  # train on `flows` shapes at each of
    # these, and give the network the number: 16,32,64. Empty: that of the size, and the network sees only the mask
    test_reynolds: tuple[Reynolds, ...] = field(
        default=(), metadata={"separator": ","}
    )  # further numbers to measure at
    network: Literal["fc", "cnn", "residual", "gated"] = "gated"  # fully connected, Guo's, or a residual U-net
    width: Natural = 0  # of a hidden layer (fc) or of the first convolution; 0: as published, 256, 128, 8, 8
    hidden: Natural = 1  # hidden layers (fc)
    conserve: bool = True  # correct the flux through each column of the predicted flow to that of the inlet
    position: bool = True  # input the position of each cell in addition to the mask (residual, gated)
    dropout: Part = 0.0  # part of the activations in a block dropped in training (residual, gated)
    loss: Literal["relative", "square"] = "relative"  # norm of the error over that of the flow, or mean square
    weight_decay: NotNegative = 0.0  # of AdamW; 0: Adam
    mirror: bool = True  # also train on each flow mirrored at the middle of the channel
    mirror_predictions: bool = False  # predict the mean of two flows: that round the obstacles, and that round the
    # mirrored ones, mirrored back. Twice the time of a prediction, the same training
    masks: Path | None = None  # folder of mask files: flows round those shapes are predicted and measured at the end
    deepcfd: Path | None = None  # folder of DeepCFD's dataX.pkl and dataY.pkl: velocity and pressure are learned from
    # those, not from our solver's flows, and measured as published; --size, --test-flows, --conserve are not for them

    def __post_init__(self) -> None:
        Training.__post_init__(self)
        if self.test_reynolds and not self.reynolds:
            raise Refusal("--test-reynolds needs a network that is told the number: give --reynolds too, as 16,32,64")
        if self.deepcfd and (self.reynolds or self.masks):
            raise Refusal("--deepcfd goes with neither --reynolds nor --masks: leave them out")
        for name in ("reynolds", "test_reynolds"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise Refusal(f"--{name.replace('_', '-')} names a number twice: give each once")

    def flow_set(self) -> FlowSet:
        """Return the data set of the size, with the requested number of flows."""
        flow_set = SIZES[self.size]
        return replace(flow_set, train=self.flows or flow_set.train, test=self.test_flows or flow_set.test)

    def describe(self, size: int) -> dict[str, str]:
        """Return the loop's lines of the plan, and those on network and data."""
        flow_set = self.flow_set()
        mirrored = ", each mirrored too" if self.mirror else ""
        lines = Training.describe(self, size) | {
            "network": self.network + (f", width {self.width}" if self.width else ""),
            "data": f"{flow_set.train} flows of {flow_set.height} x {flow_set.width} cells{mirrored}; "
            f"{flow_set.validation} others to choose by, {flow_set.test} to measure on at the end",
        }
        if self.deepcfd:
            first = f"the first {self.flows} flows" if self.flows else "63 % of the flows"
            rest = "7 % to choose by, the last 30 % to measure on at the end"
            lines["data"] = f"DeepCFD's of {self.deepcfd}: {first}{mirrored}; {rest}"
        if self.reynolds:
            further = f"; measured at {_listed(self.test_reynolds)} too" if self.test_reynolds else ""
            lines["Reynolds number"] = f"{_listed(self.reynolds)}, so many flows at each; an input{further}"
        return lines


def build(config: Config, rank: Rank) -> Workload:
    """Build the network, its loss and the flows; missing flows are computed first.

    Raises
    ------
    Refusal
        If the network cannot take flows of that size, or the flows cannot be made or read.
    """
    from keras import ops

    from workloads.cfd_resnet import sources
    from workloads.cfd_resnet.metrics import relative_error
    from workloads.cfd_resnet.networks import symmetric

    source = sources.of_deepcfd(config, config.deepcfd) if config.deepcfd else sources.of_our_solver(config, rank)

    def loss(targets: dict[str, Any], outputs: Any) -> Any:
        if config.loss == "square":
            return ops.mean(ops.square(outputs - targets["flow"]), axis=[1, 2, 3])
        return relative_error(outputs, targets["flow"])

    return Workload(
        model=symmetric(source.model) if config.mirror_predictions else source.model,
        loss=loss,
        optimizer=lambda rate: _optimizer(config, rate),
        train=source.train,
        validation=source.validation,
        statistics=source.measure.statistics,
        summarise=source.measure.summarise,
        finish=source.finish,
        target=source.target,
    )


def _optimizer(config: Config, rate: Any) -> keras.optimizers.Optimizer:
    import keras

    if config.weight_decay:
        return keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)
    return keras.optimizers.Adam(rate)


def _listed(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
