"""The scaling table: throughput, speed-up and parallel efficiency of each point, with confidence intervals.

In weak scaling the work per worker is constant. The speed-up is in work per second, X(n) / X(base), and a worker's
share of it, the efficiency, is X(n) / (X(base) n / base). In strong scaling the work of all workers together is
constant. Throughput is that work over its time, so the same formulas give T(base) / T(n) and T(base) base / (T(n) n).
"""

import dataclasses
import math

from profiling import text
from profiling.study import confidence, variance
from profiling.study.confidence import Interval
from profiling.study.tables import Series

LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the scaling table."""

    workers: int
    repeats: int
    throughput: float  # harmonic mean of the repeats
    throughput_interval: Interval | None  # None for one repeat
    speedup: float  # relative to the base point
    efficiency: float
    efficiency_interval: Interval | None  # None for one repeat here or at the base
    fastest: float
    slowest: float
    outliers: tuple[float, ...]
    degrees: int | None  # degrees of freedom of Student's interval of the throughput; None for another or no interval
    pooled: bool  # whether that interval rests on the variance of all points
    alike: float | None  # p of the test that all points vary alike; None if fewer than two have repeats


def table(series: Series) -> list[Row]:
    """Return the scaling table of a series by rising number of workers; the first row is the base.

    The base's efficiency is 1 by definition, so it has no interval.
    """
    base = series.points[0]
    scatter = variance.scatter([[math.log(rate) for rate in point.rates] for point in series.points])
    spreads = [scatter.of(place) for place in range(len(series.points))]
    rows = []
    for point, spread in zip(series.points, spreads):
        speedup = point.throughput / base.throughput
        share = base.workers / point.workers
        both = (spread, spreads[0])
        interval = confidence.ratio(point.rates, base.rates, LEVEL, both) if point is not base else None
        few = len(point.rates) < confidence.FEWEST
        rows.append(
            Row(
                workers=point.workers,
                repeats=len(point.rates),
                throughput=point.throughput,
                throughput_interval=confidence.rate(point.rates, LEVEL, spread),
                speedup=speedup,
                efficiency=speedup * share,
                efficiency_interval=Interval(interval.low * share, interval.high * share) if interval else None,
                fastest=max(point.rates),
                slowest=min(point.rates),
                outliers=tuple(confidence.outliers(point.rates)),
                degrees=spread[1] if spread and few else None,
                pooled=scatter.pooled,
                alike=scatter.alike,
            )
        )
    return rows


def notes(series: Series, rows: list[Row]) -> list[str]:
    """Return notes for the reader of the table: its base, how repeats are summarised, what is missing, outliers."""
    base = rows[0]
    held = {
        "weak": f"the work per {text.counted(1, series.works)[2:]} is held",
        "strong": f"the work of all {series.works} together is held",
    }.get(series.kind)
    scaling = (
        f"{series.kind} scaling: {held}" if held else "the table does not say whether it is weak or strong scaling"
    )
    absolute = f"{text.number(base.throughput, 6)} {series.unit} in absolute terms"
    lines = [
        f"{scaling}; base: {series.counted(base.workers)}, {absolute}",
        "throughput is the harmonic mean over the repeats; speed-up and efficiency are ratios of these, not means of "
        "ratios",
    ]
    lines += _intervals(rows, series.works)
    for row in rows:
        if row.outliers:
            values = ", ".join(text.number(value, 6) for value in row.outliers)
            where = series.counted(row.workers)
            lines.append(f"outliers at {where}, kept: {values} {series.unit} (beyond Tukey's fences)")
    return lines


def _intervals(rows: list[Row], works: str) -> list[str]:
    """Return lines that say on what the intervals rest."""
    lines, one = [], [row.workers for row in rows if row.throughput_interval is None]
    if one:
        lines.append(f"no interval at {_counted(one, works)}: one run does not show how much runs differ")
    student = [row for row in rows if row.degrees is not None]
    if student:
        alike = rows[0].alike
        test = "" if alike is None else f"Bartlett's test: p = {text.number(alike, 2)}"
        freedoms = {row.degrees for row in student if row.degrees}
        degrees = f"{_to(freedoms)} degree{'s' * (freedoms != {1})} of freedom"
        how = f"the run-to-run variance of each point, with {degrees}"
        if student[0].pooled:
            how = f"the run-to-run variance pooled over the points, as they vary alike ({test}), with {degrees}"
        elif test:
            how += f": not pooled, as the points vary differently ({test}, below {variance.ALIKE:g})"
        deviation = f"; where n is {confidence.FEWEST} or more, as below" if len(student) + len(one) < len(rows) else ""
        lines.append(f"intervals: {LEVEL:.0%} confidence, Student's t of the logarithms from {how}{deviation}")
    if any(row.throughput_interval and row.degrees is None for row in rows):
        lines.append(f"intervals: {LEVEL:.0%} confidence, studentised bootstrap over repeats, no distribution assumed")
    return lines


def _counted(counts: list[int], works: str) -> str:
    return f"{', '.join(map(str, counts[:-1]))}{', ' * (len(counts) > 1)}{text.counted(counts[-1], works)}"


def _to(counts: set[int]) -> str:
    return f"{min(counts)}" + (f" to {max(counts)}" if len(counts) > 1 else "")
