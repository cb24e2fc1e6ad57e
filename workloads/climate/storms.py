"""The storms of the weather: lows with wind, pressure and rain, and moist jets, each with a beginning and an end.

References
----------
G. J. Holland, "An Analytic Model of the Wind and Pressure Profiles in Hurricanes", Monthly Weather Review 108, 1980.
"""

from dataclasses import dataclass

import numpy as np

from workloads.climate.grid import DEGREE_KM, Grid, distance

AIR_DENSITY = 1.15  # kg/m3, at the surface
EARTH_ROTATION = 7.292e-5  # 1/s


@dataclass(frozen=True)
class Vortex:
    """A low whose wind and pressure follow Holland's profile, from its beginning to its end."""

    begin: float  # hours
    life: float  # hours
    latitude: float  # at the beginning, degrees
    longitude: float
    eastward: float  # degrees per day, at the beginning
    poleward: float  # degrees per day
    fastest: float  # fastest wind at its strongest, m/s
    radius_km: float  # radius of the fastest wind
    shape: float  # Holland's B
    core: float  # K by which it is warmer than its surroundings at 200 hPa; negative: colder
    rain: float  # m/s

    def at(self, hours: float) -> tuple[float, float, float] | None:
        """Return latitude, longitude, and strength from 0 to 1; None before and after its life."""
        age = (hours - self.begin) / self.life
        if not 0 < age < 1:
            return None
        days = age * self.life / 24
        side = np.sign(self.latitude)
        latitude = self.latitude + side * self.poleward * days
        # It recurves: the farther from the equator, the more the westerlies carry it.
        longitude = self.longitude + self.eastward * days + 0.35 * self.poleward * days**2
        return float(np.clip(latitude, -80, 80)), float(longitude % 360), float(np.sin(np.pi * age) ** 0.5)

    def add_to(self, fields: dict[str, np.ndarray], grid: Grid, hours: float) -> None:
        """Add its effect at a time to the fields (H, W) of the channels."""
        if (place := self.at(hours)) is None:
            return
        latitude, longitude, strength = place
        core = self.radius_km / DEGREE_KM  # degrees
        reach = min(5 + 9 * core, 30)
        rows, columns = grid.around(latitude, longitude, min(reach / np.cos(np.radians(latitude)), 90))
        window = np.ix_(rows, columns)
        north = grid.latitudes[rows][:, None] - latitude
        east = ((grid.longitudes[columns] - longitude + 180) % 360 - 180) * np.cos(np.radians(latitude))
        east = np.broadcast_to(east, (len(rows), len(columns)))
        r = np.maximum(distance(grid.latitudes[rows][:, None], grid.longitudes[columns], latitude, longitude), 0.05)
        fade = np.exp(-((r / (0.7 * reach)) ** 4))
        fastest = strength * self.fastest
        deficit = AIR_DENSITY * np.e * fastest**2 / self.shape  # Pa, for which that wind is the fastest
        ratio = (core / r) ** self.shape
        coriolis = 0.5 * r * DEGREE_KM * 1e3 * abs(2 * EARTH_ROTATION * np.sin(np.radians(latitude)))
        wind = np.sqrt(self.shape * deficit / AIR_DENSITY * ratio * np.exp(-ratio) + coriolis**2) - coriolis
        wind = wind * fade
        side = np.sign(latitude)
        u, v = -side * wind * north / r, side * wind * east / r
        inflow = 0.35 * wind  # towards the centre, at the ground
        profile = strength * np.exp(-0.5 * (r / (1.6 * core + 0.4)) ** 2)
        fields["U850"][window] += u
        fields["V850"][window] += v
        fields["UBOT"][window] += 0.8 * u - inflow * east / r
        fields["VBOT"][window] += 0.8 * v - inflow * north / r
        fields["PSL"][window] -= deficit * (1 - np.exp(-ratio)) * fade
        fields["T200"][window] += self.core * profile
        fields["T500"][window] += 0.6 * self.core * profile
        fields["Z200"][window] += 12 * self.core * profile
        moist = profile * (1 if self.core > 0 else 0.3)
        fields["QREFHT"][window] += 3e-3 * moist
        fields["TMQ"][window] += 24 * moist
        spiral = 1 + 0.5 * np.sin(np.arctan2(north, east) - 2 * side * np.log(r / core + 0.3))
        fields["PRECT"][window] += self.rain * spiral * strength * np.exp(-0.5 * (r / (1.4 * core + 0.3)) ** 2)
        fields["TS"][window] -= 1.0 * profile


@dataclass(frozen=True)
class Jet:
    """A band of strong wind and much water vapour that leads poleward from the subtropics."""

    begin: float  # hours
    life: float  # hours
    latitude: float  # of the end nearer to the equator, degrees
    longitude: float
    length: tuple[float, float]  # degrees of latitude and of longitude
    bend: float  # degrees by which its middle lies west
    width: float  # standard deviation across it, degrees
    wind: float  # m/s on its axis
    water: float  # kg/kg of specific humidity on its axis
    eastward: float  # degrees per day

    def axis(self, hours: float, points: int = 25) -> tuple[np.ndarray, np.ndarray, float] | None:
        """Return latitudes and longitudes along its axis, and its strength from 0 to 1; None outside its life."""
        age = (hours - self.begin) / self.life
        if not 0 < age < 1:
            return None
        along = np.linspace(0, 1, points)
        side = np.sign(self.latitude)
        latitude = self.latitude + side * self.length[0] * along
        longitude = self.longitude + self.length[1] * along - self.bend * np.sin(np.pi * along)
        return latitude, longitude + self.eastward * age * self.life / 24, float(np.sin(np.pi * age) ** 0.5)

    def add_to(self, fields: dict[str, np.ndarray], grid: Grid, hours: float) -> None:
        """Add its effect at a time to the fields (H, W) of the channels."""
        if (axis := self.axis(hours)) is None:
            return
        latitudes, longitudes, strength = axis
        reach = 0.5 * max(self.length) + abs(self.bend) + 4 * self.width
        rows, columns = grid.around(latitudes.mean(), longitudes.mean(), reach)
        window = np.ix_(rows, columns)
        north = grid.latitudes[rows][:, None, None] - latitudes
        east = (grid.longitudes[columns][:, None] - longitudes + 180) % 360 - 180
        shrink = np.cos(np.radians(latitudes))
        squared = north**2 + (east * shrink) ** 2
        nearest = squared.argmin(axis=-1)
        profile = strength * np.exp(-np.take_along_axis(squared, nearest[..., None], -1)[..., 0] / (2 * self.width**2))
        along = np.stack([np.gradient(longitudes) * shrink, np.gradient(latitudes)])
        along /= np.linalg.norm(along, axis=0)
        fields["U850"][window] += self.wind * profile * along[0][nearest]
        fields["V850"][window] += self.wind * profile * along[1][nearest]
        fields["UBOT"][window] += 0.5 * self.wind * profile * along[0][nearest]
        fields["VBOT"][window] += 0.5 * self.wind * profile * along[1][nearest]
        fields["QREFHT"][window] += self.water * profile
        fields["TMQ"][window] += 4500 * self.water * profile
        fields["PRECT"][window] += 9e-8 * profile**2
        fields["TREFHT"][window] += 2 * profile
