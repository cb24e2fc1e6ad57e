"""Steady two-dimensional flow by the lattice Boltzmann method: D2Q9, two relaxation times, many flows at once.

It runs on CPU cores, compiled by Numba, one thread per core. The populations are deviations from their values at rest
and the equilibrium is that of He & Luo (1997), in which density is only in the pressure. So single precision
is enough, and a steady flow is free of divergence whatever the Mach number. Walls and inlet act on links that end
outside the fluid (Ladd 1994), half-way between two cells unless the distance to the wall is given (Bouzidi et al.
2001).

References
----------
He, Luo: J. Stat. Phys. 88 (1997) 927. Ginzburg, Verhaeghe, d'Humieres: Commun. Comput. Phys. 3 (2008) 427 (two
relaxation times, magic parameter). Ladd: J. Fluid Mech. 271 (1994) 285. Bouzidi, Firdaouss, Lallemand: Phys.
Fluids 13 (2001) 3452. Mei, Yu, Shyy, Luo: Phys. Rev. E 65 (2002) 041203 (momentum exchange).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workloads.cfd_resnet.channel import Case, links
from workloads.cfd_resnet.d2q9 import DIRECTIONS, SOUND, WEIGHTS, Lattice, advance, moments


@dataclass(frozen=True, slots=True)
class Steady:
    """One flow, in lattice units.

    Parameters
    ----------
    u, v : array (H, L), float32
        Velocity along and across (towards higher rows); 0 in obstacles.
    pressure : array (H, L), float32
        Pressure divided by the density, relative to the outlet.
    force : array (2,), float32
        Force of the fluid on the obstacles, along and across, divided by the density.
    steps : int
        Number of time steps taken.
    change : float
        Relative change per 1,000 steps at the end: the larger of that of the velocity (L2) and that of the force.
        NaN if the simulation has blown up.
    """

    u: np.ndarray
    v: np.ndarray
    pressure: np.ndarray
    force: np.ndarray
    steps: int
    change: float


class Batch:
    """Flows that advance together, each in its own slot; a slot takes another flow when its own is done.

    Parameters
    ----------
    case : Case
        Common properties of the flows.
    slots : int
        Number of flows at the same time.
    """

    def __init__(self, case: Case, slots: int) -> None:
        self.case, self.slots, self._lattice = case, slots, Lattice(case.height, case.length)
        # Two per slot: a step goes from one to the other.
        self._populations = [[np.zeros(9 * self._lattice.stride, np.float32) for _ in range(2)] for _ in range(slots)]
        self._links: list[tuple | None] = [None] * slots  # an empty slot has none
        self._force = np.zeros((slots, 2), np.float32)
        self._change = np.full(slots, np.inf)
        self._steps = np.zeros(slots, int)
        self._solid = np.ones((slots, case.height, case.length), bool)

    def put(self, slot: int, solid: np.ndarray, distance: np.ndarray | None = None) -> None:
        """Start a flow.

        Parameters
        ----------
        slot : int
            The slot; its flow is replaced.
        solid : array (H, L), bool
            The obstacles.
        distance : array (9, H, L), optional
            Distance from each cell to the wall from which a population in direction i reaches it, in units of the link.
            NaN: unknown; half-way is assumed.
        """
        solid = np.asarray(solid, bool)
        self._links[slot] = None if solid.all() else links(self.case, self._lattice, solid, distance)
        # Initially the inlet's flow rate passes through the open part of each column, which saves steps.
        height, length = solid.shape
        profile = np.where(solid, 0.0, self.case.inlet(np.arange(height) + 0.5)[:, None] * np.ones(length))
        rate = profile.sum(axis=0)
        u = profile * (rate.max() / np.where(rate > 0, rate, np.inf))
        for populations in self._populations[slot]:
            populations[:] = 0
        along = DIRECTIONS[:, 0, None, None]
        now = self._lattice.grids(self._populations[slot][0])
        now[:] = WEIGHTS[:, None, None] * (3 * along * u + 4.5 * (along * u) ** 2 - 1.5 * u**2)
        self._steps[slot], self._change[slot], self._force[slot] = 0, np.inf, 0
        self._solid[slot] = solid

    def clear(self, slot: int) -> None:
        """Empty a slot."""
        self.put(slot, np.ones(self._solid.shape[1:], bool))

    def solid(self, slot: int) -> np.ndarray:
        """Return the obstacles in a slot."""
        return self._solid[slot]

    def steps(self, slot: int) -> int:
        """Return the number of steps that the flow in a slot has taken."""
        return int(self._steps[slot])

    def advance(self, steps: int) -> np.ndarray:
        """Advance all flows by some steps.

        Returns
        -------
        array (slots,)
            The change of each flow, as in `Steady`.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # a flow that blows up shows in its change
            for slot, met in enumerate(self._links):
                self._change[slot] = 0 if met is None else self._advance(slot, met, steps)
        self._steps += steps
        return self._change

    def _advance(self, slot: int, met: tuple, steps: int) -> float:
        inner, outlet, pull = met
        now, spare = self._populations[slot]
        _, u0, v0 = self._moments(slot)
        *populations, exchanged = advance(self._lattice, now, spare, inner, outlet, self.case.relaxation, steps)
        self._populations[slot] = populations
        _, u, v = self._moments(slot)
        force = exchanged @ pull  # pressure is relative to the outlet
        moved, speed = np.sqrt(((u - u0) ** 2 + (v - v0) ** 2).sum()), np.sqrt((u**2 + v**2).sum())
        of_force = np.linalg.norm(force - self._force[slot]), np.linalg.norm(force)
        self._force[slot] = force
        # An empty channel has no motion, and without obstacles there is no force.
        changes = [part / whole for part, whole in ((moved, speed), of_force) if whole != 0]
        return float(np.max(changes, initial=0) * 1000 / steps)  # NaN stays NaN

    def _moments(self, slot: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return moments(self._lattice.grids(self._populations[slot][0]))

    def take(self, slot: int) -> Steady:
        """Return the flow in a slot as it is now."""
        density, u, v = self._moments(slot)
        return Steady(
            u, v, density * np.float32(SOUND**2), self._force[slot], int(self._steps[slot]), float(self._change[slot])
        )


def solve(
    case: Case, solid: np.ndarray, *, tolerance: float, most: int, every: int = 1000, distance: np.ndarray | None = None
) -> list[Steady]:
    """Return the steady flows around some obstacles.

    Parameters
    ----------
    case : Case
        Common properties of the flows.
    solid : array (N, H, L), bool
        Obstacles of each flow; all flows run at once.
    tolerance : float
        A flow is steady once its change (see `Steady`) is below this.
    most : int
        Steps after which a flow is given up; its change then says so.
    every : int
        Steps between two checks of the change.
    distance : array (N, 9, H, L), optional
        See `Batch.put`.

    Returns
    -------
    list of Steady
    """
    batch = Batch(case, len(solid))
    for slot, obstacles in enumerate(solid):
        batch.put(slot, obstacles, None if distance is None else distance[slot])
    flows: dict[int, Steady] = {}
    steps = 0
    while len(flows) < len(solid):
        change, steps = batch.advance(every), steps + every
        for slot in range(len(solid)):
            if slot not in flows and (not change[slot] >= tolerance or steps >= most):  # not: a NaN also ends it
                flows[slot] = batch.take(slot)
    return [flows[slot] for slot in range(len(solid))]
