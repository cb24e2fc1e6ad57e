"""The results of a study, point by point: the metrics, throughput and time of its runs.

Unlike `profiling.study.runs` it compares results. It needs no records of steps and leaves out no finished run.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from launch.errors import Refusal, command, nearest
from launch.record.study import entries_of, read_index
from profiling.study import confidence, outcomes
from profiling.study.confidence import Interval
from profiling.study.outcomes import THROUGHPUT, TIME, Outcome, values_of
from profiling.study.variance import Scatter, scatter

LEVEL = 0.95

_SMALL_IS_GOOD = {
    "cost", "energy", "err", "error", "errors", "latency", "loss", "losses", "mae", "mse", "nll", "perplexity",
    "residual", "rms", "rmse", "seconds", "time",
}  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """A figure over the repeats of a point."""

    repeats: int  # number of repeats that have the figure
    mean: float  # arithmetic; for throughput harmonic, as for all rates
    sd: float | None  # standard deviation of the sample; None for one repeat
    interval: Interval | None  # confidence interval of the mean; None for one repeat
    best: float
    best_run: str
    worst: float


@dataclass(frozen=True)
class Point:
    """The repeats of a point. Runs that differ only by their seed are repeats of one point."""

    nodes: int
    values: dict[str, str]
    runs: tuple[Outcome, ...]

    @property
    def done(self) -> int:
        """Number of runs that are done."""
        return sum(not run.why for run in self.runs)

    def summary(
        self,
        figure: str,
        smallest: bool,
        interval: bool = True,
        spread: confidence.Spread = None,
        logarithms: bool = False,
    ) -> Summary | None:
        """Summarise a figure over the repeats; None if no repeat has it. ``interval`` asks for the interval, which
        takes time; ``spread`` is what `Sweep.scatter` says about this point, of ``logarithms`` or of the figure."""
        having = [run for run in self.runs if figure in run.figures]
        if not having:
            return None
        values = tuple(run.figures[figure] for run in having)
        rate = figure == THROUGHPUT and min(values) > 0
        best = (min if smallest else max)(having, key=lambda run: run.figures[figure])
        bounds = None
        if interval:
            bounds = (
                confidence.rate(values, LEVEL, spread) if rate else confidence.mean(values, LEVEL, spread, logarithms)
            )
        return Summary(
            repeats=len(values),
            mean=float(confidence.harmonic_mean(np.array(values)) if rate else np.mean(values)),
            sd=float(np.std(values, ddof=1)) if len(values) > 1 else None,
            interval=bounds,
            best=best.figures[figure],
            best_run=best.name,
            worst=(max if smallest else min)(values),
        )


@dataclass(frozen=True)
class Sweep:
    """The points of a study, in the order of its index."""

    folder: Path
    workload: str
    points: tuple[Point, ...]
    target: tuple[str, str] | None  # the metric of the workload's target, and its relation: ">=" or "<="
    units: dict[str, str]  # units of the figures that have one

    @property
    def runs(self) -> list[Outcome]:
        """The runs of all points."""
        return [run for point in self.points for run in point.runs]

    @property
    def axes(self) -> list[str]:
        """The names of the axes by which points differ, except nodes and seed."""
        return list(dict.fromkeys(name for point in self.points for name in point.values))

    @property
    def figures(self) -> list[str]:
        """The figures that any run has: metrics in their order, then throughput and time."""
        names = list(dict.fromkeys(name for run in self.runs for name in (*run.figures, *run.unusable)))
        return sorted(names, key=lambda name: (THROUGHPUT, TIME).index(name) + 1 if name in (THROUGHPUT, TIME) else 0)

    @property
    def objective(self) -> str | None:
        """The figure that decides which point is best: that of the workload's target, else the first metric."""
        figures = self.figures
        return self.target[0] if self.target and self.target[0] in figures else next(iter(figures), None)

    @property
    def ended_early(self) -> dict[str, Any] | None:
        """What --until has saved; None if it has ended no run."""
        known = [(run, *run.epochs) for run in self.runs if run.epochs]
        after = Counter(trained for run, trained, _ in known if run.ended_early)
        saved = {
            "runs": after.total(),
            "after_epochs": dict(sorted(after.items())),
            "epochs_trained": sum(trained for _, trained, _ in known),
            "epochs_asked": sum(asked for *_, asked in known),
        }
        return saved if after else None

    def figure(self, name: str) -> str:
        """Return the full name of a figure, given with blanks or underscores.

        Raises
        ------
        Refusal
            If runs are done, and none has the figure.
        """
        for known in self.figures:
            if name in (known, known.replace("_", " ")):
                return known
        if any(not run.why for run in self.runs):
            raise Refusal(f"no run of {self.folder} has {name!r}: {nearest(name, self.figures)}")
        return name

    def logarithms(self, figure: str) -> bool:
        """Return whether runs are taken to differ by factors in a figure, as in times and rates: if it is positive in
        all of them. An interval of it then does not go below zero."""
        return figure == THROUGHPUT or all(run.figures.get(figure, 1) > 0 for run in self.runs)

    def scatter(self, figure: str) -> Scatter:
        """Return how much the repeats of each point differ in a figure, or in its logarithm."""
        samples = [[run.figures[figure] for run in point.runs if figure in run.figures] for point in self.points]
        if self.logarithms(figure):
            samples = [
                [math.log(value) for value in sample] if min(sample, default=0) > 0 else [] for sample in samples
            ]
        return scatter(samples)

    def smallest_is_best(self, figure: str) -> bool:
        """Return whether small values of a figure are good, by the workload's target, else by the figure's name."""
        if self.target and self.target[0] == figure:
            return self.target[1] == "<="
        return bool(_SMALL_IS_GOOD & set(re.split(r"[^a-z]+", figure.lower())))


def is_sweep(folder: Path) -> bool:
    """Return whether a study compares results: several points on one number of nodes, or only one number of nodes."""
    entries = entries_of(folder)
    series = {tuple(values_of(entry["values"]).items()) for entry in entries}
    return len(series) > 1 or len({entry["nodes"] for entry in entries}) == 1


def read(folder: Path, states: Callable[[Sequence[Path]], Sequence[str]]) -> Sweep:
    """Return the points of a study, whatever the state of their runs.

    Parameters
    ----------
    folder : Path
        Folder of the study.
    states : function
        Function that says why runs have no result; it is called once for all of them.

    Raises
    ------
    Refusal
        If the folder is not that of a study, or its index is damaged or empty.
    """
    index = read_index(folder)
    if not index or not index["runs"]:
        raise Refusal(
            f"{folder} is not the folder of a study with runs: make one with {command('--sweep lr=0.1,0.01 WORKLOAD')}"
        )
    entries = index["runs"]
    found, target, usual = outcomes.read(folder, entries, states)
    points: dict[tuple, list[Outcome]] = {}
    for entry in entries:
        key = (entry["nodes"], *values_of(entry["values"]).items())
        points.setdefault(key, []).append(found[entry["run"]])
    made = tuple(Point(runs[0].nodes, values_of(runs[0].values), tuple(runs)) for runs in points.values())
    return Sweep(folder, index.get("workload", ""), made, target, usual)
