"""Principal components: the best linear code of some images, which an autoencoder is compared with."""

from __future__ import annotations

import numpy as np

AT_ONCE = 5000  # images per batch


class Components:
    """The principal components of images.

    Parameters
    ----------
    pixels : ndarray of uint8, (N, H, W, C)
        The images.
    count : int
        Number of components.
    """

    def __init__(self, pixels: np.ndarray, count: int) -> None:
        flat = pixels.reshape(len(pixels), -1)
        self._mean = flat.mean(axis=0, dtype=np.float64).astype(np.float32) / 255
        products = np.zeros((flat.shape[1], flat.shape[1]))
        for first in range(0, len(flat), AT_ONCE):
            centred = flat[first : first + AT_ONCE].astype(np.float32) / 255 - self._mean
            products += centred.T @ centred
        self._axes = np.linalg.eigh(products)[1][:, -count:].astype(np.float32)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return images, float32 (batch, H, W, C), restored from their components alone."""
        centred = images.reshape(len(images), -1) - self._mean
        return (centred @ self._axes @ self._axes.T + self._mean).reshape(images.shape)

    def error(self, seen: np.ndarray, clean: np.ndarray) -> float:
        """Return the squared error per image between clean images and those restored from the images seen."""
        squares = [
            np.sum((self(seen[first : first + AT_ONCE]) - clean[first : first + AT_ONCE]) ** 2, dtype=np.float64)
            for first in range(0, len(seen), AT_ONCE)
        ]
        return float(sum(squares) / len(seen))
