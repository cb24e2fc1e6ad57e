"""The results of a study, point by point: the metrics, throughput and time of its runs.

Unlike `profiling.study.runs` it compares results. It needs no records of steps and leaves out no finished run.
"""

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from launch.errors import Refusal, command, nearest
from launch.record.contents import Event
from launch.record.files import Unreadable
from launch.record.performance.figures import UNIT
from launch.record.performance.printed import NO_UNIT
from launch.record.rundir import RunDir
from launch.record.study import Entry, read_index
from profiling.study import confidence
from profiling.study.confidence import Interval
from profiling.study.variance import Scatter, scatter

LEVEL = 0.95
THROUGHPUT, TIME = "throughput", "time"
"""Figures of each run in addition to its metrics: throughput of all ranks, and the seconds of its attempts."""

_SMALL_IS_GOOD = {
    "cost", "energy", "err", "error", "errors", "latency", "loss", "losses", "mae", "mse", "nll", "perplexity",
    "residual", "rms", "rmse", "seconds", "time",
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """A run of a study."""

    name: str
    nodes: int
    values: dict[str, str]  # of its axes
    repeat: int
    figures: dict[str, float]  # finite ones
    why: str  # why it has no figures: its state; empty for a run that is done
    unusable: dict[str, str] = field(
        default_factory=dict
    )  # figures that are not a finite number, or in an unusual unit -> what they are


@dataclass(frozen=True)
class Summary:
    """A figure over the repeats of a point."""

    repeats: int  # that have it
    mean: float  # arithmetic; of throughput harmonic, as of all rates
    sd: float | None  # of the sample; None of one repeat
    interval: Interval | None  # of the mean; None of one repeat
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
        """How many of its runs are done."""
        return sum(not run.why for run in self.runs)

    def summary(
        self, figure: str, smallest: bool, interval: bool = True, spread: confidence.Spread = None
    ) -> Summary | None:
        """A figure over its repeats, None where none has it; ``interval`` asks for that, which takes its time, and
        ``spread`` is what `Sweep.scatter` says of this point."""
        having = [run for run in self.runs if figure in run.figures]
        if not having:
            return None
        values = tuple(run.figures[figure] for run in having)
        rate = figure == THROUGHPUT and min(values) > 0
        best = (min if smallest else max)(having, key=lambda run: run.figures[figure])
        bounds = (confidence.rate if rate else confidence.mean)(values, LEVEL, spread) if interval else None
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
    units: dict[str, str]  # of the figures that have one

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

    def figure(self, name: str) -> str:
        """A figure by its name, in which blanks may replace underscores.

        Raises
        ------
        Refusal
            If no run has it, though some are done.
        """
        for known in self.figures:
            if name in (known, known.replace("_", " ")):
                return known
        if any(not run.why for run in self.runs):
            raise Refusal(f"no run of {self.folder} has {name!r}: {nearest(name, self.figures)}")
        return name

    def scatter(self, figure: str) -> Scatter:
        """How much the repeats of each point differ in a figure, or of throughput in its logarithm."""
        samples = [[run.figures[figure] for run in point.runs if figure in run.figures] for point in self.points]
        if figure == THROUGHPUT:
            samples = [
                [math.log(value) for value in sample] if min(sample, default=0) > 0 else [] for sample in samples
            ]
        return scatter(samples)

    def smallest_is_best(self, figure: str) -> bool:
        """Whether small values of a figure are good, according to the workload's target, else to its name."""
        if self.target and self.target[0] == figure:
            return self.target[1] == "<="
        return bool(_SMALL_IS_GOOD & set(re.split(r"[^a-z]+", figure.lower())))


def is_sweep(folder: Path) -> bool:
    """Whether a study compares results: several points on one number of nodes, or only one number of nodes."""
    entries = (read_index(folder) or {"runs": []})["runs"]
    series = {tuple(_values(entry["values"]).items()) for entry in entries}
    return len(series) > 1 or len({entry["nodes"] for entry in entries}) == 1


def read(folder: Path, states: Callable[[Sequence[Path]], Sequence[str]]) -> Sweep:
    """The points of a study, whatever the state of their runs.

    Parameters
    ----------
    folder : Path
        Of the study.
    states : function
        Says why runs have no result; it is called once for all of them.

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
    found: dict[str, Outcome] = {}
    unfinished: list[Entry] = []
    units: dict[str, dict[str, str]] = {}  # of each run
    target = None
    for entry in entries:
        run = RunDir(folder / entry["run"])
        try:
            result = run.result()
            if result is None:
                unfinished.append(entry)
                continue
            target = target or _target(run)
            figures, unusable = _figures(result.get("metrics") or {})
            units[entry["run"]] = dict(result.get("units") or {})
            if THROUGHPUT not in figures and (rate := result.get("throughput_examples_per_s")) is not None:
                figures[THROUGHPUT], units[entry["run"]][THROUGHPUT] = rate, UNIT
            if (seconds := _seconds(run.events(), os.stat(run.result_json).st_mtime)) is not None:
                figures.setdefault(TIME, seconds)
            found[entry["run"]] = Outcome(*_where(entry), figures, "", unusable)
        except Unreadable as error:
            found[entry["run"]] = Outcome(*_where(entry), {}, error.reason)
    usual = _keep_one_unit(found, units)
    reasons = states([folder / entry["run"] for entry in unfinished]) if unfinished else []
    found |= {entry["run"]: Outcome(*_where(entry), {}, why) for entry, why in zip(unfinished, reasons)}
    points: dict[tuple, list[Outcome]] = {}
    for entry in entries:
        key = (entry["nodes"], *_values(entry["values"]).items())
        points.setdefault(key, []).append(found[entry["run"]])
    made = tuple(Point(runs[0].nodes, _values(runs[0].values), tuple(runs)) for runs in points.values())
    return Sweep(folder, index.get("workload", ""), made, target, usual)


def _keep_one_unit(runs: Mapping[str, Outcome], units: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The units of figures; a figure that a run has in another unit than most is marked unusable there."""
    seen: dict[str, Counter[str]] = {}
    for run, of in units.items():
        for name in runs[run].figures:
            seen.setdefault(name, Counter())[of.get(name, "")] += 1
    usual = {name: times.most_common(1)[0][0] for name, times in seen.items()}
    for run, of in units.items():
        outcome = runs[run]
        for name in [name for name in outcome.figures if of.get(name, "") != usual[name]]:
            del outcome.figures[name]
            outcome.unusable[name] = f"in {of.get(name) or NO_UNIT}, that of most runs in {usual[name] or NO_UNIT}"
    return {name: unit for name, unit in usual.items() if unit}


def _where(entry: Entry) -> tuple[str, int, dict[str, str], int]:
    return entry["run"], entry["nodes"], entry["values"], entry["repeat"]


def _values(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name != "seed"}


def _figures(metrics: Mapping[str, object]) -> tuple[dict[str, float], dict[str, str]]:
    """The metrics that are finite numbers, and what the others are."""
    finite, others = {}, {}
    for name, value in metrics.items():
        if isinstance(value, bool | int | float) and math.isfinite(value):
            finite[name] = float(value)
        elif isinstance(value, float):
            others[name] = str(value)
    return finite, others


def _seconds(events: Sequence[Event], finished: float) -> float | None:
    """Seconds of the attempts of a run, without the time between them; None if the end of one is not known.

    If the end of the last one is not recorded yet, it is the time of the result.
    """
    spent, started = 0.0, None
    for event in events:
        if event["event"] == "started":
            if started is not None:
                return None
            started = event["time"]
        elif event["event"] == "ended" and started is not None:
            spent, started = spent + event["time"] - started, None
    if started is not None:
        spent += finished - started
    return spent if spent > 0 else None


def _target(run: RunDir) -> tuple[str, str] | None:
    match (run.training() or {}).get("target"):
        case [str() as metric, (">=" | "<=") as relation, *_]:
            return metric, relation
    return None
