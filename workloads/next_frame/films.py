"""Films of squares or digits that move, each at its own speed, and bounce off the edges of the frame.

A film is a function of (seed, part, index) alone. Positions are whole pixels, speeds whole pixels per frame, so that
the next frame follows from those before it, except for what one digit hides of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from launch.errors import Refusal

PARTS = ("train", "validation")
SIDES = (3, 8)  # range of the pixels of a square's side, its end excluded


class Films(NamedTuple):
    """An endless sequence of films.

    Parameters
    ----------
    things : sequence of ndarray of float32, (H, W)
        Images of what may move in the films, 0 (nothing) to 1.
    size, frames, count, speed : int
        Pixels of a frame in both directions, frames of a film, things in it, and highest speed in pixels per frame.
    seed : tuple of int
        Seed of the films.
    """

    things: Sequence[np.ndarray]
    size: int
    frames: int
    count: int
    speed: int
    seed: tuple[int, ...]

    def __call__(self, index: np.ndarray) -> np.ndarray:
        """Return some films, by their index, float32 (films, frames, size, size, 1)."""
        return np.stack([self._film(int(each)) for each in index])

    def _film(self, index: int) -> np.ndarray:
        random = np.random.default_rng([*self.seed, index])
        film = np.zeros((self.frames, self.size, self.size, 1), np.float32)
        times = np.arange(self.frames)[:, None]
        for which in random.integers(len(self.things), size=self.count):
            thing = self.things[which]
            (height, width), room = thing.shape, self.size - np.array(thing.shape)
            speed = np.zeros(2, np.int64)
            while not speed.any():
                speed = random.integers(-self.speed, self.speed + 1, 2)
            start = random.integers(0, room + 1)
            places = room - abs((start + times * speed) % (2 * room) - room)  # to and fro
            for frame, (row, column) in zip(film, places):
                here = frame[row : row + height, column : column + width, 0]
                np.maximum(here, thing, out=here)
        return film


def squares() -> list[np.ndarray]:
    """Return squares of several sizes, each float32 (side, side)."""
    return [np.ones((side, side), np.float32) for side in range(*SIDES)]


def digits(data: Path | None, part: str, shrink: int) -> Sequence[np.ndarray]:
    """Return images of digits, each float32 (H, W), a pixel of which is the mean of ``shrink`` x ``shrink`` originals.

    Parameters
    ----------
    data : Path or None
        A set of images, or None for scikit-learn's digits.
    part : str
        "train" or "validation": films to measure on have digits that no film to learn from has.
    shrink : int
        Pixels of an image that become one, in both directions.

    Raises
    ------
    Refusal
        If the images are damaged, or nothing is left of them when they are shrunk.
    """
    from workloads.data.images.digits import digits as of_scikit_learn
    from workloads.data.images.reading import read

    pixels = getattr(read(data) if data else of_scikit_learn(), part).pixels
    height, width = (length // shrink for length in pixels.shape[1:3])
    if not height or not width:
        raise Refusal(f"--shrink {shrink} leaves nothing of images of {pixels.shape[1]} x {pixels.shape[2]}: give less")
    blocks = pixels[:, : height * shrink, : width * shrink].reshape(len(pixels), height, shrink, width, shrink, -1)
    return list(blocks.mean(axis=(2, 4, 5), dtype=np.float32) / np.float32(255))
