"""Images moved a little: shifted, turned, scaled, sheared, and mirrored where that keeps their meaning.

How an image is moved depends only on its own seed, so a resumed training sees the same images as an uninterrupted one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np


@dataclass(frozen=True, slots=True)
class Moves:
    """How far images may be moved: each move is drawn uniformly between minus and plus its limit.

    Parameters
    ----------
    rotate : float
        Largest rotation, in degrees.
    shift : float
        Largest shift along each axis, in parts of the size.
    zoom : float
        Largest change of scale of each axis, in parts of the size.
    shear : float
        Largest shear of columns against rows, in pixels per pixel.
    mirror : bool
        Whether left and right are exchanged in half of the images: for things, not for digits or letters.
    """

    rotate: float = 10.0
    shift: float = 0.1
    zoom: float = 0.1
    shear: float = 0.1
    mirror: bool = False

    def draw(self, seeds: np.ndarray, height: int, width: int) -> np.ndarray:
        """Draw where each pixel of the moved images comes from.

        Parameters
        ----------
        seeds : ndarray of uint64, (batch, 2)
            A pair of seeds per image.
        height, width : int
            Size of an image in pixels.

        Returns
        -------
        ndarray of float32, (batch, 8)
            ``a0 a1 a2 b0 b1 b2 0 0`` for each: the pixel at column x, row y is taken from
            ``(a0 x + a1 y + a2, b0 x + b1 y + b2)``.
        """
        # The seed is the key of a counter-based generator: each image has its own stream.
        drawn = np.array([np.random.Generator(np.random.Philox(key=seed)).uniform(-1, 1, 7) for seed in seeds])
        angle = np.deg2rad(self.rotate) * drawn[:, 0]
        down, right = self.shift * height * drawn[:, 1], self.shift * width * drawn[:, 2]
        tall, wide = 1 + self.zoom * drawn[:, 3], 1 + self.zoom * drawn[:, 4]
        if self.mirror:
            wide = np.where(drawn[:, 6] < 0, -wide, wide)
        cos, sin, shear = np.cos(angle), np.sin(angle), self.shear * drawn[:, 5]
        # Turned by the angle, after a shear, after the scaling of each axis.
        a0, a1 = cos * wide, (cos * shear - sin) * tall
        b0, b1 = sin * wide, (sin * shear + cos) * tall
        x, y = (width - 1) / 2, (height - 1) / 2  # the middle stays, except for the shift
        zero = np.zeros(len(seeds))
        moves = [a0, a1, x - a0 * x - a1 * y + right, b0, b1, y - b0 * x - b1 * y + down, zero, zero]
        return np.stack(moves, axis=1).astype(np.float32)

    def __call__(self, images: np.ndarray, seeds: np.ndarray) -> Any:
        """Move images, float32 (batch, H, W, C), bilinearly; pixels from outside are 0."""
        moves = self.draw(seeds, *images.shape[1:3])
        return keras.ops.image.affine_transform(images, moves, "bilinear", "constant", data_format="channels_last")
