"""Images of digits, or of other small things -> their classes: the ladder of a first course on deep learning.

    python -m launch workloads.mnist --data FOLDER --network cnn
    python -m launch --sweep network=fc,cnn,dropout,residual --sweep seed=0..2 workloads.mnist --data FOLDER
    python -m launch workloads.mnist --data cifar-10-batches-bin --network vgg --epochs 24

FOLDER has the files of MNIST, Fashion-MNIST, EMNIST or CIFAR, or a train.csv of labels and pixels. A run ends with the
accuracy on the test images and on the same images moved a little, and with figures/confusion.png and
figures/misclassified.png. See docs/mnist.md.

Data: MNIST, sets in its format, CIFAR-10 or -100, a train.csv, or Keras's .npz; without --data scikit-learn's digits
Time: 4 min for the network cnn on MNIST
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from launch.plan.typed import Count, Natural, NotNegative, Positive
from workloads.api import Data, Part, Training, Workload

if TYPE_CHECKING:
    import keras

    from launch.node.rank import Rank
    from workloads.data.images.sets import Images, ImageSet

Network = Literal["fc", "cnn", "deep_cnn", "dropout", "batchnorm", "residual", "vgg", "rows"]
AIMS = {
    "MNIST": {
        **{"fc": 0.978, "cnn": 0.987, "deep_cnn": 0.987, "dropout": 0.991, "batchnorm": 0.990, "residual": 0.995},
        "rows": 0.985,
    },
    "Fashion-MNIST": {"vgg": 0.92},
    "CIFAR-10": {"vgg": 0.78},
}
"""Target accuracy of a network on all test images of a set, published or the course's own (docs/mnist.md)."""

DIGITS = "scikit-learn's 1,797 digits of 8 x 8 pixels, drawn 3 times as large: not MNIST, for which give --data"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Config(Training):
    """The defaults are the recipe for every network of the ladder."""

    epochs: Positive = 12  # passes over the training set at one rank
    batch: Count = 64  # examples per rank per step
    lr: Positive = 0.05  # learning rate at one rank; 1e-3 suits adam and lamb
    network: Network = "cnn"  # a step of the ladder; vgg: for images in colour; rows: an LSTM of rows, that likes adam
    width: Count | None = None  # units of the wide layer near the end; not given: the network's own, docs/mnist.md
    dropout: Part | None = None  # part of these units that a step of the training leaves out; not given: the network's
    # own, which is none for most
    narrow: bool = True  # the course's second dense layer, of 10 rectified units (cnn)
    data: Path | None = None  # folder of MNIST, Fashion-MNIST, EMNIST, CIFAR-10 or CIFAR-100, or of a train.csv; or
    # an .npz or .csv file; not given: scikit-learn's digits
    hold_out: Natural = 0  # measure on so many of the last training images, not on the test images: to choose by
    classes: Natural = 0  # labels are 0 to classes - 1; 0: as the set's layout says, otherwise 10
    optimizer: Literal["sgd", "adam", "lamb", "lars"] = "sgd"  # sgd and lars with momentum
    momentum: Part = 0.9  # of sgd and lars
    augment: bool | None = None  # train on images moved differently in every epoch; not given: for residual and vgg
    rotate: NotNegative | None = None  # degrees that an image is turned at most; not given: 10, in colour 0
    shift: NotNegative = 0.1  # part of its size that it is moved at most
    zoom: Part | None = None  # part by which it is scaled up or down at most; not given: 0.1, in colour 0
    shear: NotNegative | None = None  # pixels per pixel by which rows slide at most; not given: 0.1, in colour 0
    mirror: bool | None = None  # exchange left and right in half of the images; not given: in colour

    @property
    def moved(self) -> bool:
        """Whether the training images are moved."""
        return self.network in ("residual", "vgg") if self.augment is None else self.augment

    def sizes(self) -> dict[str, float]:
        """Return the settings of the network that are given."""
        given = {"width": self.width, "dropout": self.dropout}
        return {name: value for name, value in given.items() if value is not None}

    def moves(self, colour: bool) -> dict[str, Any]:
        """Return how far images are moved: the arguments of `workloads.mnist.augmentation.Moves`."""
        given = {"rotate": self.rotate, "zoom": self.zoom, "shear": self.shear, "mirror": self.mirror}
        usual = {"rotate": 0.0, "zoom": 0.0, "shear": 0.0} if colour else {"rotate": 10.0, "zoom": 0.1, "shear": 0.1}
        usual["mirror"] = colour
        return {"shift": self.shift} | {name: usual[name] if value is None else value for name, value in given.items()}

    def describe(self, size: int) -> dict[str, str]:
        """Return the loop's lines of the plan, and those on network, optimizer and data."""
        grey, colour = (_in_words(self.moves(colour)) for colour in (False, True))
        held = f"; the last {self.hold_out} of them held out, and measured on" if self.hold_out else ""
        return Training.describe(self, size) | {
            "network": ", ".join([self.network, *(f"{name} {value:g}" for name, value in self.sizes().items())]),
            "optimizer": self.optimizer,
            "data": str(self.data or DIGITS) + held + (f"; {grey}; in colour {colour}" if self.moved else ""),
        }


def _in_words(moves: dict[str, Any]) -> str:
    words = {
        "rotate": "turned up to {:g} degrees",
        "shift": "shifted {:g}",
        "zoom": "zoomed {:g}",
        "shear": "sheared {:g}",
        "mirror": "mirrored",
    }
    return ", ".join(text.format(moves[name]) for name, text in words.items() if moves[name]) or "not moved"


def build(config: Config, rank: Rank) -> Workload:
    """Build the network, its loss and the images.

    Raises
    ------
    Refusal
        If the images do not exist or are damaged, or if the network cannot take them.
    """
    import keras
    from keras import ops

    from workloads.mnist import pictures
    from workloads.mnist.augmentation import Moves
    from workloads.mnist.networks import network

    images = _images(config)
    shape = images.train.pixels.shape[1:]
    narrow = {"narrow": config.narrow} if config.network == "cnn" else {}
    model = network(config.network, shape, images.classes, **config.sizes(), **narrow)
    moves = Moves(**config.moves(colour=shape[-1] == 3))

    aim = AIMS.get(images.name, {}).get(config.network)

    def loss(labels: Any, logits: Any) -> Any:
        return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)

    def statistics(labels: Any, logits: Any) -> dict[str, Any]:
        actual, predicted = (ops.one_hot(which, images.classes) for which in (labels, ops.argmax(logits, axis=1)))
        return {"confusion": ops.matmul(ops.transpose(actual), predicted)}

    def finish(model: keras.Model, figures: Path) -> dict[str, float]:
        return pictures.finish(model, images.validation, images.classes, figures)

    return Workload(
        model=model,
        loss=loss,
        optimizer=lambda rate: _optimizer(config, rate),
        train=Data(
            len(images.train.labels),
            _load(images.train),
            augment=(lambda inputs, labels, seeds: (moves(inputs, seeds), labels)) if config.moved else None,
        ),
        validation=Data(len(images.validation.labels), _load(images.validation)),
        statistics=statistics,
        summarise=lambda totals, examples: {"accuracy": float(totals["confusion"].trace() / examples)},
        finish=finish,
        target=None if aim is None else ("accuracy", ">=", aim),
    )


def _images(config: Config) -> ImageSet:
    from workloads.data.images.digits import digits
    from workloads.data.images.reading import read
    from workloads.data.images.sets import held_out

    images = digits() if config.data is None else read(config.data, config.classes)
    return held_out(images, config.hold_out) if config.hold_out else images


def _load(images: Images) -> Callable:
    """Return a function from indices to pixels in 0 to 1 and labels; all images are in memory."""
    import numpy as np

    def load(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images.pixels[index].astype(np.float32) * np.float32(1 / 255), images.labels[index]

    return load


def _optimizer(config: Config, rate: Any) -> keras.optimizers.Optimizer:
    import keras

    if config.optimizer == "lars":
        from workloads.training.optimizers import LARS

        # Nothing normalises the biases of these networks, so they learn at rates like those of SGD.
        return LARS(rate, momentum=config.momentum, plain=0.01)
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=config.momentum)
    return {"adam": keras.optimizers.Adam, "lamb": keras.optimizers.Lamb}[config.optimizer](rate)
