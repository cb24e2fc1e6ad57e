"""How much repeats differ: the run-to-run variance of points, pooled over them where they are alike; Student's t.

Three repeats tell little of their variance, but the points of a study are made by one program on one machine: where
nothing speaks against it, their variances are taken as one, which has the degrees of freedom of all of them together.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALIKE = 0.15
"""p of Bartlett's test below which variances are not pooled. It is high, as few repeats show few differences."""
DRAWS, SEED = 4000, 19370518


@dataclass(frozen=True)
class Scatter:
    """The variances of the repeats of points.

    Attributes
    ----------
    variances : tuple of float
        Sample variance of each point; NaN for one repeat.
    degrees : tuple of int
        Degrees of freedom of each point: repeats less one.
    alike : float or None
        p of the test that all variances are the same; None if fewer than two points have repeats.
    """

    variances: tuple[float, ...]
    degrees: tuple[int, ...]
    alike: float | None

    @property
    def pooled(self) -> bool:
        """Whether the variances are taken as one."""
        return self.alike is not None and self.alike >= ALIKE

    def of(self, place: int) -> tuple[float, int] | None:
        """Return the variance of a run of a point and its degrees of freedom; None for a point of one repeat, as
        nothing shows whether it varies as the others do."""
        if not self.degrees[place]:
            return None
        return _pooled(self.variances, self.degrees) if self.pooled else (self.variances[place], self.degrees[place])


def scatter(samples: Sequence[Sequence[float]]) -> Scatter:
    """Return the scatter of points, given their repeats; for rates and times give the logarithms."""
    degrees = tuple(max(0, len(sample) - 1) for sample in samples)
    variances = tuple(float(np.var(sample, ddof=1)) if len(sample) > 1 else math.nan for sample in samples)
    repeated = [(variance, freedom) for variance, freedom in zip(variances, degrees) if freedom]
    return Scatter(variances, degrees, _alike(*zip(*repeated)) if len(repeated) > 1 else None)


def _pooled(variances: Sequence[float], degrees: Sequence[int]) -> tuple[float, int]:
    known = [(variance, freedom) for variance, freedom in zip(variances, degrees) if freedom]
    total = sum(freedom for _, freedom in known)
    return sum(variance * freedom for variance, freedom in known) / total, total


def _alike(variances: tuple[float, ...], degrees: tuple[int, ...]) -> float:
    """Return p of Bartlett's test (1937, Proc. R. Soc. A 160). The distribution of its statistic is drawn, as a
    chi-square is far from it for three repeats. Heavy tails lower p, which leads to wider intervals."""
    if min(variances) <= 0:  # equal repeats, as in a table that is rounded
        return float(max(variances) <= 0)
    return float(np.mean(_drawn(degrees) >= _bartlett(np.array([variances]), np.array(degrees))[0]))


@functools.lru_cache(maxsize=64)
def _drawn(degrees: tuple[int, ...]) -> np.ndarray:
    freedoms = np.array(degrees)
    drawn = np.random.default_rng(SEED).chisquare(freedoms, (DRAWS, len(freedoms))) / freedoms
    return _bartlett(drawn, freedoms)


def _bartlett(variances: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Return Bartlett's statistic along the last axis, without its constant."""
    total = degrees.sum()
    return total * np.log(variances @ degrees / total) - np.log(variances) @ degrees


@functools.lru_cache(maxsize=256)
def student(level: float, degrees: int) -> float:
    """Return the t for which Student's distribution has a probability of ``level`` between -t and t.

    Its distribution function for whole degrees of freedom is a finite sum (Abramowitz & Stegun 1964, 26.7.3 and
    26.7.4), which is inverted by bisection.

    Parameters
    ----------
    level : float
        Probability, between 0 and 1.
    degrees : int
        Degrees of freedom, 1 or more.
    """
    low, high = 0.0, math.pi / 2
    while high - low > 1e-14:
        middle = (low + high) / 2
        low, high = (middle, high) if _between(middle, degrees) < level else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _between(angle: float, degrees: int) -> float:
    """Return the probability between -t and t, where t is the root of the degrees of freedom times tan(angle)."""
    sine, cosine, odd = math.sin(angle), math.cos(angle), degrees % 2
    if degrees == 1:
        return 2 * angle / math.pi
    term = total = cosine if odd else 1.0
    for factor in range(2 + odd, degrees - 1, 2):
        term *= (factor - 1) / factor * cosine**2
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
