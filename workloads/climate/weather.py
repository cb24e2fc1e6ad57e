"""Weather that looks like a climate model's: fields of all channels as functions of time, drawn from a seed.

It consists of the zonal means of the climatology, red noise whose waves drift eastward, moist jets, tropical cyclones,
lows of the middle latitudes and storms too weak to count. It is not a model of the atmosphere. What matters is that the
rules that label the published data apply to it, and that it has both what they look for and what only resembles it.
"""

from __future__ import annotations

import numpy as np

from workloads.climate.grid import DEGREE_KM, Grid
from workloads.climate.published import CHANNELS
from workloads.climate.storms import AIR_DENSITY, Jet, Vortex

MOST_WAVES = 96  # largest number of waves round the globe in the noise


class Noise:
    """Red noise of unit variance on a map, whose waves drift eastward and change as they go.

    Parameters
    ----------
    random : numpy Generator
        Draws the waves.
    grid : Grid
        The map.
    waves : float
        Waves round the globe above which the spectrum falls.
    slope : float
        Power of the wavenumber with which amplitudes fall.
    """

    def __init__(self, random: np.random.Generator, grid: Grid, waves: float, slope: float) -> None:
        self._shape = (grid.height, grid.width)
        along = np.arange(grid.width // 2 + 1)
        across = 2 * np.fft.fftfreq(grid.height, 1 / grid.height)  # a map has half a circle of latitudes
        number = np.hypot(across[:, None], along)
        amplitude = (1 + (number / waves) ** 2) ** (-slope / 2) * (number > 0)
        # Only long waves are drawn, the same on every grid; short ones would hardly be visible.
        amplitude *= (np.abs(across[:, None]) <= MOST_WAVES) & (along <= MOST_WAVES)
        row = np.minimum(np.abs(across).astype(int) // 2, MOST_WAVES // 2)
        drawn = random.normal(size=(2, 2, MOST_WAVES // 2 + 1, MOST_WAVES + 1))
        drawn = (drawn[0] + 1j * drawn[1])[:, row][..., np.minimum(along, MOST_WAVES)]
        spectrum = amplitude * np.where(across[:, None] < 0, drawn[1], drawn[0])
        self._spectrum = spectrum / np.fft.irfft2(spectrum, self._shape).std()
        # Radians per hour: 8 degrees of longitude per day, and an individual change of each wave over some days.
        self._drift = np.radians(8 / 24) * along + 0.02 * np.where(across[:, None] < 0, -1, 1) * np.cos(7 * number)

    def __call__(self, hours: float) -> np.ndarray:
        """Return the noise at a time, (H, W)."""
        return np.fft.irfft2(self._spectrum * np.exp(-1j * self._drift * hours), self._shape)


class Weather:
    """The weather of some days.

    Parameters
    ----------
    grid : Grid
        The map. Storms that are too small for it are enlarged to what it can show: a coarse model has wide storms.
    seed : int or sequence of int
        Seed of everything that is drawn.
    days : float
        Days after which no new storms begin.
    """

    def __init__(self, grid: Grid, seed: int | list[int], days: float) -> None:
        self.grid = grid
        random = np.random.default_rng(seed)
        self._noises = {
            name: Noise(random, grid, waves, slope)
            for name, waves, slope in (
                ("pressure", 6, 3.5), ("moisture", 8, 2.2), ("heat", 6, 3.0), ("rain", 16, 1.8), ("gusts", 20, 2.0),
                ("height", 5, 3.0),
            )
        }  # fmt: skip
        self._land = self._noises["height"](0.0)
        self.vortices = [
            *(self._cyclone(random, days) for _ in range(random.poisson(0.1 * (days + 7)))),
            *(self._weak(random, days) for _ in range(random.poisson(0.5 * days))),
            *(self._low(random, days) for _ in range(random.poisson(1.5 * days))),
        ]
        self.jets = [self._jet(random, days) for _ in range(random.poisson(0.9 * (days + 5)))]

    def _radius(self, kilometres: float) -> float:
        return max(kilometres, 0.8 * self.grid.spacing[0] * DEGREE_KM)

    def _cyclone(self, random: np.random.Generator, days: float) -> Vortex:
        return Vortex(
            24 * random.uniform(-7, days), 24 * random.uniform(6, 10),
            random.choice([-1, 1], p=[0.35, 0.65]) * random.uniform(9, 20), random.uniform(0, 360),
            random.uniform(-5, -1), random.uniform(0.8, 2.5), random.uniform(38, 65),
            self._radius(random.uniform(30, 70)), random.uniform(1.5, 2.1), random.uniform(5, 9), 4e-7,
        )  # fmt: skip

    def _weak(self, random: np.random.Generator, days: float) -> Vortex:
        """Draw a storm with too weak a wind, or without a warm core: not a cyclone by the rules."""
        warm = random.uniform(0, 1.5)
        return Vortex(
            24 * random.uniform(-4, days), 24 * random.uniform(3, 6),
            random.choice([-1, 1]) * random.uniform(6, 22), random.uniform(0, 360),
            random.uniform(-6, -1), random.uniform(0, 1.5), random.uniform(8, 15),
            self._radius(random.uniform(80, 150)), 1.2, warm, 1.5e-7,
        )  # fmt: skip

    def _low(self, random: np.random.Generator, days: float) -> Vortex:
        """Draw a cold low of the middle latitudes."""
        return Vortex(
            24 * random.uniform(-4, days), 24 * random.uniform(3, 6),
            random.choice([-1, 1]) * random.uniform(38, 58), random.uniform(0, 360),
            random.uniform(6, 12), random.uniform(0, 2), random.uniform(14, 28),
            self._radius(random.uniform(300, 550)), 1.1, random.uniform(-4, -1), 6e-8,
        )  # fmt: skip

    def _jet(self, random: np.random.Generator, days: float) -> Jet:
        return Jet(
            24 * random.uniform(-5, days), 24 * random.uniform(3.5, 6),
            random.choice([-1, 1]) * random.uniform(20, 28), random.uniform(0, 360),
            (random.uniform(18, 28), random.uniform(15, 45)), random.uniform(-4, 8),
            max(random.uniform(1.6, 2.4), 0.75 * self.grid.spacing[0]), random.uniform(16, 26),
            random.uniform(4e-3, 7e-3), random.uniform(4, 10),
        )  # fmt: skip

    def __call__(self, hours: float) -> np.ndarray:
        """Return all channels at a time.

        Parameters
        ----------
        hours : float
            Hours since the beginning.

        Returns
        -------
        array (H, W, 16), float32
            Fields in the order and the units of `published.CHANNELS`.
        """
        fields = self._background(hours)
        for storm in (*self.jets, *self.vortices):
            storm.add_to(fields, self.grid, hours)
        fields["TMQ"], fields["QREFHT"] = np.maximum(fields["TMQ"], 0.3), np.maximum(fields["QREFHT"], 1e-5)
        height = np.maximum(self._land - 0.6, 0) * 700  # of the ground, m
        fields["PS"] = fields["PSL"] * np.exp(-height / 8400)
        fields["Z1000"] = (fields["PSL"] - 1e5) / (AIR_DENSITY * 9.81)
        fields["TS"] -= 0.0065 * height
        fields["TREFHT"] -= 0.0065 * height
        return np.stack([fields[name] for name in CHANNELS], axis=-1).astype(np.float32)

    def _background(self, hours: float) -> dict[str, np.ndarray]:
        noise = {name: waves(hours) for name, waves in self._noises.items() if name != "height"}
        latitude = np.radians(self.grid.latitudes)[:, None]
        s2, c = np.sin(latitude) ** 2, np.cos(latitude)
        storms = s2 * c * 2.6  # strength of the weather of the middle latitudes, about 1 at 55 degrees
        dy = self.grid.spacing[0] * DEGREE_KM * 1e3  # metres
        dx = self.grid.spacing[1] * DEGREE_KM * 1e3 * np.maximum(c, 0.3)
        # Wind along the lines of equal pressure: clockwise round a high in the north.
        stream = np.sign(latitude) * noise["pressure"] * 5e6
        u = -np.gradient(stream, axis=0) / dy
        v = (np.roll(stream, -1, 1) - np.roll(stream, 1, 1)) / (2 * dx)
        calm = np.minimum(np.abs(np.degrees(latitude)) / 12, 1) * (0.35 + storms)
        jet = 11 * np.exp(-(((np.abs(np.degrees(latitude)) - 46) / 13) ** 2))
        trades = -7 * np.exp(-(((np.abs(np.degrees(latitude)) - 12) / 12) ** 2))
        u850 = jet + trades + calm * u + 0.8 * noise["gusts"]
        v850 = calm * v + 0.8 * np.roll(noise["gusts"], self.grid.width // 3, 1)
        warm = 302 - 62 * s2**1.1
        temperature = warm + 4.5 * np.sqrt(s2) * noise["heat"] + 1.0 * noise["moisture"] * c
        wet = np.exp(0.38 * noise["moisture"] * np.sqrt(np.sin(2 * np.abs(latitude))) + 0.08 * noise["gusts"])
        vapour = 0.0175 * np.exp(-((np.degrees(latitude) / 34) ** 2)) + 0.0006
        rain = np.maximum(noise["rain"] + 0.5 * noise["moisture"] - 1.1, 0) * (
            0.3 + np.exp(-((np.degrees(latitude) / 9) ** 2))
        )
        psl = 101325 + 500 * np.cos(4 * latitude - 2.2 * np.abs(latitude)) - 1300 * s2**2 - 350 * c**4
        psl = psl + 620 * (0.25 + storms) * noise["pressure"]
        return {
            "TMQ": 2600 * vapour * wet, "QREFHT": vapour * wet, "U850": u850, "V850": v850,
            "UBOT": 0.72 * u850 + 0.3 * noise["gusts"], "VBOT": 0.72 * v850 - 0.12 * u850 * np.sign(latitude),
            "PSL": psl, "T200": 220 - 4 * np.cos(2 * latitude) + 1.2 * np.sqrt(s2) * noise["heat"],
            "T500": 268 - 32 * s2 + 2.5 * np.sqrt(s2) * noise["heat"], "PRECT": 1.2e-7 * rain * wet,
            "TS": temperature, "TREFHT": temperature - 1 + 0.4 * noise["gusts"],
            "Z200": 12350 - 1250 * s2 + 55 * noise["pressure"] * np.sqrt(s2), "ZBOT": 62 + 0.22 * (temperature - 288),
        }  # fmt: skip
