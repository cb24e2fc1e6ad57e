"""Flows that need no solver: creeping flow round random obstacles, one linear system each."""

import numpy as np

from workloads.cfd_resnet.data import Flows


def flows(count: int, height: int = 16, width: int = 32, seed: int = 0, reynolds: float = 10.0) -> Flows:
    """Stokes flow through a channel with Brinkman's drag in the obstacles.

    The stream function psi obeys biharmonic psi = div (drag grad psi), 0 on the lower wall and the flux on the upper; so u =
    d psi / dy and v = -d psi / dx have no divergence. Ends as in the empty channel.
    """
    random = np.random.default_rng(seed)
    rows, columns = height + 3, width + 3  # of corners, with one beyond each wall and end
    y = np.clip((np.arange(rows) - 1) / height, 0, 1)
    ends = np.repeat((height * (2 * y**2 - 4 / 3 * y**3))[:, None], columns, axis=1)  # u = 4 y (1 - y)
    gradient = [_difference(rows, columns, axis) for axis in (0, 1)]
    laplace = -sum(d.T @ d for d in gradient)
    free = np.zeros((rows, columns), bool)
    free[2:-2, 2:-2] = True
    free = free.ravel()
    masks = np.zeros((count, height, width, 1), np.uint8)
    velocities = np.zeros((count, height, width, 2), np.float32)
    for mask, flow in zip(masks[..., 0], velocities):
        for _ in range(2):
            h, w = random.integers(height // 6, height // 3, 2)
            top, left = random.integers(0, height - h), random.integers(4, width - w - 4)
            mask[top : top + h, left : left + w] = 1
        drag = np.zeros((rows, columns))
        drag[1:-1, 1:-1][:-1, :-1] = 1e3 * mask
        system = laplace @ laplace + sum(d.T @ (drag.ravel()[:, None] * d) for d in gradient)
        psi = ends.copy().ravel()
        psi[free] = np.linalg.solve(system[np.ix_(free, free)], -(system[np.ix_(free, ~free)] @ psi[~free]))
        psi = psi.reshape(rows, columns)[1:-1, 1:-1]
        flow[..., 0] = np.diff(psi[:, :-1] + psi[:, 1:], axis=0) / 2
        flow[..., 1] = -np.diff(psi[:-1] + psi[1:], axis=1) / 2
        flow *= 1 - mask[..., None]
    nothing = np.zeros(count, np.float32)
    return Flows(masks, velocities, nothing, nothing, u_max=0.1, nu=0.1 * height / reynolds)


def _difference(rows: int, columns: int, axis: int) -> np.ndarray:
    """A matrix: forward differences of a field along an axis."""
    matrix = np.eye(rows * columns, k=columns if axis == 0 else 1) - np.eye(rows * columns)
    last = np.zeros((rows, columns), bool)
    last[-1 if axis == 0 else slice(None), slice(None) if axis == 0 else -1] = True
    matrix[last.ravel()] = 0
    return matrix
