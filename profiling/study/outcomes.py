"""The results of the runs of a study, from their files: metrics, throughput and time of each."""

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launch.record.files import Unreadable
from launch.record.performance.figures import UNIT
from launch.record.performance.printed import NO_UNIT
from launch.record.rundir import RunDir
from launch.record.study import Entry
from profiling.progress import through
from profiling.study.cost import attempt_seconds

THROUGHPUT, TIME = "throughput", "time"
"""Figures of each run in addition to its metrics: throughput of all ranks, and the seconds of its attempts."""
Target = tuple[str, str]
"""The metric of a workload's target, and its relation: ">=" or "<="."""


@dataclass(frozen=True)
class Outcome:
    """A run of a study, with its results."""

    name: str
    nodes: int
    values: dict[str, str]  # its values on the axes
    repeat: int
    figures: dict[str, float]  # its finite figures by name
    why: str  # why it has no figures: its state; empty for a run that is done
    unusable: dict[str, str] = field(
        default_factory=dict
    )  # figures that are not a finite number, or in an unusual unit -> what they are
    epochs: tuple[float, float] | None = None  # epochs trained, and epochs asked for; None if it is not a training
    ended_early: bool = False  # whether --until ended it because others were better


def read(
    folder: Path, entries: Sequence[Entry], states: Callable[[Sequence[Path]], Sequence[str]]
) -> tuple[dict[str, Outcome], Target | None, dict[str, str]]:
    """Return the outcome of each run of an index, the target of their workload, and the units of figures.

    ``states`` says why runs have no result; it is called once for all of them.
    """
    found: dict[str, Outcome] = {}
    unfinished: list[Entry] = []
    units: dict[str, dict[str, str]] = {}  # run -> figure -> unit
    target = None
    for entry in through(entries, "runs read"):
        run = RunDir(folder / entry["run"])
        try:
            result = run.result()
            if result is None:
                unfinished.append(entry)
                continue
            target = target or _target(run)
            figures, unusable = _figures(result.get("metrics") or {})
            units[entry["run"]] = dict(result.get("units") or {})
            if (printed := result.get("throughput")) is not None:  # by its figures of merit, whatever their names
                unit = result.get("unit", NO_UNIT)
                figures[THROUGHPUT], units[entry["run"]][THROUGHPUT] = printed, "" if unit == NO_UNIT else unit
            elif THROUGHPUT not in figures and (rate := result.get("throughput_examples_per_s")) is not None:
                figures[THROUGHPUT], units[entry["run"]][THROUGHPUT] = rate, UNIT
            if (seconds := attempt_seconds(run.events(), os.stat(run.result_json).st_mtime)) is not None:
                figures.setdefault(TIME, seconds)
            asked = (run.training() or {}).get("epochs")
            epochs = (trained, asked) if asked and (trained := result.get("epochs")) is not None else None
            found[entry["run"]] = Outcome(*_where(entry), figures, "", unusable, epochs, "ended_early" in result)
        except Unreadable as error:
            found[entry["run"]] = Outcome(*_where(entry), {}, error.reason)
    usual = _keep_one_unit(found, units)
    reasons = states([folder / entry["run"] for entry in unfinished]) if unfinished else []
    found |= {entry["run"]: Outcome(*_where(entry), {}, why) for entry, why in zip(unfinished, reasons)}
    return found, target, usual


def _keep_one_unit(runs: Mapping[str, Outcome], units: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the usual units of figures; a figure is marked unusable in runs that have it in another unit."""
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


def values_of(values: Mapping[str, str]) -> dict[str, str]:
    """Return the values on the axes that tell points apart: runs that differ by their seed are repeats."""
    return {name: value for name, value in values.items() if name != "seed"}


def _figures(metrics: Mapping[str, object]) -> tuple[dict[str, float], dict[str, str]]:
    """Return the metrics that are finite numbers, and what the others are."""
    finite, others = {}, {}
    for name, value in metrics.items():
        if isinstance(value, bool | int | float) and math.isfinite(value):
            finite[name] = float(value)
        elif isinstance(value, float):
            others[name] = str(value)
    return finite, others


def _target(run: RunDir) -> tuple[str, str] | None:
    match (run.training() or {}).get("target"):
        case [str() as metric, (">=" | "<=") as relation, *_]:
            return metric, relation
    return None
