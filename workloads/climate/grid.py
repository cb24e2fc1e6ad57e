"""Points of a map on the sphere: their positions, distances, and connected parts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

EARTH_RADIUS_KM = 6371.0
DEGREE_KM = EARTH_RADIUS_KM * np.pi / 180


@dataclass(frozen=True)
class Grid:
    """A global grid of latitudes from south to north and longitudes all the way round.

    Parameters
    ----------
    height, width : int
        Number of latitudes and of longitudes. The published grid has 768 x 1152.
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
        """Return rows and columns, as index arrays, of a window of `degrees` to each side, also round the date line."""
        dy, dx = self.spacing
        row, column = (latitude + 90) / dy - 0.5, longitude / dx
        rows = np.arange(max(0, int(np.ceil(row - degrees / dy))), min(self.height, int(row + degrees / dy) + 1))
        wide = min(degrees / dx, (self.width - 1) / 2)
        columns = np.arange(int(np.ceil(column - wide)), int(np.floor(column + wide)) + 1) % self.width
        return rows, columns


def distance(latitude: ArrayLike, longitude: ArrayLike, to_latitude: float, to_longitude: float) -> np.ndarray:
    """Return the great-circle distance from any points to one point, all in degrees of arc (haversine formula)."""
    phi, to_phi = np.radians(latitude), np.radians(to_latitude)
    half = np.sin((phi - to_phi) / 2) ** 2
    half = half + np.cos(phi) * np.cos(to_phi) * np.sin(np.radians(np.subtract(longitude, to_longitude)) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(np.minimum(half, 1))))


def components(mask: np.ndarray, round_the_world: bool = True) -> tuple[np.ndarray, int]:
    """Return the connected parts of a mask, over the eight neighbours of a point.

    Parameters
    ----------
    mask : array (H, W), bool
        Mask to split.
    round_the_world : bool
        Whether the last column is a neighbour of the first.

    Returns
    -------
    labels : array (H, W), int32
        0 outside the mask, and 1, 2, ... in its parts, in the order of their first points.
    count : int
        Number of parts.
    """
    label: Any = ndimage.label
    if not round_the_world:
        return label(mask, np.ones((3, 3)))
    # The first column is repeated after the last: parts that have it in both places are one.
    labels, count = label(np.concatenate([mask, mask[:, :1]], axis=1), np.ones((3, 3)))
    pairs = coo_array((np.ones(len(mask)), (labels[:, 0], labels[:, -1])), (count + 1, count + 1))
    count, part_of = connected_components(pairs, directed=False)
    return part_of[labels[:, :-1]], count - 1
