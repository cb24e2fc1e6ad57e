"""Tropical cyclones, by rules like those of TECA: candidates at each time, tracks in time, and the points of each.

A candidate has a maximum of cyclonic vorticity, a closed low and a warm core, all close together. Candidates that
follow each other are a track, and a track with strong wind for long enough is a cyclone. Its points are the largest
connected region of high rain, water vapour or wind in a box round its centre.

References
----------
Prabhat et al., "TECA: A Parallel Toolkit for Extreme Climate Analysis", Procedia Computer Science 9, 2012; the
thresholds are the defaults of its detector. The mask is that of the code of SC18, semanticsegm/create_dataset in
https://github.com/azrael417/ClimDeepLearn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workloads.climate.grid import DEGREE_KM, Grid, components, distance
from workloads.climate.published import CHANNELS

VORTICITY = 1.6e-4  # 1/s, at 850 hPa
VORTICITY_WINDOW_DEGREES = 7.75  # the centre has the largest vorticity within this distance
PRESSURE_RISE_PA = 400.0  # rise of the sea level pressure that is required in every direction
WARMER_K = 0.8  # than the surroundings, required in every direction, between 500 and 200 hPa
WITHIN_DEGREES = 5.0  # distance from the centre within which both have to hold
APART_DEGREES = 2.0  # largest distance of the centres of vorticity, pressure and warmth; a grid point on coarser grids
STRONG_WIND = 17.0  # m/s, at the lowest level
LASTING_HOURS = 48.0  # least time with strong wind
FASTEST_KM_PER_DAY = 1600.0
BOX_DEGREES = 6.6  # half width of the box, beyond the radius of strong wind
BOX_PERCENTILE = 93.0
BOX_CHANNELS = ("TMQ", "U850", "V850", "PRECT")


@dataclass(frozen=True)
class Candidate:
    """A possible cyclone at one time."""

    latitude: float  # position of the lowest pressure, degrees
    longitude: float
    wind: float  # strongest wind at the lowest level, m/s
    radius: float  # radius within which the mean wind round the centre is strong, degrees


def candidates(fields: np.ndarray, grid: Grid) -> list[Candidate]:
    """Return the possible cyclones in a map.

    Parameters
    ----------
    fields : array (H, W, 16)
        Fields in the units of `published.CHANNELS`.
    grid : Grid
        The grid of the map.
    """
    channel = {name: fields[..., place].astype(np.float64) for place, name in enumerate(CHANNELS)}
    cyclonic = vorticity(channel["U850"], channel["V850"], grid) * np.sign(grid.latitudes)[:, None]
    warmth = (channel["T200"] + channel["T500"]) / 2
    wind = np.hypot(channel["UBOT"], channel["VBOT"])
    apart = max(APART_DEGREES, float(np.hypot(*grid.spacing)))
    centres: list[tuple[float, float]] = []
    kept = []
    rows, columns = np.nonzero(cyclonic >= VORTICITY)
    for place in np.argsort(-cyclonic[rows, columns], kind="stable"):
        centre = float(grid.latitudes[rows[place]]), float(grid.longitudes[columns[place]])
        if any(distance(*other, *centre) <= VORTICITY_WINDOW_DEGREES / 2 for other in centres):
            continue
        centres.append(centre)
        low = _extremum(-channel["PSL"], grid, centre)
        core = _extremum(warmth, grid, low)
        if (
            distance(*centre, *low) <= apart
            and distance(*core, *low) <= apart
            and _falls_off(-channel["PSL"], grid, low, PRESSURE_RISE_PA)
            and _falls_off(warmth, grid, core, WARMER_K)
        ):
            kept.append(Candidate(*low, *_winds(wind, grid, low)))
    return kept


def vorticity(u: np.ndarray, v: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the relative vorticity of a wind, 1/s, by central differences; 0 in the first and last row."""
    cosine = np.cos(np.radians(grid.latitudes))[:, None]
    dy, dx = grid.spacing[0] * DEGREE_KM * 1e3, grid.spacing[1] * DEGREE_KM * 1e3 * cosine  # metres
    curl = (np.roll(v, -1, axis=1) - np.roll(v, 1, axis=1)) / (2 * dx)
    curl[1:-1] -= (u[2:] * cosine[2:] - u[:-2] * cosine[:-2]) / (2 * dy * cosine[1:-1])
    curl[[0, -1]] = 0
    return curl


def tracks(times: Sequence[Sequence[Candidate]], hours: float) -> list[list[tuple[int, Candidate]]]:
    """Return the cyclones: candidates that follow each other, with strong wind for long enough.

    Parameters
    ----------
    times : sequence of lists of Candidate
        The candidates of each time.
    hours : float
        Time between two maps.

    Returns
    -------
    list of lists of (time, Candidate)
        One list per cyclone, with only the times of strong wind.
    """
    reach = FASTEST_KM_PER_DAY / DEGREE_KM * hours / 24
    running: list[list[tuple[int, Candidate]]] = []
    ended = []
    for time, present in enumerate(times):
        pairs = sorted(
            (float(distance(track[-1][1].latitude, track[-1][1].longitude, one.latitude, one.longitude)), i, j)
            for i, track in enumerate(running) for j, one in enumerate(present)
        )  # fmt: skip
        followed: dict[int, int] = {}
        for apart, i, j in pairs:
            if apart <= reach and i not in followed and j not in followed.values():
                followed[i] = j
        ended += [track for i, track in enumerate(running) if i not in followed]
        running = [[*running[i], (time, present[j])] for i, j in followed.items()]
        running += [[(time, one)] for j, one in enumerate(present) if j not in followed.values()]
    strong = [[point for point in track if point[1].wind >= STRONG_WIND] for track in [*ended, *running]]
    return [track for track in strong if len(track) * hours >= LASTING_HOURS]


def paint(mask: np.ndarray, fields: np.ndarray, one: Candidate, grid: Grid, value: int) -> None:
    """Set the points of a cyclone in a map of labels.

    Parameters
    ----------
    mask : array (H, W)
        The map of labels, whose points are set to ``value``.
    fields : array (H, W, 16)
        Fields in the units of `published.CHANNELS`.
    one : Candidate
        The cyclone at the time of the fields.
    grid : Grid
        Grid of the map.
    value : int
        Class to set.
    """
    window = np.ix_(*grid.around(one.latitude, one.longitude, one.radius + BOX_DEGREES))
    high = np.zeros(mask[window].shape, bool)
    for name in BOX_CHANNELS:
        box = fields[..., CHANNELS.index(name)][window]
        high |= box > np.percentile(box, BOX_PERCENTILE)
    parts, _ = components(high, round_the_world=False)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    rows, columns = np.nonzero(parts == sizes.argmax())
    mask[window[0][rows, 0], window[1][0, columns]] = value


def _window(values: np.ndarray, grid: Grid, centre: tuple[float, float]) -> tuple[np.ndarray, ...]:
    """Return values, distances, latitudes and longitudes of the points near a centre."""
    latitude, longitude = centre
    wide = WITHIN_DEGREES / max(np.cos(np.radians(min(abs(latitude) + WITHIN_DEGREES, 85))), 0.1)
    rows, columns = grid.around(latitude, longitude, wide)
    north, east = np.broadcast_arrays(grid.latitudes[rows][:, None], grid.longitudes[columns])
    apart = distance(north, east, latitude, longitude)
    near = apart <= WITHIN_DEGREES
    return values[np.ix_(rows, columns)][near], apart[near], north[near], east[near]


def _extremum(values: np.ndarray, grid: Grid, centre: tuple[float, float]) -> tuple[float, float]:
    """Return the position of the largest value near a centre."""
    near, _, north, east = _window(values, grid, centre)
    largest = near.argmax()
    return float(north[largest]), float(east[largest])


def _falls_off(values: np.ndarray, grid: Grid, centre: tuple[float, float], by: float) -> bool:
    """Return whether the values near a centre fall by this much from it in each of eight directions."""
    near, apart, north, east = _window(values, grid, centre)
    middle = near[apart.argmin()]
    across = ((east - centre[1] + 180) % 360 - 180) * np.cos(np.radians(centre[0]))
    octant = np.round(np.arctan2(north - centre[0], across) / (np.pi / 4)).astype(int) % 8
    outside = apart > 0.01
    return all((near[outside & (octant == one)] <= middle - by).any() for one in range(8))


def _winds(wind: np.ndarray, grid: Grid, centre: tuple[float, float]) -> tuple[float, float]:
    """Return the strongest wind near a centre, and the radius within which its mean round the centre is strong."""
    near, apart, _, _ = _window(wind, grid, centre)
    ring = np.round(apart / grid.spacing[0]).astype(int)
    means = np.bincount(ring, near) / np.maximum(np.bincount(ring), 1)
    strong = np.nonzero(means >= STRONG_WIND)[0]
    return float(near.max()), float(strong.max() * grid.spacing[0]) if len(strong) else 0.0
