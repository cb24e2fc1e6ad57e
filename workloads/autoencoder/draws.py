"""What is drawn at random for each image: black and white pixels, the noise that is added, and that of the code."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

FIXED = 2**63  # second half of the seeds of `fixed`


class Draws(NamedTuple):
    """The random draws for images. Those of an image follow from its own seed, whatever the ranks or interruptions.

    Parameters
    ----------
    binary : bool
        Whether each image is drawn anew, black or white with the probability that its grey states, and the code has
        noise.
    noise : float
        Standard deviation of the noise that is added to what the encoder sees, which is then clipped to 0 to 1.
    latent : int
        Number of units of the code.
    """

    binary: bool
    noise: float
    latent: int

    @property
    def random(self) -> bool:
        """Whether anything is drawn."""
        return self.binary or self.noise > 0

    def plain(self, pixels: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return inputs and targets for images, uint8 (batch, H, W, C), without any draw."""
        images = pixels.astype(np.float32) * np.float32(1 / 255)
        code = {"noise": np.zeros((len(images), self.latent), np.float32)} if self.binary else {}
        return {"image": images} | code, images

    def fixed(self, pixels: np.ndarray, index: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return inputs and targets with the same draws at every call, by the index of the images: to measure on."""
        seeds = np.stack([index.astype(np.uint64), np.full(len(index), FIXED, np.uint64)], axis=1)
        return self(self.plain(pixels)[1], seeds)

    def __call__(self, images: Any, seeds: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return inputs and targets with draws, for float32 images and uint64 seeds (batch, 2)."""
        clean = np.array(images, np.float32)
        seen, code = clean if not self.noise else np.empty_like(clean), np.zeros((len(clean), self.latent), np.float32)
        for place, seed in enumerate(seeds if self.random else ()):
            drawn = np.random.Generator(np.random.Philox(key=seed))
            if self.binary:
                clean[place] = drawn.random(clean.shape[1:], np.float32) < clean[place]
                code[place] = drawn.standard_normal(self.latent, np.float32)
            if self.noise:
                noise = drawn.standard_normal(clean.shape[1:], np.float32)
                seen[place] = np.clip(clean[place] + np.float32(self.noise) * noise, 0, 1)
        return {"image": seen} | ({"noise": code} if self.binary else {}), clean
