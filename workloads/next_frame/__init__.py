"""Frames of a film -> the next frame: convolutional LSTMs on squares or digits that move.

    python -m launch workloads.next_frame
    python -m launch --nodes 2 workloads.next_frame --things digits --data FOLDER

The films are generated. A run ends with the mean squared error of the next frame, beside that of the last frame and of
the mean, and with figures/film.png, a film that the network continues. See docs/workloads/next_frame.md.

Data: generated; for other digits than scikit-learn's, images as workloads.mnist reads them
Time: 15 min
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from launch.errors import Refusal
from launch.plan.typed import Bounds, Count, Positive, Seed
from workloads.api import Data, Training, Workload

if TYPE_CHECKING:
    import keras
    import numpy as np

    from launch.node.rank import Rank
    from workloads.next_frame.films import Films

BASELINES = ("last", "mean", "film_mean")
"""What the network is compared with: the last frame, the mean of training frames, the mean of the film so far."""

AIMS = {"squares": 3.0, "digits": 2.0}
"""Factor by which a finished training should have a lower mean squared error than the last frame, at least."""

UNROLLED = 20  # frames up to which the network is unrolled: in a loop, JAX convolves six times slower on a CPU


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Config(Training):
    """The defaults are a recipe for some minutes; films of the published size take hours."""

    epochs: Positive = 4  # passes over the training set at one rank
    batch: Count = 8  # films per rank per step
    lr: Positive = 1e-2  # learning rate of Adam at one rank
    things: Literal["squares", "digits"] = "squares"  # what moves
    count: Count = 2  # things in a film
    data: Path | None = None  # images of digits, as workloads.mnist reads them; not given: scikit-learn's
    shrink: Count = 2  # pixels of an image of a digit that become one pixel of a film, in both directions
    size: Annotated[int, Bounds(8, 1024)] = 24  # pixels of a frame, in both directions
    frames: Annotated[int, Bounds(3, 1000)] = 10  # of a film
    seen: Count = 2  # frames of a film before the first that is predicted
    speed: Count = 2  # pixels per frame that a thing moves at most, in both directions
    films: Count = 3000  # to learn from
    validation: Count = 200  # other films, to measure on
    films_seed: Seed = 0  # of the films
    layers: Count = 1  # of convolutional LSTMs
    filters: Count = 16  # of each of them
    kernel: Annotated[int, Bounds(1, 99)] = 5  # pixels of a filter, in both directions: memories move by half of that

    def __post_init__(self) -> None:
        Training.__post_init__(self)
        if self.seen >= self.frames:
            raise Refusal(f"--seen {self.seen} leaves none of {self.frames} frames to predict: give less")
        if self.data and self.things != "digits":
            raise Refusal(f"--data {self.data} has digits, and {self.things} move: add --things digits")

    def describe(self, size: int) -> dict[str, str]:
        """Return the loop's lines of the plan, and those on network and data."""
        whose = "" if self.things == "squares" else f" of {self.data or 'scikit-learn'}"
        return Training.describe(self, size) | {
            "network": f"{self.layers} x {self.filters} filters of {self.kernel} x {self.kernel} pixels",
            "data": f"{self.films} films of {self.frames} frames of {self.size} x {self.size} pixels, "
            f"{self.count} {self.things}{whose}",
        }


def build(config: Config, rank: Rank) -> Workload:
    """Build the network, its loss and the films.

    Raises
    ------
    Refusal
        If the digits are damaged, or what moves does not fit into a frame.
    """
    import keras
    import numpy as np
    from keras import layers, ops

    from workloads.next_frame import picture

    train, held = films_of(config, "train"), films_of(config, "validation")
    mean = train(np.arange(min(100, config.films))).mean(axis=(0, 1))
    first = config.seen - 1  # the first output that counts

    frames = x = keras.Input((config.frames - 1, config.size, config.size, 1), name="frames")
    for _ in range(config.layers):
        unroll = config.frames <= UNROLLED
        x = layers.ConvLSTM2D(config.filters, config.kernel, padding="same", return_sequences=True, unroll=unroll)(x)
    logits = layers.Conv3D(1, (1, 3, 3), padding="same", dtype="float32")(x)
    model = keras.Model(frames, logits, name="next_frame")

    def loss(film: Any, logits: Any) -> Any:
        each: Any = keras.losses.binary_crossentropy(film[:, 1:], logits, from_logits=True)  # the mean over the channel
        return ops.mean(each[:, first:], axis=(1, 2, 3))

    def statistics(film: Any, logits: Any) -> dict[str, Any]:
        number: Any = ops.reshape(ops.arange(1, config.frames, dtype="float32"), (1, -1, 1, 1, 1))
        so_far = ops.cumsum(film[:, :-1], axis=1) / number
        guesses = dict(zip(BASELINES, (film[:, :-1], mean, so_far)), network=ops.sigmoid(logits))
        squares: dict[str, Any] = {name: ops.square(guess - film[:, 1:]) for name, guess in guesses.items()}
        return {name: ops.sum(ops.mean(each[:, first:], axis=(1, 2, 3, 4))) for name, each in squares.items()}

    def summarise(totals: dict[str, Any], examples: int) -> dict[str, float]:
        squares = {name: float(total) / examples for name, total in totals.items()}
        network = squares.pop("network")
        times = {f"times_better_than_{name}": square / max(network, 1e-12) for name, square in squares.items()}
        return {"mse": network} | {f"mse_{name}": square for name, square in squares.items()} | times

    def finish(model: keras.Model, figures: Path) -> dict[str, float]:
        return picture.finish(model, held, config.validation, figures)

    def part(films: Films, length: int) -> Data:
        def load(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            film = films(index)
            return film[:, :-1], film

        return Data(length, load)

    return Workload(
        model=model,
        loss=loss,
        optimizer=keras.optimizers.Adam,
        train=part(train, config.films),
        validation=part(held, config.validation),
        statistics=statistics,
        summarise=summarise,
        finish=finish,
        target=("times_better_than_last", ">=", AIMS[config.things]),
    )


def films_of(config: Config, part: Literal["train", "validation"]) -> Films:
    """Return the films to learn from or to measure on.

    Raises
    ------
    Refusal
        For the same reasons as `build`.
    """
    from workloads.next_frame.films import PARTS, Films, digits, squares

    things = squares() if config.things == "squares" else digits(config.data, part, config.shrink)
    largest = max(max(thing.shape) for thing in things)
    if largest + config.speed > config.size:
        raise Refusal(
            f"{config.things} of {largest} pixels cannot move by {config.speed} in frames of --size {config.size}: "
            f"give --size {largest + config.speed} or more"
            + (", or more --shrink" if config.things == "digits" else "")
        )
    seed = config.films_seed, PARTS.index(part)
    return Films(things, config.size, config.frames, config.count, config.speed, seed)
