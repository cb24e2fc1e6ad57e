"""Steady two-dimensional flow by the lattice Boltzmann method: D2Q9, two relaxation times, many flows at once.

One code for CPU and GPU: TensorFlow, compiled by XLA. The populations are kept as deviations from their value at rest
and the equilibrium is that of He & Luo (1997), in which the density stands in the pressure only: so single precision
is enough, and a steady flow is free of divergence whatever the Mach number. All boundaries act on links that end
outside the fluid (Ladd 1994), half-way between two cells unless the distance to the wall is given (Bouzidi et al. 2001).

References
----------
He, Luo: J. Stat. Phys. 88 (1997) 927. Ginzburg, Verhaeghe, d'Humieres: Commun. Comput. Phys. 3 (2008) 427 (two relaxation
times, magic parameter, anti-bounce-back). Ladd: J. Fluid Mech. 271 (1994) 285. Bouzidi, Firdaouss, Lallemand: Phys.
Fluids 13 (2001) 3452. Mei, Yu, Shyy, Luo: Phys. Rev. E 65 (2002) 041203 (momentum exchange).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

# Directions in pairs: the opposite of i is i + 1 for odd i, i - 1 for even i > 0. Columns: along (axis 1), across (axis 0).
DIRECTIONS = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)])
WEIGHTS = np.array([4 / 9] + [1 / 9] * 4 + [1 / 36] * 4)
OPPOSITE = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7])
# With this product of the two relaxation times' distances from 1/2 a half-way wall lies exactly half-way (Ginzburg).
MAGIC = 3 / 16
SOUND = 3**-0.5  # speed of sound, cells per step


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


@dataclass(frozen=True, slots=True)
class Steady:
    """One flow, in lattice units.

    Parameters
    ----------
    u, v : array (H, L), float32
        Velocity along and across (towards higher rows); 0 in obstacles.
    pressure : array (H, L), float32
        Over the density, relative to the outlet.
    force : array (2,), float32
        Of the fluid on the obstacles, along and across, over the density.
    steps : int
        Time steps taken.
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
    """Flows that advance together, each in a slot of its own; a slot takes another flow when its own is done.

    Parameters
    ----------
    case : Case
        What they have in common.
    slots : int
        How many there are at once.
    """

    def __init__(self, case: Case, slots: int) -> None:
        self.case = case
        cells = (slots, case.height * case.length)
        self._populations: list = [np.zeros(cells, np.float32) for _ in DIRECTIONS]
        # Links, for directions 1 to 8: those that come from a wall or an obstacle, and those that come from an obstacle.
        self._walls = np.ones((8, *cells), bool)  # an empty slot is solid throughout
        self._obstacles = np.zeros((8, *cells), bool)
        self._distance: np.ndarray | None = None
        self._faces = _faces(case)
        self._force = np.zeros((slots, 2), np.float32)
        self._change = np.full(slots, np.inf)
        self._steps = np.zeros(slots, int)
        self._solid = np.ones((slots, case.height, case.length), bool)

    def put(self, slot: int, solid: np.ndarray, distance: np.ndarray | None = None) -> None:
        """Start a flow.

        Parameters
        ----------
        slot : int
            Where; it replaces what is there.
        solid : array (H, L), bool
            The obstacles.
        distance : array (9, H, L), optional
            For a cell and the direction i in which a population reaches it: how far behind the cell the wall lies, in
            units of the link; NaN where that is unknown, and half-way is taken.
        """
        solid = np.asarray(solid, bool)
        height, length = solid.shape
        for k in range(8):
            behind, outside = _behind(solid, k + 1)
            self._walls[k, slot] = (solid | behind | (outside & ~_leaves(self.case, k + 1))).ravel()
            self._obstacles[k, slot] = (~solid & behind).ravel()
        if distance is not None:
            if self._distance is None:
                self._distance = np.full(self._walls.shape, 0.5, np.float32)
            for k in range(8):
                # The interpolation needs one more cell of fluid on the other side.
                beyond, outside = _behind(solid, OPPOSITE[k + 1])
                known = self._obstacles[k, slot] & ~(beyond | outside | np.isnan(distance[k + 1])).ravel()
                self._distance[k, slot] = np.where(known, distance[k + 1].ravel(), 0.5)
        # To start with, the inlet's flow rate passes through what each column leaves open: that saves steps.
        profile = np.where(solid, 0.0, self.case.inlet(np.arange(height) + 0.5)[:, None] * np.ones(length))
        rate = profile.sum(axis=0)
        u = (profile * (rate.max() / np.where(rate > 0, rate, np.inf))).ravel()
        for i, (along, _) in enumerate(DIRECTIONS):
            population = np.array(self._populations[i])
            population[slot] = WEIGHTS[i] * (3 * along * u + 4.5 * (along * u) ** 2 - 1.5 * u**2)
            self._populations[i] = population
        self._steps[slot], self._change[slot], self._force[slot] = 0, np.inf, 0
        self._solid[slot] = solid

    def clear(self, slot: int) -> None:
        """Empty a slot."""
        self.put(slot, np.ones(self._solid.shape[1:], bool))

    def solid(self, slot: int) -> np.ndarray:
        """The obstacles in a slot."""
        return self._solid[slot]

    def steps(self, slot: int) -> int:
        """Steps that the flow in a slot has taken."""
        return int(self._steps[slot])

    def advance(self, steps: int) -> np.ndarray:
        """Take some steps with all flows.

        Returns
        -------
        array (slots,)
            The change of each, as in `Steady`.
        """
        self._populations, force, moved, speed = _advance(
            self._populations, self._walls, self._obstacles, self._distance, self._faces,
            np.float32(self.case.relaxation), np.int32(steps), self.case.length,
        )  # fmt: skip
        force, moved, speed = force.numpy(), moved.numpy(), speed.numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            of_velocity = moved / speed
            of_force = np.linalg.norm(force - self._force, axis=1) / np.linalg.norm(force, axis=1)
        # Nothing moves in an empty slot, and nothing pulls where there is no obstacle.
        of_velocity[speed == 0] = 0
        of_force[~self._obstacles.any(axis=(0, 2))] = 0
        self._force, self._steps = force, self._steps + steps
        self._change = np.maximum(of_velocity, of_force) * 1000 / steps
        return self._change

    def take(self, slot: int) -> Steady:
        """The flow in a slot as it is now."""
        shape = self.case.height, self.case.length
        g = np.stack([np.asarray(population[slot]).reshape(shape) for population in self._populations])
        density, u, v = _moments(g)
        return Steady(
            u, v, density * np.float32(SOUND**2), self._force[slot], int(self._steps[slot]), float(self._change[slot])
        )


def solve(
    case: Case, solid: np.ndarray, *, tolerance: float, most: int, every: int = 1000, distance: np.ndarray | None = None
) -> list[Steady]:
    """The steady flows around some obstacles.

    Parameters
    ----------
    case : Case
        What they have in common.
    solid : array (N, H, L), bool
        The obstacles of each; all flows run at once.
    tolerance : float
        A flow is steady once its change (see `Steady`) is below this.
    most : int
        Steps after which a flow is given up: its change then says so.
    every : int
        Steps between two looks at the change.
    distance : array (N, 9, H, L), optional
        See `Batch.put`.

    Returns
    -------
    list of Steady
    """
    batch = Batch(case, len(solid))
    for slot, obstacles in enumerate(solid):
        batch.put(slot, obstacles, None if distance is None else distance[slot])
    done: list[Steady | None] = [None] * len(solid)
    steps = 0
    while any(flow is None for flow in done):
        change, steps = batch.advance(every), steps + every
        for slot, flow in enumerate(done):
            if flow is None and (not change[slot] >= tolerance or steps >= most):  # not: a NaN is the end too
                done[slot] = batch.take(slot)
    return done


def _behind(solid: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the cell that a population in direction i comes from is an obstacle, and where it lies outside."""
    along, across = DIRECTIONS[i]
    padded = np.pad(solid.astype(np.int8), 1, constant_values=2)
    origin = np.roll(padded, (across, along), (0, 1))[1:-1, 1:-1]
    return origin == 1, origin == 2


def _leaves(case: Case, i: int) -> np.ndarray:
    """Where a population in direction i comes in through the outlet: array (H, L), bool."""
    mask = np.zeros((case.height, case.length), bool)
    along, across = DIRECTIONS[i]
    if case.u_max and along == -1:
        mask[max(0, across) : case.height + min(0, across), -1] = True
    return mask


def _faces(case: Case) -> tuple[list, list, np.float32]:
    """What moving faces add to a population (directions 1 to 8, None or (1, cells)), the outlet's links, the mean velocity."""
    sources, outlets = [], []
    rows = np.arange(case.height)
    for i in range(1, 9):
        along, across = DIRECTIONS[i]
        speed = np.zeros((case.height, case.length))
        if along == 1 and case.u_max:
            speed[:, 0] = case.inlet(rows + 0.5 - 0.5 * across)  # where the link crosses the face
        if across == 1 and case.lid:
            speed[0] += case.lid
        source = (6 * WEIGHTS[i] * along * speed).astype(np.float32).reshape(1, -1)
        sources.append(source if source.any() else None)
        leaves = _leaves(case, i).reshape(1, -1)
        outlets.append(leaves if leaves.any() else None)
    return sources, outlets, np.float32(case.inlet(rows + 0.5).mean())


def _moments(g):
    """Density (its deviation from 1) and momentum, along and across."""
    density = g[0] + (g[1] + g[2]) + (g[3] + g[4]) + (g[5] + g[6]) + (g[7] + g[8])
    u = (g[1] - g[2]) + (g[5] - g[6]) + (g[7] - g[8])
    v = (g[3] - g[4]) + (g[5] - g[6]) - (g[7] - g[8])
    return density, u, v


@tf.function(jit_compile=True)
def _advance(populations, walls, obstacles, distance, faces, relaxation, steps, length):
    walls = tf.unstack(walls)
    distance = None if distance is None else tf.unstack(distance)

    def step(g):
        return _step(g, walls, distance, faces, relaxation, length)[1]

    _, u0, v0 = _moments(populations)
    _, *g = tf.while_loop(lambda t, *g: t < steps - 1, lambda t, *g: (t + 1, *step(g)), (tf.constant(0), *populations))
    collided, g = _step(g, walls, distance, faces, relaxation, length)
    force = 0.0
    for k, obstacle in enumerate(tf.unstack(obstacles)):
        # What leaves towards the obstacle and what comes back; pressure counts from that of the outlet.
        exchanged = tf.reduce_sum(tf.where(obstacle, collided[OPPOSITE[k + 1]] + g[k + 1], 0.0), axis=1)
        force += exchanged[:, None] * -DIRECTIONS[k + 1].astype(np.float32)
    _, u, v = _moments(g)
    moved = tf.sqrt(tf.reduce_sum((u - u0) ** 2 + (v - v0) ** 2, axis=1))
    return g, force, moved, tf.sqrt(tf.reduce_sum(u**2 + v**2, axis=1))


def _step(g, walls, distance, faces, relaxation, length):
    """Collide, then stream: the populations (9 of (slots, cells)) between the two, and after both."""
    density, u, v = _moments(g)
    even, odd = 0.5 * relaxation[0], 0.5 * relaxation[1]
    rest = density - 1.5 * (u * u + v * v)
    collided = [g[0] - 2 * even * (g[0] - WEIGHTS[0] * rest)]
    for i in (1, 3, 5, 7):
        along, across = map(float, DIRECTIONS[i])
        speed = along * u + across * v
        relaxed = even * (g[i] + g[i + 1] - 2 * WEIGHTS[i] * (rest + 4.5 * speed * speed))
        turned = odd * (g[i] - g[i + 1] - 6 * WEIGHTS[i] * speed)
        collided += [g[i] - relaxed - turned, g[i + 1] - relaxed + turned]
    streamed = [collided[0]] + [_stream(collided[i], DIRECTIONS[i], length) for i in range(1, 9)]

    sources, outlets, mean = faces
    if any(outlet is not None for outlet in outlets):
        # The outlet answers a plane wave as an endless channel would: pressure excess = impedance x velocity excess.
        # So it does not echo, and the mean pressure there is 0 once as much flows out as in.
        excess = (tf.reduce_mean(u[:, length - 1 :: length], axis=1, keepdims=True) - mean) / SOUND
    out = [streamed[0]]
    for i in range(1, 9):
        back, arrived = OPPOSITE[i], streamed[i]
        if outlets[i - 1] is not None:
            # Behind the outlet lies a column like the last one, but for the pressure.
            beyond = _stream(collided[i] + WEIGHTS[i] * (excess - density), (0, DIRECTIONS[i][1]), length)
            arrived = tf.where(outlets[i - 1], beyond, arrived)
        bounced = collided[back]
        if distance is not None:
            q = distance[i - 1]
            near = 2 * q * bounced + (1 - 2 * q) * streamed[back]
            far = (bounced + (2 * q - 1) * collided[i]) / (2 * q)
            bounced = tf.where(q < 0.5, near, far)
        if sources[i - 1] is not None:
            bounced += sources[i - 1]
        out.append(tf.where(walls[i - 1], bounced, arrived))
    return collided, out


def _stream(populations, direction, length):
    """Move by one cell. What comes around the end of a row meets a wall, the inlet or the outlet there."""
    shift = int(np.dot(direction, (1, length)))
    if shift > 0:
        return tf.pad(populations[:, :-shift], [[0, 0], [shift, 0]])
    return tf.pad(populations[:, -shift:], [[0, 0], [0, -shift]])
