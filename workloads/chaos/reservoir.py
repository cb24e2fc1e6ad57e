"""A reservoir: a fixed random network that is driven by a series, and what a ridge regression reads from its state.

    r(t + 1) = tanh(A r(t) + W_in u(t))        u(t + 1) = W_out q(r(t + 1)), q: every other unit squared

Source: J. Pathak, B. Hunt, M. Girvan, Z. Lu, E. Ott, "Model-free prediction of large spatiotemporally chaotic systems
from data: a reservoir computing approach", PRL 120, 024102, 2018.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse

CHUNK = 1000  # states that are kept in memory at once
SYNCHRONISED = 100  # steps after which the first state no longer matters


class Reservoir:
    """A random network, the same for all groups of points; each group has its own weights for reading it.

    Parameters
    ----------
    units : int
        Number of units in the network.
    inputs : int
        Number of inputs of each group: its own points, and those that it sees beside them.
    degree : float
        Average number of connections to a unit.
    radius : float
        Spectral radius of A.
    scale : float
        Largest weight in W_in: each unit has one input, with a weight between ``-scale`` and ``scale``.
    seed : int
        Seed of the network.
    """

    def __init__(self, units: int, inputs: int, degree: float, radius: float, scale: float, seed: int) -> None:
        random = np.random.default_rng(seed)
        matrix = scipy.sparse.random_array(
            (units, units), density=min(1.0, degree / units), format="csr", rng=random, dtype=np.float64
        )
        # No weight is negative, so the largest eigenvalue is real, and found by repeated multiplication.
        vector, largest = np.ones(units), 0.0
        for _ in range(200):
            vector = matrix @ vector
            largest = float(np.linalg.norm(vector))
            vector /= largest or 1.0
        self._matrix = matrix * (radius / largest if largest else 0.0)
        self._input = np.sort(random.permutation(np.arange(units) % inputs))
        self._weights = random.uniform(-scale, scale, (units, 1))
        self.units = units

    def next(self, state: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Return the states (units, N) one step later, given the inputs (inputs, N)."""
        return np.tanh(self._matrix @ state + self._weights * inputs[self._input])

    @staticmethod
    def seen(state: np.ndarray) -> np.ndarray:
        """Return what a regression reads from states, (units, N): every other unit squared."""
        seen = state.copy()
        seen[1::2] **= 2
        return seen

    def products(self, inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what a regression needs of a series; the results for several series can be added up.

        Parameters
        ----------
        inputs : ndarray, (T, inputs)
            Inputs that drive the network, one row per step.
        targets : ndarray, (T, outputs)
            Values to be read from the state that follows each input.

        Returns
        -------
        tuple of ndarray
            Products of the states with each other, (units, units), and with the targets, (units, outputs).
        """
        state = np.zeros((self.units, 1))
        squares, moments = np.zeros((self.units, self.units)), np.zeros((self.units, targets.shape[1]))
        for first in range(0, len(inputs), CHUNK):
            part = inputs[first : first + CHUNK]
            states = np.empty((len(part), self.units))
            for number, each in enumerate(part):
                state = self.next(state, each[:, None])
                states[number] = state[:, 0]
            counted = slice(max(0, SYNCHRONISED - first), None)
            seen = self.seen(states.T).T[counted]
            squares += seen.T @ seen
            moments += seen.T @ targets[first : first + CHUNK][counted]
        return squares, moments


def ridge(squares: np.ndarray, moments: np.ndarray, penalty: float) -> np.ndarray:
    """Return W_out (outputs, units) by ridge regression; ``squares`` is overwritten."""
    squares[np.diag_indices_from(squares)] += penalty
    return scipy.linalg.solve(squares, moments, assume_a="pos", overwrite_a=True).T
