"""Confidence intervals of throughput and of ratios of throughput, from repeats.

Six repeats and more of a point have one without an assumed distribution. Fewer have Student's, from the variance of the
logarithms, which `profiling.study.variance` pools over points where they are alike; a single run has none.
"""

import dataclasses
import math

import numpy as np

from profiling.study.variance import student

FEWEST = 6
"""Repeats that an interval without an assumed distribution needs (Hoefler & Belli, SC15, section 3.1.3: n > 5)."""
Spread = tuple[float, int] | None
"""Run-to-run variance (of the logarithm of a rate or time) and its degrees of freedom; None for a single run."""
RESAMPLES = 4000
SEED = 20151115
LEAST_VARIANCE = 0.1
"""Smallest standard error of a resample, relative to that of the repeats. A resample without an outlier seems to vary
hardly at all, and its error would make intervals span many powers of ten. For 600 samples of 6, 8 and 12 from normal,
gamma and log-normal distributions intervals contain the mean as often with this bound as without, within 0.002."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """Bounds of a confidence interval, in the unit of the estimate."""

    low: float
    high: float


def harmonic_mean(rates: np.ndarray) -> np.ndarray:
    """Return the harmonic mean along the last axis: the rate of all repeats together."""
    return rates.shape[-1] / np.sum(1 / rates, axis=-1)


def rate(rates: tuple[float, ...], confidence: float = 0.95, spread: Spread = None) -> Interval | None:
    """Return the interval of the harmonic mean of a rate's repeats; fewer than `FEWEST` need their ``spread`` or have
    none."""
    if len(rates) >= FEWEST:
        return _studentised((rates,), confidence)
    if spread is None:
        return None
    return _around(float(harmonic_mean(np.array(rates))), spread[0] / len(rates), spread[1], confidence)


def ratio(
    numerator: tuple[float, ...],
    denominator: tuple[float, ...],
    confidence: float = 0.95,
    spreads: tuple[Spread, Spread] = (None, None),
) -> Interval | None:
    """Return the interval of the ratio of two harmonic means, as `rate` does; it is never a mean of ratios."""
    if min(len(numerator), len(denominator)) >= FEWEST:
        return _studentised((numerator, denominator), confidence)
    return student_ratio(numerator, denominator, confidence, spreads)


def student_ratio(
    numerator: tuple[float, ...], denominator: tuple[float, ...], confidence: float, spreads: tuple[Spread, Spread]
) -> Interval | None:
    """Return Student's interval of the ratio of two harmonic means, of any number of repeats; None without a spread."""
    one, other = spreads
    if one is None or other is None:
        return None
    estimate = float(harmonic_mean(np.array(numerator)) / harmonic_mean(np.array(denominator)))
    first, second = one[0] / len(numerator), other[0] / len(denominator)
    # A pooled variance is a single one; for two, the degrees of freedom are those of Welch (1947), rounded down.
    degrees = one[1]
    if one != other:
        errors = first**2 / one[1] + second**2 / other[1]
        degrees = int((first + second) ** 2 / errors) if errors else min(one[1], other[1])
    return _around(estimate, first + second, max(1, degrees), confidence)


def _around(estimate: float, variance: float, degrees: int, confidence: float) -> Interval:
    """Return Student's interval around an estimate whose logarithm has this variance."""
    reach = math.exp(min(student(confidence, degrees) * math.sqrt(variance), 700.0))
    return Interval(estimate / reach, estimate * reach)


def mean(
    values: tuple[float, ...], confidence: float = 0.95, spread: Spread = None, logarithms: bool = False
) -> Interval | None:
    """Return the interval of the arithmetic mean of a figure's repeats, as `rate` does; ``spread`` is that of the
    figure itself, which may have any sign, or of its ``logarithms``."""
    if len(values) < FEWEST:
        if spread is None:
            return None
        if logarithms:
            return _around(float(np.mean(values)), spread[0] / len(values), spread[1], confidence)
        centre, reach = float(np.mean(values)), student(confidence, spread[1]) * math.sqrt(spread[0] / len(values))
        return Interval(centre - reach, centre + reach)
    sample = np.asarray(values, dtype=float)
    variance = float(np.var(sample, ddof=1)) / len(sample)
    centre = float(np.mean(sample))
    if variance == 0:
        return Interval(centre, centre)
    drawn = np.random.default_rng(SEED).choice(sample, size=(RESAMPLES, len(sample)))
    errors = np.sqrt(np.maximum(np.var(drawn, axis=-1, ddof=1) / len(sample), LEAST_VARIANCE * variance))
    outside = (1 - confidence) / 2
    low, high = np.quantile((np.mean(drawn, axis=-1) - centre) / errors, (outside, 1 - outside))
    error = math.sqrt(variance)
    return Interval(float(centre - max(high, 0) * error), float(centre - min(low, 0) * error))


def median(values: tuple[float, ...], confidence: float = 0.95) -> Interval | None:
    """Return the interval of the median of independent values, between two order statistics (Le Boudec 2010,
    Performance Evaluation, theorem 2.1): of at least this probability, whatever the distribution.

    None if not even the smallest and the largest value make such an interval: for 95 %, with fewer than 6 values.
    """
    count, ordered = len(values), sorted(values)
    outside = 0.0  # probability that the median lies below the value at an index, from fair coin tosses
    index = -1
    while index + 1 < count / 2:
        outside += math.comb(count, index + 1) / 2**count
        if 1 - 2 * outside < confidence:
            break
        index += 1
    return None if index < 0 else Interval(float(ordered[index]), float(ordered[-1 - index]))


def outliers(rates: tuple[float, ...]) -> list[float]:
    """Return the repeats beyond Tukey's fences (1.5 quartile ranges outside the quartiles); shown, never dropped."""
    if len(rates) < FEWEST:
        return []
    first, third = np.percentile(rates, (25, 75))
    reach = 1.5 * (third - first)
    return [value for value in rates if value < first - reach or value > third + reach]


def _studentised(samples: tuple[tuple[float, ...], ...], confidence: float) -> Interval:
    """Bootstrap the log of a harmonic mean or of the ratio of two, studentised (Efron & Tibshirani 1993, ch. 12.5).

    The log keeps the bounds above 0 and makes them follow a change of unit; dividing by the standard error of each
    resample keeps the coverage near the nominal one for few repeats, for which percentiles of resamples fall short.
    """
    generator = np.random.default_rng(SEED)  # the same table gives the same interval
    estimate = spread = 0.0
    deviation = np.zeros(RESAMPLES)
    variance = np.zeros(RESAMPLES)
    for sign, sample in zip((1, -1), samples, strict=False):
        values = np.asarray(sample, dtype=float)
        drawn = values[generator.integers(len(values), size=(RESAMPLES, len(values)))]
        estimate += sign * float(np.log(harmonic_mean(values)))
        spread += float(_variance(values))
        deviation += sign * (np.log(harmonic_mean(drawn)) - np.log(harmonic_mean(values)))
        variance += _variance(drawn)
    if spread == 0:
        return Interval(float(np.exp(estimate)), float(np.exp(estimate)))
    statistic = deviation / np.sqrt(np.maximum(variance, LEAST_VARIANCE * spread))
    low, high = np.quantile(statistic, ((1 - confidence) / 2, (1 + confidence) / 2))
    error = np.sqrt(spread)
    return Interval(float(np.exp(estimate - max(high, 0) * error)), float(np.exp(estimate - min(low, 0) * error)))


def _variance(rates: np.ndarray) -> np.ndarray:
    """Return the variance of the log of the harmonic mean along the last axis, propagated from the mean of 1 / rate."""
    times = 1 / rates
    return np.var(times, axis=-1, ddof=1) / rates.shape[-1] / np.mean(times, axis=-1) ** 2
