"""Deep Potential, smooth edition: the energy of atoms as a sum over atoms, and the forces as its derivative.

Source: L. Zhang, J. Han, H. Wang, W. Saidi, R. Car, W. E, "End-to-end symmetry preserving inter-atomic potential energy
model for finite and extended systems", NeurIPS 2018, arXiv:1805.09003: equations 4 to 9.
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from workloads.api import gradient


class Shape(NamedTuple):
    """Sizes and distances of a network.

    Parameters
    ----------
    counts, room : tuple of int
        Number of atoms of each type, and the room for neighbours of each type (`systems.neighbours`).
    cutoff, smooth : float
        Distance in Angstrom at which the weight of a neighbour reaches 0, and the one at which it begins to fall.
    embedding, fitting : tuple of int
        Units of the layers of both kinds of network.
    axes : int
        Columns of the embedding that the others are multiplied by.
    """

    counts: tuple[int, ...]
    room: tuple[int, ...]
    cutoff: float
    smooth: float
    embedding: tuple[int, ...]
    fitting: tuple[int, ...]
    axes: int


class Residual(keras.layers.Dense):
    """A dense layer that adds its input, or its input twice side by side, where the widths allow it."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """See `keras.layers.Dense`."""
        outputs: Any = super().call(inputs)
        times = self.units / inputs.shape[-1]
        return outputs + ops.concatenate([inputs] * int(times), axis=-1) if times in (1, 2) else outputs


class Potential(keras.Model):
    """A network from the displacements between all atoms and their neighbours to energy and forces.

    Parameters
    ----------
    shape : Shape
        Sizes and distances of the network.
    displacements : ndarray of float32, (F, N, M, 3)
        Displacements in some frames, by which the environment of an atom is standardised.
    """

    def __init__(self, shape: Shape, displacements: np.ndarray) -> None:
        super().__init__()
        self.shape = shape
        kinds = range(len(shape.counts))
        self.embeddings = {f"{a}{b}": _layers(1, shape.embedding) for a, b in product(kinds, kinds)}
        width = shape.embedding[-1] * shape.axes
        self.fits = [keras.Sequential([_layers(width, shape.fitting), keras.layers.Dense(1)]) for _ in kinds]
        for fit in self.fits:
            fit.build((None, width))
        self.steps = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="steps")
        weights, directions = (np.asarray(ops.convert_to_numpy(x)) for x in self._environment(displacements))
        taken = weights[weights > 0]
        self.mean, self.deviation = float(taken.mean()), float(taken.std())
        self.deviations = self.deviation, float(np.sqrt((directions[weights[..., 0] > 0] ** 2).mean()))
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        """Return energy in eV (batch,), forces in eV/Angstrom (batch, N, 3), and the number of training steps so far.

        Parameters
        ----------
        inputs : dict
            ``displacements`` (batch, N, M, 3) and ``reverse`` (batch, N, M), see `systems.neighbours`.
        training : bool
            Whether this is a training step.
        """
        if training:
            self.steps.assign_add(1)
        energy, gradients = gradient(self.energy, inputs["displacements"])
        # A displacement belongs to an atom and to its neighbour, whose part is that of the opposite displacement.
        frames: Any = ops.shape(gradients)
        _, atoms, room, _ = gradients.shape
        first: Any = ops.arange(frames[0], dtype="int32") * (atoms * room)
        reverse: Any = ops.reshape(inputs["reverse"], (-1, atoms * room)) + first[:, None]
        others: Any = ops.take(ops.reshape(gradients, (-1, 3)), ops.reshape(reverse, (-1,)), axis=0)
        force = ops.sum(gradients - ops.reshape(others, (-1, atoms, room, 3)), axis=2)
        return {"energy": energy, "force": force, "steps": ops.convert_to_tensor(self.steps)}

    def energy(self, displacements: Any) -> Any:
        """Return the energy of each frame in eV, relative to the mean of the training frames."""
        weights, directions = self._environment(displacements)
        environment: Any = ops.concatenate([weights / self.deviations[0], directions / self.deviations[1]], axis=-1)
        weights = (weights - self.mean) / self.deviation
        shape = self.shape
        total: Any = 0.0
        ends, stops = np.cumsum(shape.counts).tolist(), np.cumsum(shape.room).tolist()
        for a, (end, count) in enumerate(zip(ends, shape.counts)):
            atoms = slice(end - count, end)
            seen: Any = 0.0
            for b, (stop, room) in enumerate(zip(stops, shape.room)):
                near = slice(stop - room, stop)
                embedded: Any = self.embeddings[f"{a}{b}"](ops.reshape(weights[:, atoms, near], (-1, 1)))
                embedded = ops.reshape(embedded, (-1, count, room, shape.embedding[-1]))
                seen += ops.matmul(ops.swapaxes(embedded, 2, 3), environment[:, atoms, near])
            seen = seen / sum(shape.room)
            described = ops.matmul(seen, ops.swapaxes(seen[:, :, : shape.axes], 2, 3))
            fitted = self.fits[a](ops.reshape(described, (-1, shape.embedding[-1] * shape.axes)))
            total += ops.sum(ops.reshape(fitted, (-1, count)), axis=1)
        return total

    def _environment(self, displacements: Any) -> Any:
        """Return s(r) (..., 1), and s(r) times the direction (..., 3)."""
        distance: Any = ops.sqrt(ops.sum(displacements**2, axis=-1, keepdims=True))
        u: Any = ops.clip((distance - self.shape.smooth) / (self.shape.cutoff - self.shape.smooth), 0.0, 1.0)
        weights = (u**3 * (-6 * u**2 + 15 * u - 10) + 1) / distance
        return weights, weights * displacements / distance


def _layers(width: int, units: tuple[int, ...]) -> keras.Sequential:
    return keras.Sequential([keras.Input((width,)), *(Residual(each, "tanh") for each in units)])
