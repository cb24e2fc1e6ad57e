"""Images -> a short code, and the images again: dense, convolutional, denoising and variational autoencoders.

    python -m launch workloads.autoencoder --data FOLDER
    python -m launch workloads.autoencoder --data FOLDER --network convolutional --noise 0.5
    python -m launch workloads.autoencoder --data FOLDER --variational

A run ends with the squared error per image beside that of principal components, as many as the code has units; a
variational one with its bound on the log-likelihood of binarised images, in nats. It draws reconstructions, a walk
through the space of codes and, variational, samples, into figures/. See docs/workloads/autoencoder.md.

Data: MNIST, or images in any layout of workloads.mnist; without --data scikit-learn's digits
Time: 30 min for MNIST, when both are busy
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from launch.errors import Refusal
from launch.plan.typed import Count, Natural, NotNegative, Positive
from workloads.api import Data, Training, Workload

if TYPE_CHECKING:
    import keras
    import numpy as np

    from launch.node.rank import Rank

Widths = tuple[Count, ...]

NATS = 106.0  # aim on MNIST: about 105 are commonly given for 20 units and one hidden layer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Config(Training):
    """The defaults are the recipe for MNIST."""

    epochs: Positive = 30  # passes over the training set at one rank
    batch: Count = 100  # examples per rank per step
    lr: Positive = 1e-3  # learning rate of Adam at one rank
    lr_scaling: Literal["linear", "sqrt", "none"] = "sqrt"  # how the learning rate grows with the number of ranks
    evaluate_every: NotNegative = 5  # epochs between evaluations; 0: only at the end
    data: Path | None = None  # folder or file of images, as for workloads.mnist; not given: scikit-learn's digits
    network: Literal["dense", "convolutional"] = "dense"  # of the encoder, which the decoder mirrors
    variational: bool = False  # codes are distributions, images are binarised, and the decoder can be sampled from
    noise: NotNegative = 0.0  # deviation of the noise that is added to what the encoder sees, in parts of white
    latent: Natural = 0  # units of the code; 0: 30, and 20 of a variational autoencoder
    hidden: Widths = field(default=(), metadata={"separator": ","})  # units of the dense layers before the code; not
    # given: 1000,500,250 of a dense network, 500 of a variational one, 128 after the convolutions

    @property
    def code(self) -> int:
        """Units of the code."""
        return self.latent or (20 if self.variational else 30)

    @property
    def widths(self) -> Widths:
        """Units of the dense layers before the code."""
        if self.hidden or self.network == "convolutional":
            return self.hidden or (128,)
        return (500,) if self.variational else (1000, 500, 250)

    def describe(self, size: int) -> dict[str, str]:
        """Return the loop's lines of the plan, and those on network and data."""
        seen = f", which sees noise of {self.noise:g}" if self.noise else ""
        kind = f"{self.network}{', variational' if self.variational else ''}"
        return Training.describe(self, size) | {
            "network": f"{kind}: {' '.join(map(str, self.widths))}, code of {self.code}{seen}",
            "data": str(self.data or "scikit-learn's 1,797 digits: for others give --data")
            + (", binarised" if self.variational else ""),
        }


def build(config: Config, rank: Rank) -> Workload:
    """Build the network, its loss and the images.

    Raises
    ------
    Refusal
        If the images do not exist or are damaged, or if the code is not shorter than an image.
    """
    import keras
    import numpy as np
    from keras import ops

    from workloads.autoencoder import pictures
    from workloads.autoencoder.components import Components
    from workloads.autoencoder.draws import Draws
    from workloads.autoencoder.networks import autoencoder
    from workloads.data.images.digits import digits
    from workloads.data.images.reading import read

    images = read(config.data, 256) if config.data else digits()
    train, held = images.train.pixels, images.validation.pixels
    values = int(np.prod(train.shape[1:]))
    if config.code >= values:
        raise Refusal(f"--latent {config.code} is not below the {values} values of an image: give less")
    draws = Draws(config.variational, config.noise, config.code)
    components = None if config.variational else Components(train, config.code)

    def loss(images: Any, outputs: Any) -> Any:
        return sum(parts(images, outputs).values())

    def parts(images: Any, outputs: Any) -> dict[str, Any]:
        """Return the terms of the loss, each of them per example."""
        logits = outputs["image"]
        if not config.variational:
            return {"squares": ops.sum((ops.sigmoid(logits) - images) ** 2, axis=(1, 2, 3))}
        unlikely: Any = ops.softplus(logits) - logits * images
        mean, log_variance = outputs["mean"], outputs["log_variance"]
        variance: Any = ops.exp(log_variance)
        divergence: Any = ops.sum(variance + mean**2 - 1 - log_variance, axis=1)
        return {"unlikely": ops.sum(unlikely, axis=(1, 2, 3)), "divergence": divergence / 2}

    def statistics(images: Any, outputs: Any) -> dict[str, Any]:
        return {name: ops.sum(each) for name, each in parts(images, outputs).items()}

    def summarise(totals: dict[str, Any], examples: int) -> dict[str, float]:
        found = {name: float(total) / examples for name, total in totals.items()}
        if not config.variational:
            return {"squared_error": found["squares"]}
        reconstruction, divergence = found["unlikely"], found["divergence"]
        return {"negative_elbo_nats": reconstruction + divergence, "divergence_nats": divergence}

    def finish(model: keras.Model, figures: Path) -> dict[str, float]:
        return pictures.finish(model, components, held, draws, figures)

    def part(pixels: np.ndarray, moved: bool) -> Data:
        def load(index: np.ndarray) -> tuple[Any, Any]:
            return draws.plain(pixels[index]) if moved else draws.fixed(pixels[index], index)

        def augment(inputs: Any, images: Any, seeds: np.ndarray) -> tuple[Any, Any]:
            return draws(images, seeds)

        return Data(len(pixels), load, augment=augment if moved else None)

    target = ("negative_elbo_nats", "<=", NATS) if images.name == "MNIST" and config.variational else None
    if components and config.data:
        seen, clean = draws.fixed(held, np.arange(len(held)))
        target = "squared_error", "<=", components.error(seen["image"], clean)
    return Workload(
        model=autoencoder(train.shape[1:], config),
        loss=loss,
        optimizer=keras.optimizers.Adam,
        train=part(train, moved=draws.random),
        validation=part(held, moved=False),
        statistics=statistics,
        summarise=summarise,
        finish=finish,
        target=target,
    )
