"""Which points of a study became faster or slower than those of another, by how much, and how sure that is.

The intervals of all points hold together: each is of the level 1 - 0.05 / k for k points (Dunn 1961, JASA 56: by
Bonferroni's inequality, however the points depend on each other).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from profiling import text
from profiling.study import confidence, variance
from profiling.study.confidence import Interval
from profiling.study.runs import Study

LEVEL = 0.95
"""Confidence that all intervals hold."""
Place = tuple[str, int]
"""A point: the values of its series on the axes, and the number of ranks."""


@dataclass(frozen=True)
class Change:
    """A point of two studies: the throughput of the second over that of the first."""

    series: str
    workers: int
    repeats: tuple[int, int]
    throughputs: tuple[float, float]  # harmonic means, of the first and the second study
    ratio: float
    interval: Interval | None  # None if nothing shows how much runs differ

    @property
    def verdict(self) -> str:
        """What is certain about the change: faster, slower, no change seen, or unknown."""
        if self.interval is None:
            return "unknown"
        return "faster" if self.interval.low > 1 else "slower" if self.interval.high < 1 else "no change seen"

    def slower_by(self, part: float) -> bool:
        """Return whether the point became slower by this part or more, and not by chance as far as that can be told."""
        return self.ratio <= 1 - part and self.verdict in ("slower", "unknown")


@dataclass(frozen=True)
class Changes:
    """Two studies, point by point; none if the second cannot be compared with the first."""

    first: str
    second: str
    unit: str
    points: tuple[Change, ...]
    only: tuple[tuple[Place, ...], tuple[Place, ...]]  # points with a timed run in the first alone, in the second alone
    degrees: int | None  # degrees of freedom of the variance of all points; None if each point has its own
    alike: float | None  # p of the test that all points vary alike
    together: int  # number of intervals that hold together: those of the points, or of all studies of a history
    why: str | None = None  # why the second study cannot be compared

    @property
    def intervals(self) -> int:
        """Number of points that have an interval."""
        return sum(point.interval is not None for point in self.points)


def part(word: str) -> float:
    """Parse a part of the throughput, such as 5% or 0.05.

    Raises
    ------
    Refusal
        If the word is neither, or not between 0 and 100 %.
    """
    if match := re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", word):
        found = float(match[1]) / (100 if match[2] else 1)
        if 0 < found < 1:
            return found
    raise Refusal(f"--fail-if-slower is {word!r}: give a part of the throughput between 0 and 100 %, as 5% or 0.05")


def failed(changes: Changes, slower: float | None) -> list[str]:
    """Return why a study fails that may not be ``slower`` by this part: points that are, or that lost their runs."""
    if slower is None:
        return []
    points = [point for point in changes.points if point.slower_by(slower)]
    said = [f"slower by {100 * slower:g} % or more: {text.plural(len(points), 'point')}"] if points else []
    gone = changes.only[0]
    return said + ([f"without a run to compare: {text.plural(len(gone), 'point')}"] if gone else [])


def history(first: Study, others: Sequence[tuple[Path, Study | Refusal]]) -> list[Changes]:
    """Compare each study with the first; the intervals of all hold together. A study that cannot be read is given by
    its folder and the reason."""
    alone = [_or_why(first, *other) for other in others]
    together = sum(changes.intervals for changes in alone)
    return [_or_why(first, *other, together) for other in others] if len(others) > 1 else alone


def _or_why(first: Study, folder: Path, other: Study | Refusal, together: int | None = None) -> Changes:
    """Compare two studies; if that cannot be done, return all points of the first as those that the other has not."""
    try:
        if isinstance(other, Refusal):
            raise other
        return between(first, other, together)
    except Refusal as refusal:
        only = tuple(_rates(first)), ()
        return Changes(first.folder.name, folder.name, first.unit, (), only, None, None, 0, str(refusal))


def between(first: Study, second: Study, together: int | None = None) -> Changes:
    """Compare two studies point by point.

    A point of one run is compared by the variance of all others, if they vary alike: had nothing changed, it would vary
    as they do. The intervals hold ``together`` with others, so many in all; by default those of the points do.

    Raises
    ------
    Refusal
        If the studies have no point in common, or throughputs in different units.
    """
    units = {run.unit for study in (first, second) for run in study.runs}
    if len(units) > 1:
        raise Refusal(
            f"{first.folder} and {second.folder} have throughputs in {' and '.join(sorted(units))}: give two of one"
        )
    rates = _rates(first), _rates(second)
    common = [place for place in rates[0] if place in rates[1]]
    if not common:
        raise Refusal(
            f"{first.folder} and {second.folder} have no point in common: {_places(tuple(rates[0]))}; "
            f"{_places(tuple(rates[1]))}"
        )
    samples = [of[place] for place in common for of in rates]
    scatter = variance.scatter([[math.log(rate) for rate in sample] for sample in samples])
    pooled = next((scatter.of(at) for at, freedom in enumerate(scatter.degrees) if freedom and scatter.pooled), None)
    # The spreads of the throughputs of each point, of the second study and of the first.
    known = [(pooled or scatter.of(at + 1), pooled or scatter.of(at)) for at in range(0, len(samples), 2)]
    together = together or sum(None not in spreads for spreads in known)
    level = 1 - (1 - LEVEL) / max(1, together)
    points = []
    for place, before, after, spreads in zip(common, samples[::2], samples[1::2], known):
        means = tuple(len(sample) / sum(1 / rate for rate in sample) for sample in (before, after))
        points.append(
            Change(
                *place,
                repeats=(len(before), len(after)),
                throughputs=(means[0], means[1]),
                ratio=means[1] / means[0],
                interval=confidence.student_ratio(after, before, level, spreads),
            )
        )
    only = tuple(place for place in rates[0] if place not in rates[1]), tuple(p for p in rates[1] if p not in rates[0])
    names = first.folder.name, second.folder.name
    return Changes(*names, units.pop(), tuple(points), only, pooled and pooled[1], scatter.alike, together)


def document(changes: Changes) -> dict[str, Any]:
    """Return the changes as a value for JSON; docs/readings.md describes the keys."""
    places = [[{"series": series, "workers": workers} for series, workers in only] for only in changes.only]
    return {
        "format": 1,
        "first": changes.first,
        "second": changes.second,
        "unit": changes.unit,
        "confidence": LEVEL,
        "points": [asdict(point) | {"verdict": point.verdict} for point in changes.points],
        "only_first": places[0],
        "only_second": places[1],
        "degrees": changes.degrees,
        "alike": changes.alike,
        "not_compared": changes.why,
    }


def table(changes: Changes) -> str:
    """Return the changes as a table."""
    columns: list[tuple[str, text.Form]] = [
        ("series", lambda point: point.series),
        ("ranks", lambda point: str(point.workers)),
        ("repeats", lambda point: "{} / {}".format(*point.repeats)),
        (f"first [{changes.unit}]", lambda point: text.number(point.throughputs[0])),
        ("second", lambda point: text.number(point.throughputs[1])),
        ("second / first", lambda point: f"{point.ratio:.3f}"),
        (f"{LEVEL:.0%} of all", _interval),
        ("", lambda point: point.verdict),
    ]
    shown = columns if any(point.series for point in changes.points) else columns[1:]
    return text.table(shown, changes.points)


def lines(changes: Changes) -> list[str]:
    """Return lines that say what is certain, and on what the intervals rest."""
    if changes.why:
        return [f"{changes.second} is not compared with {changes.first}: {changes.why}"]
    said = [
        f"{verdict} than {changes.first}: {', '.join(map(_by, points))}"
        for verdict in ("slower", "faster")
        if (points := [point for point in changes.points if point.verdict == verdict])
    ] or [f"no point is surely slower or faster than in {changes.first}"]
    test = ""
    if changes.alike is not None:
        test = f" (Bartlett's test that points vary alike: p = {text.number(changes.alike, 2)})"
    rests = (
        f"the variance of all points, with {changes.degrees} degrees of freedom"
        if changes.degrees
        else "the variance of each point"
    )
    held = f"the interval holds with {LEVEL:.0%} confidence"
    if (count := changes.together) > 1:
        each = f"{1 - (1 - LEVEL) / count:.2%}"
        held = f"all {count} intervals hold together with {LEVEL:.0%} confidence, each with {each} (Bonferroni)"
    if changes.intervals:
        said.append(f"{held}; Student's t of the logarithms from {rests}{test}")
    unsure = [_place(point.series, point.workers) for point in changes.points if point.interval is None]
    if unsure:
        said.append(f"unknown at {', '.join(unsure)}: of one run nothing shows how much runs differ")
    for name, only in zip((changes.first, changes.second), changes.only):
        if only:
            said.append(f"in {name} only: {_places(only)}")
    return said


def _rates(study: Study) -> Mapping[Place, tuple[float, ...]]:
    """Return the throughputs of each point's runs, by rising number of ranks; the workload's name is left out."""
    found: dict[Place, list[float]] = {}
    # The name that `profiling.study.runs` gives a series begins with it.
    name = study.index.get("workload", "").rpartition("/")[2]
    for run in sorted(study.runs, key=lambda run: run.ranks):
        found.setdefault((run.series.removeprefix(name).strip(), run.ranks), []).append(run.throughput)
    return {place: tuple(rates) for place, rates in found.items()}


def _interval(point: Change) -> str:
    return "" if point.interval is None else text.span(point.interval.low, point.interval.high, "{:.3f}".format)


def _by(point: Change) -> str:
    return f"{_place(point.series, point.workers)} by {abs(point.ratio - 1):.1%}"


def _place(series: str, workers: int) -> str:
    return f"{series} on {workers}" if series else text.plural(workers, "rank")


def _places(places: tuple[Place, ...]) -> str:
    some = ", ".join(_place(*place) for place in places[:8])
    return some + (f" and {len(places) - 8} more" if len(places) > 8 else "")
