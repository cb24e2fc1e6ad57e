"""The Kuramoto-Sivashinsky equation u_t = -u u_x - u_xx - u_xxxx on a ring, and how fast its solutions diverge."""

from __future__ import annotations

import numpy as np

SETTLING = 250.0  # time units after which a solution is on the attractor
APART = 1e-7  # initial distance of a pair of solutions, relative to their size
MEASURED = 1000.0  # time units over which each pair is followed
PAIRS = 8
CONTOUR = 32  # points on the circle over which the coefficients are averaged


class Equation:
    """The equation on one ring, integrated step by step by ETDRK4.

    Parameters
    ----------
    length : float
        Length of the ring.
    points : int
        Number of points on the ring, at equal distances.
    step : float
        Time step.

    References
    ----------
    A. Kassam, L. Trefethen, "Fourth-order time-stepping for stiff PDEs", SIAM J. Sci. Comput. 26, 2005: equations 26 to
    29, and the contour integrals that find their coefficients.
    """

    def __init__(self, length: float, points: int, step: float) -> None:
        self.length, self.points, self.step = length, points, step
        wave = 2 * np.pi / length * np.arange(points // 2 + 1)
        linear = wave**2 - wave**4
        self._slope = -0.5j * wave
        if points % 2 == 0:
            self._slope[-1] = 0  # the highest wave has no derivative on these points
        self._whole, self._half = np.exp(step * linear), np.exp(step * linear / 2)
        z = step * linear[:, None] + np.exp(1j * np.pi * (np.arange(CONTOUR) + 0.5) / CONTOUR)

        def mean(values: np.ndarray) -> np.ndarray:
            return step * values.mean(axis=1).real

        self._q = mean((np.exp(z / 2) - 1) / z)
        self._f1 = mean((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3)
        self._f2 = mean((2 + z + np.exp(z) * (-2 + z)) / z**3)
        self._f3 = mean((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3)

    def __call__(self, u: np.ndarray) -> np.ndarray:
        """Return the fields one time step later, float64 (..., points)."""
        v = np.fft.rfft(u)
        n = self._nonlinear(v)
        a = self._half * v + self._q * n
        n_a = self._nonlinear(a)
        n_b = self._nonlinear(self._half * v + self._q * n_a)
        n_c = self._nonlinear(self._half * a + self._q * (2 * n_b - n))
        v = self._whole * v + self._f1 * n + 2 * self._f2 * (n_a + n_b) + self._f3 * n_c
        return np.fft.irfft(v, self.points)

    def _nonlinear(self, v: np.ndarray) -> np.ndarray:
        return self._slope * np.fft.rfft(np.fft.irfft(v, self.points) ** 2)

    def settled(self, fields: int, seed: int) -> np.ndarray:
        """Return fields on the attractor, (fields, points), each started from other small random waves."""
        random = np.random.default_rng(seed)
        place = np.arange(self.points) / self.points
        waves = np.arange(1, max(2, round(self.length / 5)))[:, None]
        phases = random.uniform(0, 1, (fields, len(waves), 1))
        u = np.cos(2 * np.pi * (waves * place + phases)).sum(axis=1) / len(waves) ** 0.5
        for _ in range(round(SETTLING / self.step)):
            u = self(u)
        return u

    def series(self, steps: int, seed: int) -> np.ndarray:
        """Return one solution on the attractor, (steps, points)."""
        u, found = self.settled(1, seed)[0], np.empty((steps, self.points))
        for number in range(steps):
            found[number] = u
            u = self(u)
        return found

    def exponent(self, seed: int) -> tuple[float, float]:
        """Return the largest Lyapunov exponent and its standard error, per unit of time.

        Pairs of neighbouring solutions are followed, and after each unit of time reset to their initial distance
        (Benettin et al., Meccanica 15, 1980).
        """
        u = self.settled(PAIRS, seed)
        size = APART * np.linalg.norm(u, axis=1, keepdims=True)
        apart = np.random.default_rng(seed).normal(size=u.shape)
        every, growths = max(1, round(1 / self.step)), []
        for number in range(round((MEASURED + SETTLING) / self.step)):
            if number % every == 0:
                distance = np.linalg.norm(apart, axis=1, keepdims=True)
                if number * self.step > SETTLING:  # until then it turns to the direction in which it grows fastest
                    growths.append(np.log(distance / size)[:, 0])
                apart *= size / distance
            both = self(np.concatenate([u, u + apart]))
            u, apart = both[:PAIRS], both[PAIRS:] - both[:PAIRS]
        rates = np.mean(growths, axis=0) / (every * self.step)
        return float(rates.mean()), float(rates.std(ddof=1) / PAIRS**0.5)
