"""The solver against published results: Poiseuille flow, Ghia's lid-driven cavity, Schaefer and Turek's cylinder.

python -m workloads.cfd_resnet.validation           the table, at the size of the tests; about a minute
python -m workloads.cfd_resnet.validation --full    at full size

References
----------
Ghia, Ghia, Shin: J. Comput. Phys. 48 (1982) 387, tables I and II. Botella, Peyret: Computers & Fluids
27 (1998) 421. Schaefer, Turek: Notes on Numerical Fluid Mechanics 52 (1996) 547, case 2D-1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from launch.plan import options
from workloads.cfd_resnet.channel import Case
from workloads.cfd_resnet.d2q9 import DIRECTIONS
from workloads.cfd_resnet.lattice_boltzmann import solve

# Re 100: velocity along the lid's direction on the vertical centre line, and across it on the horizontal one (positive
# towards the lid), over the lid's velocity; distances from the wall opposite the lid and from the left, over the side.
GHIA_Y = (
    0, 0.0547, 0.0625, 0.0703, 0.1016, 0.1719, 0.2813, 0.4531, 0.5, 0.6172, 0.7344, 0.8516, 0.9531, 0.9609,
    0.9688, 0.9766, 1,
)  # fmt: skip
GHIA_U = (
    0, -0.03717, -0.04192, -0.04775, -0.06434, -0.10150, -0.15662, -0.21090, -0.20581, -0.13641, 0.00332,
    0.23151, 0.68717, 0.73722, 0.78871, 0.84123, 1,
)  # fmt: skip
GHIA_X = (
    0, 0.0625, 0.0703, 0.0781, 0.0938, 0.1563, 0.2266, 0.2344, 0.5, 0.8047, 0.8594, 0.9063, 0.9453, 0.9531,
    0.9609, 0.9688, 1,
)  # fmt: skip
GHIA_V = (
    0, 0.09233, 0.10091, 0.10890, 0.12317, 0.16077, 0.17507, 0.17527, 0.05454, -0.24533, -0.22445, -0.16914,
    -0.10313, -0.08864, -0.07391, -0.05906, 0,
)  # fmt: skip
# Extremes on the centre lines at Re 100, by a spectral method (Botella & Peyret 1998). Ghia's table is 1 to 3 % off.
SPECTRAL = {"least u": -0.2140424, "least v": -0.2538030, "greatest v": 0.1795728}
# Case 2D-1: drag and lift coefficient, recirculation length (m), pressure drop over the cylinder (Pa / (kg/m^3)).
TUREK = {
    "drag": (5.57, 5.59),
    "lift": (0.0104, 0.0110),
    "recirculation": (0.0842, 0.0852),
    "pressure": (0.1172, 0.1176),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    case: str
    quantity: str
    value: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Relative distance from the middle of the reference interval; the value itself if the reference is 0."""
        middle = (self.low + self.high) / 2
        return self.value / middle - 1 if middle else self.value


def poiseuille(height: int) -> list[Row]:
    """Run a channel at Re 16: error of the velocity (L2, relative), pressure gradient over the analytic one."""
    u_max = 0.8 / height  # with nu fixed: the Mach number falls as the cells shrink
    case = Case(height, 3 * height, 0.05, u_max=u_max)
    flow = solve(case, np.zeros((1, height, 3 * height)), tolerance=1e-5, most=200_000)[0]
    exact = case.inlet(np.arange(height) + 0.5)[:, None]
    pressure = flow.pressure.mean(axis=0)
    gradient = (pressure[2 * height] - pressure[height]) / height / (-8 * case.nu * u_max / height**2)
    name = f"Poiseuille, {height} cells"
    error = np.sqrt(((flow.u - exact) ** 2 + flow.v**2).mean() / (exact**2).mean())
    return [Row(name, "velocity error", error, 0, 0), Row(name, "pressure gradient", gradient, 1, 1)]


def cavity(side: int) -> list[Row]:
    """Run the lid-driven cavity at Re 100: largest distances from Ghia's values, extremes, over the lid's velocity."""
    lid = 0.1
    case = Case(side, side, lid * side / 100, lid=lid)
    flow = solve(case, np.zeros((1, side, side)), tolerance=1e-5, most=200_000)[0]
    middle = slice((side - 1) // 2, side // 2 + 1)
    centres = np.concatenate([[0], (np.arange(side) + 0.5) / side, [1]])
    u = np.concatenate([[0], flow.u[::-1, middle].mean(axis=1) / lid, [1]])  # row 0 lies under the lid
    v = np.concatenate([[0], -flow.v[middle].mean(axis=0) / lid, [0]])
    name = f"cavity, Re 100, {side} cells"
    extremes = {"least u": u.min(), "least v": v.min(), "greatest v": v.max()}
    return [
        Row(name, "u, largest error", abs(np.interp(GHIA_Y, centres, u) - GHIA_U).max(), 0, 0),
        Row(name, "v, largest error", abs(np.interp(GHIA_X, centres, v) - GHIA_V).max(), 0, 0),
        *(Row(name, key, value, SPECTRAL[key], SPECTRAL[key]) for key, value in extremes.items()),
    ]


def cylinder(cells: int, u_max: float = 0.1) -> list[Row]:
    """Run Schaefer and Turek's case 2D-1 (Re 20) with some cells over the diameter."""
    height, length, radius, centre = round(4.1 * cells), 22 * cells, cells / 2, 2.0 * cells
    mean = 2 / 3 * u_max
    y, x = np.mgrid[:height, :length] + 0.5 - centre
    solid = np.hypot(x, y) < radius
    flow = solve(
        Case(height, length, mean * cells / 20, u_max=u_max), solid[None], tolerance=1e-4, most=400_000,
        distance=circle_distance(x, y, radius)[None],
    )[0]  # fmt: skip
    row = 2 * cells  # the axis lies between this row and the one before
    u, pressure = flow.u[row - 1 : row + 1].mean(axis=0), flow.pressure[row - 1 : row + 1].mean(axis=0)
    front, rear = round(centre - radius), round(centre + radius)
    back = rear + int(np.argmax(u[rear:] > 0))
    zero = back + 0.5 - u[back] / (u[back] - u[back - 1])  # where u changes sign, between two cells' centres
    drop = 1.5 * pressure[front - 1] - 0.5 * pressure[front - 2] - (1.5 * pressure[rear] - 0.5 * pressure[rear + 1])
    drag, lift = 2 * flow.force / (mean**2 * cells)
    values = {
        "drag": drag,
        "lift": lift,
        "recirculation": (zero - centre - radius) * 0.1 / cells,
        "pressure": drop * (0.2 / mean) ** 2,
    }
    return [Row(f"cylinder 2D-1, {cells} cells", name, value, *TUREK[name]) for name, value in values.items()]


def circle_distance(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Return where links cross a circle around 0, for `Batch.put`: array (9, H, L) for cells at x, y (H, L)."""
    distance = np.full((9, *x.shape), np.nan)
    for i in range(1, 9):
        along, across = DIRECTIONS[i]
        # |(x, y) - t c| = radius: the smaller root is the first crossing.
        a, b, c = along**2 + across**2, x * along + y * across, x**2 + y**2 - radius**2
        with np.errstate(invalid="ignore"):
            distance[i] = (b - np.sqrt(b**2 - a * c)) / a
    distance[(distance <= 0) | (distance > 1)] = np.nan
    return distance


def table(full: bool) -> Iterator[Row]:
    """Yield the rows of all cases, at the size of the tests or at full size."""
    for height in (16, 32, 64) if full else (16, 32):
        yield from poiseuille(height)
    yield from cavity(128 if full else 64)
    for cells in (10, 20, 30) if full else (10,):
        yield from cylinder(cells)


@dataclass(frozen=True, slots=True)
class Arguments:
    """The options of ``python -m workloads.cfd_resnet.validation``."""

    full: bool = False  # at full size: about ten minutes on one core


def main(argv: Sequence[str]) -> None:
    """Print the table."""
    arguments = Arguments(**options.of_command(Arguments, argv, __doc__, "workloads.cfd_resnet.validation"))
    print("| case | quantity | solver | reference | error |\n|---|---|---|---|---|")
    for row in table(arguments.full):
        reference = f"{row.low:g}" if row.low == row.high else f"{row.low:g} to {row.high:g}"
        print(f"| {row.case} | {row.quantity} | {row.value:.5g} | {reference} | {row.error:+.2%} |", flush=True)


if __name__ == "__main__":
    from launch import errors

    errors.run(main)
