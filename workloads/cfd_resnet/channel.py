"""The boundaries of a flow: inlet, outlet, walls, a moving lid, and the lattice links that meet them."""

from dataclasses import dataclass

import numpy as np

from workloads.cfd_resnet.d2q9 import DIRECTIONS, OPPOSITE, WEIGHTS, Lattice, Links, Outlet

# With this product of the two relaxation times' distances from 1/2 a half-way wall lies exactly half-way (Ginzburg).
MAGIC = 3 / 16


@dataclass(frozen=True, slots=True)
class Case:
    """The common properties of the flows of a batch. Walls lie on the outer faces of the first and last row and column.

    Parameters
    ----------
    height, length : int
        Number of cells across and along the channel.
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
        """Relaxation rates of the even and of the odd moments, per step."""
        even = 3 * self.nu
        return 1 / (even + 0.5), 1 / (MAGIC / even + 0.5)

    def inlet(self, y: np.ndarray) -> np.ndarray:
        """Return the velocity at the inlet at a distance of y cells from the wall above row 0."""
        return 4 * self.u_max * y * (self.height - y) / self.height**2


def behind(solid: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where a population in direction i comes from an obstacle, and where it comes from outside."""
    along, across = DIRECTIONS[i]
    padded = np.pad(solid.astype(np.int8), 1, constant_values=2)
    origin = np.roll(padded, (across, along), (0, 1))[1:-1, 1:-1]
    return origin == 1, origin == 2


def leaves(case: Case, i: int) -> np.ndarray:
    """Return where a population in direction i enters through the outlet: array (H, L), bool."""
    mask = np.zeros((case.height, case.length), bool)
    along, across = DIRECTIONS[i]
    if case.u_max and along == -1:
        mask[max(0, across) : case.height + min(0, across), -1] = True
    return mask


def source(case: Case, i: int) -> np.ndarray:
    """Return what moving faces add to the populations in direction i that bounce back from them: array (H, L)."""
    along, across = DIRECTIONS[i]
    speed = np.zeros((case.height, case.length))
    if along == 1 and case.u_max:
        speed[:, 0] = case.inlet(np.arange(case.height) + 0.5 - 0.5 * across)  # where the link crosses the face
    if across == 1 and case.lid:
        speed[0] += case.lid
        # The link through a corner belongs to the wall at rest, or the lid drives a flow through the box.
        speed[0, 0 if along == 1 else -1] = 0
    return 6 * WEIGHTS[i] * along * speed


def links(
    case: Case, lattice: Lattice, solid: np.ndarray, distance: np.ndarray | None
) -> tuple[Links, Outlet, np.ndarray]:
    """Return the links of a flow that meet a boundary.

    Parameters
    ----------
    case, lattice
        Properties and memory layout of the flow.
    solid : array (H, L), bool
        The obstacles.
    distance : array (9, H, L), optional
        See `lattice_boltzmann.Batch.put`.

    Returns
    -------
    links : Links
        Links from walls, obstacles and moving faces.
    outlet : Outlet
        Links from the outlet.
    pull : array (n, 2), float32
        Force on the obstacles, along and across, per unit of momentum exchanged on each of ``links``.
    """
    inner, left, pull = [], [], []
    flat = solid.ravel()
    for i in range(1, 9):
        back, shift = OPPOSITE[i], lattice.shift(i)
        obstacle, outside = behind(solid, i)
        leaving = leaves(case, i)
        wall = solid | obstacle | (outside & ~leaving)
        # A population between two cells of an obstacle is 0 and stays so; one that got into an obstacle is removed.
        origin = np.clip(np.arange(lattice.cells) - shift, 0, lattice.cells - 1)
        cells = np.flatnonzero(wall.ravel() & ~(flat & flat[origin]))
        q = np.full(len(cells), 0.5)
        if distance is not None:
            # The interpolation needs one more cell of fluid on the other side.
            beyond, edge = behind(solid, back)
            known = ~solid & obstacle & ~(beyond | edge | np.isnan(distance[i]))
            q = np.where(known.ravel(), distance[i].ravel(), 0.5)[cells]
        near, at_rest = q < 0.5, flat[cells]
        bounced, arrived = lattice.at(back, cells + lattice.shift(back)), lattice.at(back, cells)
        own = np.where(near, 2 * q, 1 / (2 * q))
        more = np.where(near, 1 - 2 * q, (2 * q - 1) / (2 * q))
        other = np.where(near, arrived, lattice.at(i, cells + shift))
        moved = np.where(at_rest, 0, source(case, i).ravel()[cells])
        inner.append((lattice.at(i, cells), bounced, other, own, more, moved))
        pull.append((~solid & obstacle).ravel()[cells][:, None] * -DIRECTIONS[i])
        out = np.flatnonzero((leaving & ~wall).ravel())
        last = out - DIRECTIONS[i][1] * case.length
        weight = np.full(len(out), WEIGHTS[i])
        left.append((lattice.at(i, out), lattice.at(i, last + shift), last // case.length, weight))
    arrays = [np.concatenate(part) for part in zip(*inner)]
    place, beyond, row, weight = (np.concatenate(part) for part in zip(*left))
    mean = np.float32(case.inlet(np.arange(case.height) + 0.5).mean())
    return (
        Links(*(array.astype(np.int32) for array in arrays[:3]), *(array.astype(np.float32) for array in arrays[3:])),
        Outlet(place, beyond, row.astype(np.int32), weight.astype(np.float32), mean),
        np.concatenate(pull).astype(np.float32),
    )
