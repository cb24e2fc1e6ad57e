"""Atmospheric rivers, by the published rule: long and narrow regions of strong transport of water vapour.

python -m workloads.climate.rivers FILE.nc      those of a field of integrated vapour transport (netCDF-3, variable IVT)

The points where the damped transport is above a percentile of the transport of the whole map form connected parts. A
part is a river if the diagonal of its box is long enough and it is narrow enough.

References
----------
The code of SC18, semanticsegm in https://github.com/azrael417/ClimDeepLearn: the damping, the flood fill, and 1,500 km.
Its percentile was 95 in early versions and 92 in later ones; the limit of the width is that of TECA's detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from launch import errors
from launch.errors import Refusal
from workloads.climate.grid import DEGREE_KM, components, distance

PERCENTILE = 94.0  # of the transport, above which points may belong to a river
TROPICS_DEGREES = 10.0  # width of the Gaussian that damps the transport at the equator
LONGER_THAN_KM = 1500.0  # length: diagonal of the box
NARROWER_THAN_KM = 1000.0  # width: area over length


def transport(u850: np.ndarray, v850: np.ndarray, qrefht: np.ndarray) -> np.ndarray:
    """Return the published substitute for integrated vapour transport: wind at 850 hPa times humidity at 2 m.

    Parameters
    ----------
    u850, v850 : array (H, W)
        Wind, m/s.
    qrefht : array (H, W)
        Specific humidity, kg/kg.

    Returns
    -------
    array (H, W), m/s
    """
    return np.hypot(u850, v850) * qrefht


def rivers(ivt: np.ndarray, latitudes: np.ndarray, longitudes: np.ndarray) -> np.ndarray:
    """Return the atmospheric rivers of a map.

    Parameters
    ----------
    ivt : array (H, W)
        Vapour transport in any unit, of the whole globe.
    latitudes, longitudes : array (H,) and (W,)
        Positions of rows and columns, in degrees.

    Returns
    -------
    array (H, W), int32
        0 outside, and 1, 2, ... in the rivers.

    Raises
    ------
    Refusal
        If a value is not finite.
    """
    for name, values in (("vapour transport", ivt), ("latitudes", latitudes), ("longitudes", longitudes)):
        if not np.isfinite(values).all():
            place = ", ".join(str(int(axis[0])) for axis in np.nonzero(~np.isfinite(values)))
            raise Refusal(f"the map's {name} at {place} is not finite: give a map in which all values are")
    damping = 1 - np.exp(-(latitudes**2) / (2 * TROPICS_DEGREES**2))
    labels, count = components(ivt * damping[:, None] > np.percentile(ivt, PERCENTILE))
    dy, dx = abs(latitudes[1] - latitudes[0]), abs(longitudes[1] - longitudes[0])
    area_km2 = np.cos(np.radians(latitudes)) * dy * dx * DEGREE_KM**2
    rows_and_parts = labels + (count + 1) * np.arange(len(ivt))[:, None]
    points = np.bincount(rows_and_parts.ravel(), minlength=(count + 1) * len(ivt)).reshape(len(ivt), count + 1)
    kept, number = np.zeros(count + 1, np.int32), 0
    for part in range(1, count + 1):
        rows, columns = np.nonzero(points[:, part])[0], np.nonzero((labels == part).any(axis=0))[0]
        length = DEGREE_KM * distance(latitudes[rows[0]], 0.0, latitudes[rows[-1]], extent(longitudes[columns], dx))
        if length > LONGER_THAN_KM and points[:, part] @ area_km2 / length < NARROWER_THAN_KM:
            number += 1
            kept[part] = number
    return kept[labels]


def extent(longitudes: np.ndarray, spacing: float) -> float:
    """Return how many degrees some longitudes span, at most 180, also across the date line."""
    gaps = np.diff(longitudes, append=longitudes[0] + 360)
    return float(min(360 - max(gaps.max(), spacing), 180))


def read(path: Path, names: Sequence[str] = ("IVT", "lat", "lon")) -> list[np.ndarray]:
    """Return some variables of a classic netCDF file, in the machine's byte order.

    Raises
    ------
    Refusal
        If it is not such a file, is damaged, or lacks the variables.
    """
    from scipy.io import netcdf_file

    try:
        with open(path, "rb") as file:
            if file.read(3) != b"CDF":
                raise Refusal(f"{path} is not a classic netCDF file: give one, or convert it with nccopy -k classic")
            file.seek(0)
            variables = netcdf_file(file, mmap=False).variables
    except OSError as error:
        raise Refusal(f"{path} cannot be read ({error.strerror}): give a netCDF file") from None
    except Refusal:
        raise
    except Exception:  # a damaged header can make SciPy raise anything
        raise Refusal(f"{path} is cut short or damaged: fetch it again") from None
    if missing := [name for name in names if name not in variables]:
        there = ", ".join(sorted(variables)) or "none"
        raise Refusal(f"{path} has no variable {missing[0]} (there are: {there}): give a file with {', '.join(names)}")
    arrays = [np.asarray(variables[name].data) for name in names]
    return [array.astype(array.dtype.newbyteorder("=")) for array in arrays]


def main(argv: Sequence[str]) -> None:
    """Print the rivers in a file."""
    if len(argv) != 1 or argv[0].startswith("-"):
        raise Refusal("rivers are looked for in one field: python -m workloads.climate.rivers FILE.nc")
    ivt, latitudes, longitudes = read(Path(argv[0]))
    size = len(latitudes), len(longitudes)
    if ivt.size != size[0] * size[1] or ivt.shape[-2:] != size or min(size) < 2:
        raise Refusal(f"{argv[0]} has IVT of shape {ivt.shape}, lat of {size[0]} and lon of {size[1]}: give one map")
    ivt = ivt.reshape(size)
    labels = rivers(ivt, latitudes, longitudes)
    for number in range(1, labels.max() + 1):
        inside = labels == number
        rows = np.nonzero(inside.any(axis=1))[0]
        print(
            f"river {number}: {inside.sum()} points, latitudes {latitudes[rows[0]]:g} to {latitudes[rows[-1]]:g}, "
            f"mean transport {ivt[inside].mean():.0f}"
        )
    print(f"{labels.max()} rivers, {(labels > 0).mean():.2%} of the points")


if __name__ == "__main__":
    errors.run(main)
