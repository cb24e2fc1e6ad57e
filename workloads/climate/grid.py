"""Points of a map on the sphere: where they are, how far apart, what is connected."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

EARTH_RADIUS_KM = 6371.0
DEGREE_KM = EARTH_RADIUS_KM * np.pi / 180


@dataclass(frozen=True)
class Grid:
    """A global grid of latitudes from south to north and longitudes all the way round.

    Parameters
    ----------
    height, width : int
        Latitudes and longitudes. The published one has 768 x 1152.
    """

    height: int
    width: int

    @cached_property
    def latitudes(self) -> np.ndarray:
        """Degrees north, (height,), in the middle of each row."""
        return (np.arange(self.height) + 0.5) * 180 / self.height - 90

    @cached_property
    def longitudes(self) -> np.ndarray:
        """Degrees east, (width,), from 0."""
        return np.arange(self.width) * 360 / self.width

    @property
    def spacing(self) -> tuple[float, float]:
        """Degrees between rows and between columns."""
        return 180 / self.height, 360 / self.width

    def around(self, latitude: float, longitude: float, degrees: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns, as index arrays of a window of `degrees` to each side, round the date line where needed."""
        dy, dx = self.spacing
        row, column = (latitude + 90) / dy - 0.5, longitude / dx
        rows = np.arange(max(0, int(np.ceil(row - degrees / dy))), min(self.height, int(row + degrees / dy) + 1))
        wide = min(degrees / dx, (self.width - 1) / 2)
        columns = np.arange(int(np.ceil(column - wide)), int(np.floor(column + wide)) + 1) % self.width
        return rows, columns


def distance(latitude: np.ndarray, longitude: np.ndarray, to_latitude: float, to_longitude: float) -> np.ndarray:
    """Great-circle distance in degrees of arc, of any arrays of degrees (haversine formula)."""
    phi, to_phi = np.radians(latitude), np.radians(to_latitude)
    half = np.sin((phi - to_phi) / 2) ** 2
    half = half + np.cos(phi) * np.cos(to_phi) * np.sin(np.radians(longitude - to_longitude) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(np.minimum(half, 1))))


def components(mask: np.ndarray, round_the_world: bool = True) -> tuple[np.ndarray, int]:
    """Connected parts of a mask: a flood fill of each, over the eight neighbours of a point.

    Parameters
    ----------
    mask : array (H, W), bool
        What to part.
    round_the_world : bool
        The last column is a neighbour of the first.

    Returns
    -------
    labels : array (H, W), int32
        0 outside the mask, and 1, 2, ... in its parts, in the order of their first points.
    count : int
        How many there are.
    """
    # Runs of each row rather than points: there are few of them.
    height, width = mask.shape
    edges = np.diff(np.pad(mask.astype(np.int8), [(0, 0), (1, 1)]), axis=1)
    rows, starts = np.nonzero(edges == 1)
    stops = np.nonzero(edges == -1)[1]
    parent = list(range(len(rows)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    def join(one: int, other: int) -> None:
        one, other = root(one), root(other)
        parent[max(one, other)] = min(one, other)

    first = np.searchsorted(rows, np.arange(height + 1))
    for row in range(height):
        own = range(first[row], first[row + 1])
        below = range(first[row + 1], first[row + 2]) if row + 1 < height else range(0)
        for run in own:
            for other in below:
                if starts[other] <= stops[run] and starts[run] <= stops[other]:  # corners touch, too
                    join(run, other)
        if round_the_world:
            near = [*own, *below, *(range(first[row - 1], first[row]) if row else ())]
            for run in own:
                if starts[run] == 0:
                    for other in near:
                        if stops[other] == width:
                            join(run, other)
    roots = np.array([root(run) for run in range(len(rows))], dtype=np.int64)
    kept, numbers = np.unique(roots, return_inverse=True)
    labels = np.zeros(mask.shape, np.int32)
    for row, start, stop, number in zip(rows, starts, stops, numbers):
        labels[row, start:stop] = number + 1
    return labels, len(kept)
