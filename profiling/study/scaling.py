"""The scaling table: throughput, speed-up and parallel efficiency of each point, with confidence intervals.

In weak scaling the work per worker is constant. The speed-up is in work per second, X(n) / X(base), and a worker's
share of it, the efficiency, is X(n) / (X(base) n / base). In strong scaling the work of all workers together is
constant. Throughput is that work over its time, so the same formulas give T(base) / T(n) and T(base) base / (T(n) n).
"""

import dataclasses

from profiling import text
from profiling.study import confidence
from profiling.study.confidence import Interval
from profiling.study.tables import Series

LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the scaling table."""

    workers: int
    repeats: int
    throughput: float  # harmonic mean of the repeats
    throughput_interval: Interval | None  # None: too few repeats
    speedup: float  # relative to the base point
    efficiency: float
    efficiency_interval: Interval | None  # None: too few repeats here or at the base
    fastest: float
    slowest: float
    outliers: tuple[float, ...]


def table(series: Series) -> list[Row]:
    """The scaling table of a series by rising number of workers, of which the first is the base.

    The base's efficiency is 1 by definition, so it has no interval.
    """
    base = series.points[0]
    rows = []
    for point in series.points:
        speedup = point.throughput / base.throughput
        share = base.workers / point.workers
        interval = confidence.ratio(point.rates, base.rates, LEVEL) if point is not base else None
        rows.append(
            Row(
                workers=point.workers,
                repeats=len(point.rates),
                throughput=point.throughput,
                throughput_interval=confidence.rate(point.rates, LEVEL),
                speedup=speedup,
                efficiency=speedup * share,
                efficiency_interval=Interval(interval.low * share, interval.high * share) if interval else None,
                fastest=max(point.rates),
                slowest=min(point.rates),
                outliers=tuple(confidence.outliers(point.rates)),
            )
        )
    return rows


def notes(series: Series, rows: list[Row]) -> list[str]:
    """Notes for the reader of the table: its base, how repeats were summarised, what is missing, outliers."""
    base = rows[0]
    held = {"weak": "the work per worker is held", "strong": "the work of all workers together is held"}.get(
        series.kind
    )
    scaling = (
        f"{series.kind} scaling: {held}" if held else "the table does not say whether it is weak or strong scaling"
    )
    absolute = f"{text.number(base.throughput, 6)} {series.unit} in absolute terms"
    lines = [
        f"{scaling}; base: {text.plural(base.workers, 'worker')}, {absolute}",
        "throughput is the harmonic mean over the repeats; speed-up and efficiency are ratios of these, not means of "
        "ratios",
    ]
    few = [str(row.workers) for row in rows if row.throughput_interval is None]
    if few:
        workers = "worker" if few == ["1"] else "workers"
        lines.append(f"n too small for an interval ({confidence.FEWEST} repeats needed) at {', '.join(few)} {workers}")
    if len(few) < len(rows):
        lines.append(f"intervals: {LEVEL:.0%} confidence, studentised bootstrap over repeats, no distribution assumed")
    for row in rows:
        if row.outliers:
            values = ", ".join(text.number(value, 6) for value in row.outliers)
            where = text.plural(row.workers, "worker")
            lines.append(f"outliers at {where}, kept: {values} {series.unit} (beyond Tukey's fences)")
    return lines
