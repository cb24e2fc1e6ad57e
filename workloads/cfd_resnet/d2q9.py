"""Steps of the D2Q9 lattice with two relaxation times, compiled by Numba for one core: collide and stream, then links.

The populations of a flow are one array of 9 parts. Each part has the cells row after row between two margins, so a step
to a neighbour is a shift. All cells are treated alike, including walls and ends of rows, so a processor handles 16 at a
time. Then the few populations that met a wall, the inlet or the outlet are corrected one by one.
"""

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

# In pairs: the opposite of i is i + 1 for odd i, i - 1 for even i > 0. Columns: along (axis 1), across (axis 0).
DIRECTIONS = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)])
WEIGHTS = np.array([4 / 9] + [1 / 9] * 4 + [1 / 36] * 4)
OPPOSITE = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7])
SOUND = 3**-0.5  # speed of sound, cells per step

_compiling = threading.Lock()


@dataclass(frozen=True, slots=True)
class Lattice:
    """The memory layout of the populations of a flow.

    Parameters
    ----------
    height, length : int
        Number of cells across and along the channel.
    """

    height: int
    length: int

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.height * self.length

    @property
    def margin(self) -> int:
        """Margin before and after the cells: as far as a population can move."""
        return self.length + 1

    @property
    def stride(self) -> int:
        """Distance from one direction's populations to the next one's."""
        return self.cells + 2 * self.margin

    def shift(self, i: int) -> int:
        """Return how far a population in direction i moves in memory."""
        return int(np.dot(DIRECTIONS[i], (1, self.length)))

    def at(self, i: int, cells: np.ndarray) -> np.ndarray:
        """Return the indices of the populations in direction i in some cells, int32."""
        return (i * self.stride + self.margin + cells).astype(np.int32)

    def grids(self, populations: np.ndarray) -> np.ndarray:
        """Return the populations as arranged in the channel: a view (9, H, L)."""
        inner = populations.reshape(9, self.stride)[:, self.margin : self.margin + self.cells]
        return inner.reshape(9, self.height, self.length)


@dataclass(frozen=True, slots=True)
class Links:
    """Links on which a population meets a boundary; arrays (n,), float32, and int32 for indices after streaming.

    Parameters
    ----------
    place : array
        Index of the corrected population: ``own * (population at one) + more * (population at other) + source``.
    one, other : array
        Indices of the two populations in that formula.
    own, more, source : array
        Factors and constant in that formula.
    """

    place: np.ndarray
    one: np.ndarray
    other: np.ndarray
    own: np.ndarray
    more: np.ndarray
    source: np.ndarray


@dataclass(frozen=True, slots=True)
class Outlet:
    """Links that enter through the last column: arrays (n,), and the velocity at the inlet.

    Parameters
    ----------
    place : array, int32
        Index of the population.
    beyond : array, int32
        Index, after streaming, of the population of the cell behind the outlet: that of the last column.
    row : array, int32
        Row of that cell.
    weight : array, float32
        Lattice weight of the direction.
    mean : float32
        Mean velocity at the inlet.
    """

    place: np.ndarray
    beyond: np.ndarray
    row: np.ndarray
    weight: np.ndarray
    mean: np.float32


def moments(g):
    """Return density (its deviation from 1) and momentum, along and across."""
    density = g[0] + (g[1] + g[2]) + (g[3] + g[4]) + (g[5] + g[6]) + (g[7] + g[8])
    u = (g[1] - g[2]) + (g[5] - g[6]) + (g[7] - g[8])
    v = (g[3] - g[4]) + (g[5] - g[6]) - (g[7] - g[8])
    return density, u, v


def advance(
    lattice: Lattice,
    populations: np.ndarray,
    spare: np.ndarray,
    links: Links,
    outlet: Outlet,
    relaxation: tuple[float, float],
    steps: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take some steps with one flow.

    Parameters
    ----------
    lattice : Lattice
        The layout of the flow.
    populations, spare : array (9 * stride,), float32
        The populations, and a buffer of the same size; both are overwritten. Unreached elements are 0 in both.
    links, outlet
        Links on which the populations meet a boundary.
    relaxation : tuple of float
        Relaxation rates of the even and of the odd moments.
    steps : int
        Number of steps.

    Returns
    -------
    populations, spare : array
        The same two arrays, in their new order.
    exchanged : array (n,), float32
        Sum of what arrived at each of ``links`` in the last step and what left it.
    """
    run = _compiled(lattice)
    exchanged = np.zeros(len(links.place), np.float32)
    run(
        populations, spare, *(getattr(links, name) for name in Links.__slots__), exchanged,
        outlet.place, outlet.beyond, outlet.row, outlet.weight, outlet.mean,
        np.float32(relaxation[0] / 2), np.float32(relaxation[1] / 2), steps,
    )  # fmt: skip
    return (spare, populations, exchanged) if steps % 2 else (populations, spare, exchanged)


def _compiled(lattice: Lattice) -> Callable:
    with _compiling:  # several threads may ask for the same
        return _compile(lattice)


@functools.cache
def _compile(lattice: Lattice) -> Callable:
    """Compile the steps for a lattice. With constant shifts the compiler knows that reads and writes do not overlap."""
    cells, length = lattice.cells, lattice.length
    a0, a1, a2, a3, a4, a5, a6, a7, a8 = (int(lattice.at(i, np.array(0))) for i in range(9))
    b0, b1, b2, b3, b4, b5, b6, b7, b8 = (int(lattice.at(i, np.array(lattice.shift(i)))) for i in range(9))
    w0, w1, w5 = (np.float32(WEIGHTS[i]) for i in (0, 1, 5))
    two, three_halves, nine_halves, six = (np.float32(x) for x in (2, 1.5, 4.5, 6))
    sound = np.float32(SOUND)

    @numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")
    def collide_and_stream(f, to, even, odd):
        for c in range(cells):
            g0, g1, g2, g3, g4 = f[a0 + c], f[a1 + c], f[a2 + c], f[a3 + c], f[a4 + c]
            g5, g6, g7, g8 = f[a5 + c], f[a6 + c], f[a7 + c], f[a8 + c]
            u = (g1 - g2) + (g5 - g6) + (g7 - g8)
            v = (g3 - g4) + (g5 - g6) - (g7 - g8)
            density = g0 + (g1 + g2) + (g3 + g4) + (g5 + g6) + (g7 + g8)
            rest = density - three_halves * (u * u + v * v)
            to[b0 + c] = g0 - two * even * (g0 - w0 * rest)
            relaxed = even * (g1 + g2 - two * w1 * (rest + nine_halves * u * u))
            turned = odd * (g1 - g2 - six * w1 * u)
            to[b1 + c] = g1 - relaxed - turned
            to[b2 + c] = g2 - relaxed + turned
            relaxed = even * (g3 + g4 - two * w1 * (rest + nine_halves * v * v))
            turned = odd * (g3 - g4 - six * w1 * v)
            to[b3 + c] = g3 - relaxed - turned
            to[b4 + c] = g4 - relaxed + turned
            speed = u + v
            relaxed = even * (g5 + g6 - two * w5 * (rest + nine_halves * speed * speed))
            turned = odd * (g5 - g6 - six * w5 * speed)
            to[b5 + c] = g5 - relaxed - turned
            to[b6 + c] = g6 - relaxed + turned
            speed = u - v
            relaxed = even * (g7 + g8 - two * w5 * (rest + nine_halves * speed * speed))
            turned = odd * (g7 - g8 - six * w5 * speed)
            to[b7 + c] = g7 - relaxed - turned
            to[b8 + c] = g8 - relaxed + turned

    @numba.njit(nogil=True, error_model="numpy")
    def step(
        f, to, place, one, other, own, more, source, exchanged, left, beyond, row, weight, mean, even, odd, fixed, ends
    ):
        excess = np.float32(0)
        rows = ends.size
        if left.size:
            # The outlet answers a plane wave like an endless channel: pressure excess = impedance x velocity excess. So
            # it reflects nothing, and the mean pressure there is 0 once as much flows out as in.
            for r in range(rows):
                c = r * length + length - 1
                excess += (f[a1 + c] - f[a2 + c]) + (f[a5 + c] - f[a6 + c]) + (f[a7 + c] - f[a8 + c])
                ends[r] = (
                    f[a0 + c] + (f[a1 + c] + f[a2 + c]) + (f[a3 + c] + f[a4 + c]) + (f[a5 + c] + f[a6 + c])
                    + (f[a7 + c] + f[a8 + c])
                )  # fmt: skip
            excess = (excess / np.float32(rows) - mean) / sound
        collide_and_stream(f, to, even, odd)
        # All are read before any is written: at the ends of a row, links use each other's populations.
        n = place.size
        for k in range(n):
            fixed[k] = own[k] * to[one[k]] + more[k] * to[other[k]] + source[k]
            exchanged[k] = to[one[k]]
        for k in range(left.size):
            # The column behind the outlet is like the last one, except for the pressure.
            fixed[n + k] = to[beyond[k]] + weight[k] * (excess - ends[row[k]])
        for k in range(n):
            to[place[k]] = fixed[k]
        for k in range(left.size):
            to[left[k]] = fixed[n + k]

    @numba.njit(nogil=True)
    def run(f, to, place, one, other, own, more, source, exchanged, left, beyond, row, weight, mean, even, odd, steps):
        fixed, ends = np.empty(place.size + left.size, np.float32), np.empty(cells // length, np.float32)
        for _ in range(steps):
            step(
                f, to, place, one, other, own, more, source, exchanged, left, beyond, row, weight, mean, even, odd,
                fixed, ends,
            )  # fmt: skip
            f, to = to, f
        exchanged += fixed[: place.size]

    return run
