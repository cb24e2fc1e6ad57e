"""What encloses a flow: inlet, outlet, walls, a moving lid; and the links of the lattice that meet them."""

from dataclasses import dataclass

import numpy as np

from workloads.cfd_resnet.d2q9 import DIRECTIONS, WEIGHTS

# With this product of the two relaxation times' distances from 1/2 a half-way wall lies exactly half-way (Ginzburg).
MAGIC = 3 / 16


@dataclass(frozen=True, slots=True)
class Case:
    """What the flows of a batch have in common. Walls lie on the outer faces of the first and last row and column.

    Parameters
    ----------
    height, length : int
        Cells across and along.
    nu : float
        Kinematic viscosity, cells^2 per step.
    u_max : float
        Peak of the parabolic velocity at the left face, cells per step; the right face is then an outlet. 0: no inlet.
    lid : float
        Velocity along the face above row 0.
    """

    height: int
    length: int
    nu: float
    u_max: float = 0.0
    lid: float = 0.0

    @property
    def relaxation(self) -> tuple[float, float]:
        """Rates of the even and of the odd moments, per step."""
        even = 3 * self.nu
        return 1 / (even + 0.5), 1 / (MAGIC / even + 0.5)

    def inlet(self, y: np.ndarray | float) -> np.ndarray | float:
        """Velocity at the inlet at a distance of y cells from the wall above row 0."""
        return 4 * self.u_max * y * (self.height - y) / self.height**2


def behind(solid: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the cell that a population in direction i comes from is an obstacle, and where it lies outside."""
    along, across = DIRECTIONS[i]
    padded = np.pad(solid.astype(np.int8), 1, constant_values=2)
    origin = np.roll(padded, (across, along), (0, 1))[1:-1, 1:-1]
    return origin == 1, origin == 2


def leaves(case: Case, i: int) -> np.ndarray:
    """Where a population in direction i comes in through the outlet: array (H, L), bool."""
    mask = np.zeros((case.height, case.length), bool)
    along, across = DIRECTIONS[i]
    if case.u_max and along == -1:
        mask[max(0, across) : case.height + min(0, across), -1] = True
    return mask


def faces(case: Case) -> tuple[list, list, np.float32]:
    """What moving faces add to populations (directions 1 to 8; None or (1, cells)), the outlet's links, mean velocity."""
    sources, outlets = [], []
    rows = np.arange(case.height)
    for i in range(1, 9):
        along, across = DIRECTIONS[i]
        speed = np.zeros((case.height, case.length))
        if along == 1 and case.u_max:
            speed[:, 0] = case.inlet(rows + 0.5 - 0.5 * across)  # where the link crosses the face
        if across == 1 and case.lid:
            speed[0] += case.lid
            # The link through a corner belongs to the wall at rest, or the lid drives a flow through the box.
            speed[0, 0 if along == 1 else -1] = 0
        source = (6 * WEIGHTS[i] * along * speed).astype(np.float32).reshape(1, -1)
        sources.append(source if source.any() else None)
        outlet = leaves(case, i).reshape(1, -1)
        outlets.append(outlet if outlet.any() else None)
    return sources, outlets, np.float32(case.inlet(rows + 0.5).mean())
