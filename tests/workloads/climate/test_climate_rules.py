"""The rules that label the maps: on made-up maps with a known answer, on properties, and on a real field."""

import contextlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.io import netcdf_file

from launch.errors import Refusal
from workloads.climate import cyclones, rivers
from workloads.climate.cyclones import Candidate, candidates, paint, tracks, vorticity
from workloads.climate.grid import DEGREE_KM, Grid, components, distance
from workloads.climate.published import CHANNELS
from workloads.climate.storms import Jet, Vortex
from workloads.climate.weather import Weather

GRID = Grid(96, 144)
FINE = Grid(384, 576)


def flood(mask: np.ndarray, round_the_world: bool) -> np.ndarray:
    """Labels of connected parts, point by point."""
    height, width = mask.shape
    labels = np.zeros(mask.shape, int)
    for start in zip(*np.nonzero(mask)):
        if labels[start]:
            continue
        number, waiting = labels.max() + 1, [start]
        while waiting:
            row, column = waiting.pop()
            if labels[row, column] or not mask[row, column]:
                continue
            labels[row, column] = number
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    at = row + dy, (column + dx) % width if round_the_world else column + dx
                    if 0 <= at[0] < height and 0 <= at[1] < width:
                        waiting.append(at)
    return labels


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(2, 9))), st.booleans())
def test_components_are_those_of_a_flood_fill(mask: np.ndarray, round_the_world: bool):
    labels, count = components(mask, round_the_world)
    np.testing.assert_array_equal(labels, flood(mask, round_the_world))
    assert count == labels.max(initial=0)


@settings(max_examples=50, deadline=None)
@given(st.floats(-85, 85), st.floats(0, 359), st.floats(1, 20))
def test_a_window_holds_every_point_within_reach(latitude: float, longitude: float, degrees: float):
    rows, columns = GRID.around(latitude, longitude, degrees)
    assert len(set(columns)) == len(columns)
    north = np.abs(GRID.latitudes - latitude)
    east = np.abs((GRID.longitudes - longitude + 180) % 360 - 180)
    for found, apart in ((rows, north), (columns, east)):
        assert set(np.nonzero(apart < degrees - 1e-6)[0]) <= set(found) <= set(np.nonzero(apart < degrees + 1e-6)[0])


def test_distances_are_known():
    assert distance(0, 10, 0, 100) == pytest.approx(90)
    assert distance(-30, 0, 60, 0) == pytest.approx(90)
    assert DEGREE_KM * distance(40.6413, -73.7781, 51.47, -0.4543) == pytest.approx(5540, rel=0.01)  # JFK, Heathrow


def band(latitudes: tuple[float, float], longitudes: tuple[float, float]) -> np.ndarray:
    """Transport of 1 in a box, of 0.6 along the equator, where it is damped, and none elsewhere."""
    north = GRID.latitudes[:, None]
    ivt = np.where(np.abs(north) < 8, 0.6, 0.0) * np.ones(144)
    east = (GRID.longitudes - longitudes[0]) % 360
    ivt[(north > latitudes[0]) & (north < latitudes[1]) & (east < longitudes[1] - longitudes[0])] = 1
    return ivt


@pytest.mark.parametrize(
    ("latitudes", "longitudes", "count"),
    [
        ((30, 36), (40, 80), 1),
        ((-36, -30), (40, 80), 1),
        ((30, 36), (340, 380), 1),  # over the first meridian
        ((30, 36), (40, 50), 0),  # too short
        ((25, 45), (40, 80), 0),  # too wide
        ((-3, 3), (40, 80), 0),  # over the equator, where it is damped
    ],
)
def test_a_river_is_long_and_narrow_and_not_in_the_tropics(latitudes: tuple, longitudes: tuple, count: int):
    ivt = band(latitudes, longitudes)
    found = rivers.rivers(ivt, GRID.latitudes, GRID.longitudes)
    assert found.max() == count
    if count:
        np.testing.assert_array_equal(found > 0, ivt == 1)


def test_the_rivers_of_a_real_day(shared_data: Path, capsys: pytest.CaptureFixture):
    """MERRA-2, 2017-02-28: rivers of both hemispheres, none in the tropics, as many points as in the published labels or so."""
    path = shared_data / "climate" / "IWV_IVT_MERRA_20170228_00.nc"
    if not path.is_file():
        pytest.skip(f"no real field here: {path} is absent")
    ivt, latitudes, longitudes = rivers.read(path)
    assert (ivt.shape, latitudes.shape, longitudes.shape) == ((1, 361, 576), (361,), (576,))
    labels = rivers.rivers(ivt[0], latitudes, longitudes)
    assert labels.max() == 9
    assert (labels > 0).mean() == pytest.approx(0.0215, abs=1e-4)
    where = np.abs(latitudes[np.nonzero((labels > 0).any(axis=1))[0]])
    assert 20 < where.min() and where.max() < 65
    assert ivt[0][labels > 0].min() > 2 * ivt.mean()
    rivers.main([str(path)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "9 rivers, 2.15% of the points"


def netcdf(path: Path, **variables: np.ndarray) -> bytes:
    """A classic netCDF file, with a time axis that is unlimited."""
    with netcdf_file(path, "w") as file:
        for name, values in variables.items():
            axes = [(f"{name}{place}", length) for place, length in enumerate(values.shape)]
            axes = [("time", None), *axes[1:]] if values.ndim == 3 else axes
            for axis, length in axes:
                if axis not in file.dimensions:
                    file.createDimension(axis, length)
            file.createVariable(name, "f4", [axis for axis, _ in axes])[:] = values
    return path.read_bytes()


def test_the_rivers_of_a_file_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture):
    path, ivt = tmp_path / "field.nc", band((30, 36), (340, 380))
    netcdf(path, IVT=ivt[None], lat=GRID.latitudes, lon=GRID.longitudes)
    rivers.main([str(path)])
    (line, _) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"river 1: {(ivt == 1).sum()} points, latitudes ")


def test_a_file_that_is_damaged_or_has_no_field_is_refused_in_one_line(tmp_path: Path):
    lengths = {"lat": GRID.latitudes, "lon": GRID.longitudes}
    content = netcdf(tmp_path / "whole.nc", IVT=np.ones((1, GRID.height, GRID.width)), **lengths)
    netcdf(tmp_path / "two.nc", IVT=np.ones((2, GRID.height, GRID.width)), **lengths)
    netcdf(tmp_path / "none.nc", **lengths)
    (tmp_path / "short.nc").write_bytes(content[:3000])
    (tmp_path / "other.nc").write_bytes(b"\x89HDF\r\n\x1a\n")
    for name, said in (
        ("short", "is cut short or damaged: fetch it again"),
        ("other", "is not a classic netCDF file"),
        ("absent", "cannot be read"),
        ("none", r"has no variable IVT \(there are: lat, lon\)"),
        ("two", r"has IVT of shape \(2, "),
    ):
        with pytest.raises(Refusal, match=f"{name}.nc {said}"):
            rivers.main([str(tmp_path / f"{name}.nc")])
    random = np.random.default_rng(0)
    for _ in range(100):  # a damaged header: it can be read all the same, or is refused
        damaged = bytearray(content)
        for place in random.integers(4, 400, 3):
            damaged[place : place + 4] = random.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"abcd"])
        (tmp_path / "damaged.nc").write_bytes(damaged)
        with contextlib.suppress(Refusal):
            rivers.read(tmp_path / "damaged.nc")
    command = [sys.executable, "-m", "workloads.climate.rivers", str(tmp_path / "absent.nc")]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1


def calm(grid: Grid) -> Weather:
    """Weather without any storms."""
    weather = Weather(grid, 1, 8)
    weather.vortices, weather.jets = [], []
    return weather


def storm(**changes: float) -> Vortex:
    values = {
        "begin": -100.0, "life": 200.0, "latitude": 15.0, "longitude": 200.0, "eastward": 0.0, "poleward": 0.0,
        "fastest": 55.0, "radius_km": 150.0, "shape": 1.6, "core": 6.0, "rain": 4e-7,
    }  # fmt: skip
    return Vortex(**(values | changes))


def test_vorticity_of_a_turning_disc():
    """Solid rotation about the pole at the rate w has the vorticity 2 w sin(latitude)."""
    rate = 1e-5
    u = rate * DEGREE_KM * 1e3 * 180 / np.pi * np.cos(np.radians(FINE.latitudes))[:, None] * np.ones(576)
    found = vorticity(u, np.zeros_like(u), FINE)[1:-1, 0]
    np.testing.assert_allclose(found, 2 * rate * np.sin(np.radians(FINE.latitudes[1:-1])), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("grid", [GRID, FINE])
@pytest.mark.parametrize(("latitude", "longitude"), [(15.0, 200.0), (-18.3, 0.7)])
def test_a_cyclone_is_found_where_it_is(grid: Grid, latitude: float, longitude: float):
    weather = calm(grid)
    weather.vortices = [storm(latitude=latitude, longitude=longitude, radius_km=180.0)]
    (found,) = candidates(weather(0.0), grid)
    assert distance(found.latitude, found.longitude, latitude, longitude) < np.hypot(*grid.spacing)
    assert 30 < found.wind < 65
    assert 1 < found.radius <= cyclones.WITHIN_DEGREES + grid.spacing[0] / 2


@pytest.mark.parametrize(
    "changes",
    [{"core": -3.0}, {"core": 0.0}, {"fastest": 9.0}, {"fastest": 30.0, "radius_km": 900.0}],
    ids=["cold", "no core", "weak", "wide"],
)
def test_what_merely_resembles_a_cyclone_is_not_one(changes: dict[str, float]):
    weather = calm(GRID)
    weather.vortices = [storm(**({"radius_km": 180.0} | changes))]
    assert candidates(weather(0.0), GRID) == []


def test_a_track_is_followed_and_has_to_last():
    def at(longitude: float, wind: float = 20.0) -> Candidate:
        return Candidate(15.0, longitude % 360, wind, 1.0)

    steps = range(9)  # of 6 hours: 54 hours
    assert len(tracks([[at(359 + 0.5 * step)] for step in steps], 6.0)) == 1
    assert tracks([[at(200 + 0.5 * step)] for step in steps[:7]], 6.0) == []  # 42 hours
    assert tracks([[at(200 + 0.5 * step, 15.0)] for step in steps], 6.0) == []  # too weak
    assert tracks([[at(200 + 5.0 * step)] for step in steps], 6.0) == []  # too fast: 2,150 km a day
    assert len(tracks([[at(200 + 3.0 * step)] for step in steps], 6.0)) == 1  # 1,290 km a day
    two = tracks([[at(200 + step), at(220 - step)] for step in steps], 6.0)
    assert sorted(track[0][1].longitude for track in two) == [200, 220]
    assert tracks([[at(200)] if step != 4 else [] for step in steps], 6.0) == []  # lost in the middle


def test_the_points_of_a_cyclone_are_one_part_near_its_centre():
    weather = calm(FINE)
    weather.vortices = [storm(longitude=0.0)]
    fields = weather(0.0)
    (one,) = candidates(fields, FINE)
    mask = np.zeros((384, 576), np.uint8)
    paint(mask, fields, one, FINE, 1)
    assert components(mask == 1)[1] == 1
    rows, columns = np.nonzero(mask)
    reach = np.sqrt(2) * (one.radius + cyclones.BOX_DEGREES)
    assert (distance(FINE.latitudes[rows], FINE.longitudes[columns], 15.0, 0.0) < reach).all()
    assert mask[np.abs(FINE.latitudes - 15.0).argmin(), 0] == 1
    assert 100 < mask.sum() < 1000


def test_a_moist_jet_alone_is_a_river():
    weather = calm(GRID)
    weather.jets = [Jet(-48, 96, 25.0, 350.0, (22.0, 30.0), 3.0, 2.0, 24.0, 7e-3, 6.0)]
    fields = dict(zip(CHANNELS, np.moveaxis(weather(0.0), -1, 0)))
    found = rivers.rivers(
        rivers.transport(fields["U850"], fields["V850"], fields["QREFHT"]), GRID.latitudes, GRID.longitudes
    )
    latitude, longitude, _ = weather.jets[0].axis(0.0)
    on_axis = [
        found[np.abs(GRID.latitudes - y).argmin(), int(round(x / 2.5)) % 144] for y, x in zip(latitude, longitude)
    ]
    assert np.mean(np.array(on_axis) > 0) > 0.6
