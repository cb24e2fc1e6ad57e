"""Throughput at numbers of workers that were not run, with an interval; and whether the laws hold at all."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from launch.errors import Refusal
from profiling import text
from profiling.prediction import posterior
from profiling.study.tables import Series

WIDEN = 1.5
"""Factor by which the distance of each bound from the median is stretched, because real series surprise more than the
laws with their noise. With it 90 % intervals contain 85 % of the held-out points of real series, 91 % without those
where the network saturates (docs/prediction.md)."""
UNEXPECTED = 0.99  # level of the interval that a measured point must leave before the fit is said not to hold
SATURATED = 0.25  # share of a first worker's throughput that an added worker must bring in weak scaling
LOOK_BACK = 3  # number of the largest measured points that are checked


@dataclasses.dataclass(frozen=True)
class Forecast:
    """The forecast for one run; not measured."""

    workers: int
    throughput: float  # median
    low: float
    high: float
    speedup: float  # relative to the measured base
    efficiency: float
    efficiency_low: float
    efficiency_high: float
    beyond: float  # ratio of the workers to the largest measured number of workers
    warnings: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a law."""

    name: str
    unit: str
    estimate: float  # median
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class FittedLaw:
    """A law as it fits a series."""

    name: str
    weight: float  # weight in the prediction; the weights of all laws add up to 1
    parameters: tuple[Parameter, ...]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The forecasts for a series, and what they are based on."""

    confidence: float
    problems: tuple[str, ...]  # why the fit does not hold; empty if it does
    laws: tuple[FittedLaw, ...]  # the most plausible first
    forecasts: tuple[Forecast, ...]


def predict(series: Series, workers: Sequence[int], confidence: float = 0.9) -> Prediction:
    """Predict the throughput of one more run at some numbers of workers, in rising order.

    The intervals, of the level ``confidence``, are for one run, its noise included.

    Raises
    ------
    Refusal
        If no number of workers is given, one is below 1, the level is outside (0, 1), or a result is not finite.
    """
    workers = sorted(set(workers))
    if not workers or workers[0] < 1:
        listed = ",".join(map(str, workers)) or "empty"
        raise Refusal(f"--workers is {listed}: give whole numbers of 1 or more, as in 64,256")
    if not 0 < confidence < 1:
        raise Refusal(f"--confidence is {confidence:g}: give a level between 0 and 1, as in 0.9")
    fitted = posterior.fit(series, workers)
    reasons = tuple(problems(series))
    bounds = [interval(mixture, count, confidence) for count, mixture in zip(workers, fitted.mixtures, strict=True)]
    lone = bool(reasons) and len(series.points[-1].rates) == 1 and len(series.points) > 2
    if lone:  # one run may be an outlier: from it on, the interval must also cover what the points before predict
        earlier = posterior.fit(dataclasses.replace(series, points=series.points[:-1]), workers)
        others = [
            interval(mixture, count, confidence) for count, mixture in zip(workers, earlier.mixtures, strict=True)
        ]
        bounds = [
            (min(low, lower), median, max(high, higher)) if count >= series.workers[-1] else (low, median, high)
            for count, (low, median, high), (lower, _, higher) in zip(workers, bounds, others, strict=True)
        ]
    forecasts = tuple(
        _forecast(series, count, each, not reasons, lone) for count, each in zip(workers, bounds, strict=True)
    )
    if not all(0 < forecast.low <= forecast.high < math.inf for forecast in forecasts):
        raise Refusal(
            f"{series.name}: throughputs beyond what a number can hold at {workers[-1]} workers: give them in another "
            "unit"
        )
    laws = [
        FittedLaw(name, weight, _parameters(*fitted.parameters[name], confidence, series))
        for name, weight in fitted.law_weights.items()
    ]
    return Prediction(confidence, reasons, tuple(sorted(laws, key=lambda law: -law.weight)), forecasts)


def _forecast(series: Series, workers: int, bounds: tuple[float, float, float], holds: bool, lone: bool) -> Forecast:
    low, median, high = bounds
    base, last = series.points[0], series.points[-1]
    share = base.workers / workers / base.throughput
    warnings = []
    if workers > last.workers:
        factor = text.number(workers / last.workers, 3)
        warnings.append(f"extrapolates x{factor} beyond the last measured point ({series.counted(last.workers)})")
        if not holds:  # a saturated network may stay as it is, which no law describes
            low, high = min(low, last.throughput), max(high, last.throughput)
            warnings.append("the fit does not hold: interval stretched to the throughput of the last measured point")
    if lone and workers >= last.workers:
        warnings.append(
            f"the point of {series.counted(last.workers)} is one run, which the points before do not predict: the "
            "interval holds with it and without it; repeat it"
        )
    if workers < base.workers:
        warnings.append(f"extrapolates below the first measured point ({series.counted(base.workers)})")
    if len(series.points) < 4:
        warnings.append(
            f"{len(series.points)} points cannot tell the laws apart: the interval rests on what other series did"
        )
    efficiencies = (median * share, low * share, high * share)
    return Forecast(
        workers, median, low, high, median / base.throughput, *efficiencies, workers / last.workers, tuple(warnings)
    )


def interval(mixture: posterior.Mixture, workers: int, confidence: float) -> tuple[float, float, float]:
    """Return the bounds and median (low, median, high) of the throughput of one run, from its posterior log cost."""
    dear, median, cheap = mixture.quantiles(((1 + confidence) / 2, 0.5, (1 - confidence) / 2))
    stretched = (median + WIDEN * (dear - median), median, median + WIDEN * (cheap - median))
    with np.errstate(over="ignore"):  # the caller checks that a number can hold it
        low, middle, high = (float(workers * np.exp(-value)) for value in stretched)
    return low, middle, high


def exceeded(mixture: posterior.Mixture, workers: int, throughput: float) -> float:
    """Return the probability that one run is at least this fast, by the distribution whose quantiles `interval` has."""
    median = mixture.quantiles((0.5,))[0]
    return mixture.below(median + (math.log(workers / throughput) - median) / WIDEN)


def columns(unit: str, confidence: float, workers: str, holds: bool = True) -> list[tuple[str, text.Form]]:
    """Return the columns of a table of forecasts as dictionaries; ``workers`` heads the number of workers.

    If the fit does not hold, only the interval is shown: nothing in it is more probable than the rest.
    """
    level = f"{confidence:.0%} interval"
    throughput, interval = text.estimate("throughput", "low", "high")
    if not holds:
        return [(workers, text.value("workers", str)), (f"{level} of throughput [{unit}]", interval)]
    efficiency, of_efficiency = text.estimate("efficiency", "efficiency_low", "efficiency_high", 100, "%")
    return [
        (workers, text.value("workers", str)),
        (f"throughput [{unit}]", throughput),
        (level, interval),
        ("speed-up", _speedup),
        ("efficiency", efficiency),
        (level, of_efficiency),
    ]


def _speedup(row: dict[str, Any]) -> str:
    share = row["speedup"] / row["throughput"]
    return text.within(share * row["low"], share * row["high"])(row["speedup"])


def problems(series: Series) -> list[str]:
    """Return why no law describes a series, in lines that start with "fit does not hold".

    The reasons are a point outside the 99 % interval that the points before it predict, falling throughput, or, in weak
    scaling, added workers that bring less than a quarter of what the first ones did.
    """
    reasons = []
    first = series.points[0]
    for index in range(max(1, len(series.points) - LOOK_BACK), len(series.points)):
        before, point = series.points[index - 1], series.points[index]
        gained, added = point.throughput - before.throughput, point.workers - before.workers
        if gained < 0:
            reasons.append(
                f"throughput falls from {text.number(before.throughput, 6)} at {series.counted(before.workers)} "
                f"to {text.number(point.throughput, 6)} at {point.workers}"
            )
        gain = gained / added / (first.throughput / first.workers)
        if series.kind == "weak" and 0 <= gain < SATURATED:
            reasons.append(
                f"saturated; from {before.workers} to {series.counted(point.workers)} each brings {gain:.0%} of what "
                "the first did"
            )
        if index >= 2 and series.kind:  # without a kind there are no laws to compare with
            earlier = dataclasses.replace(series, points=series.points[:index])
            low, median, high = interval(posterior.fit(earlier, [point.workers]).mixtures[0], point.workers, UNEXPECTED)
            if not low <= point.throughput <= high:
                error = f"{point.throughput / median - 1:+.0%}"
                reasons.append(f"at {series.counted(point.workers)} {error} against what the points before predict")
    return [f"fit does not hold: {reason}" for reason in reasons]


def _parameters(
    weight: np.ndarray, values: dict[str, np.ndarray], confidence: float, series: Series
) -> tuple[Parameter, ...]:
    """Return weighted quantiles of each parameter of a law; none if the series rules the law out."""
    units = {"exponent": "1", "serial share": "1", "group": series.works}
    one = "one" + series.counted(1)[1:]
    parameters = []
    for name, value in values.items() if weight.any() else ():
        order = np.argsort(value)
        below = np.cumsum(weight[order]) / weight.sum()
        low, estimate, high = (
            float(value[order][min(np.searchsorted(below, level), len(order) - 1)])
            for level in ((1 - confidence) / 2, 0.5, (1 + confidence) / 2)
        )
        parameters.append(Parameter(name, units.get(name, f"cost of {one}"), estimate, low, high))
    return tuple(parameters)
