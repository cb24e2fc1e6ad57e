"""Runs of programs that report figures of merit: their work, their speeds, and how weak or strong is decided."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from launch.errors import Refusal
from launch.plan import figures
from launch.plan.figures import Figure
from launch.record import cooperation
from launch.record.contents import Result
from launch.record.files import Unreadable
from launch.record.performance.figures import Throughput
from profiling import text

if TYPE_CHECKING:
    from profiling.study.run import Run
    from profiling.study.runs import Study

SUSPICIOUS = 1.2
"""Efficiency in weak scaling above which a note asks whether the scaling is strong."""
ALIKE = 0.02
"""Relative difference of work that still counts as the same: work need not divide by the number of ranks."""


def printed_note(study: Study) -> str:
    """Say where a printed throughput comes from."""
    first = study.runs[0]
    names = [
        name
        for name in figures.names(first.plan.get("fom") or {}, figures.OF_THE_RUN)
        if name in (first.result.get("metrics") or {})
    ]
    return (
        f"throughput is made of what the programs of {text.plural(len(study.runs), 'run')} printed (--fom {names[0]})"
    )


def scaling_note(study: Study) -> str:
    """Say how weak or strong scaling was decided for a program that does not report its work."""
    kind = study.index.get("scaling", "weak")
    note = f"{kind} scaling (--scaling): the program reports no work by which to tell"
    first, last = (study.by_ranks[ranks] for ranks in (min(study.by_ranks), max(study.by_ranks)))
    gained = max(run.throughput / run.ranks for run in last) / min(run.throughput / run.ranks for run in first)
    if kind == "weak" and gained > SUSPICIOUS:
        note += "; if all sizes solve the same problem, it is --scaling strong, also of this report"
    return note


def cooperation_note(study: Study) -> str:
    """Say if the ranks of the largest run each did the same work, or if that is unknown; empty if they cooperated."""
    largest = study.by_ranks[max(study.by_ranks)][-1].directory
    try:
        return cooperation.seen(largest, largest.plan())
    except (Unreadable, Refusal):  # a plan of another version
        return ""


def alike(works: Iterable[float]) -> bool:
    """Return whether the work of some runs is the same."""
    works = list(works)
    return max(works) <= (1 + ALIKE) * min(works)


def speeds(runs: Sequence[Run]) -> list[Run]:
    """Return the runs; in weak scaling, where larger problems are not faster, with speeds multiplied by the work."""
    by_series: dict[str, list[Run]] = {}
    for run in runs:
        by_series.setdefault(run.series, []).append(run)
    weak = set()
    for series, own in by_series.items():
        works = [run.printed.work for run in own if run.printed and run.printed.work]
        if len(works) == len(own) and not alike(works):
            weak.add(series)
    return [_times_work(run) if run.series in weak else run for run in runs]


def _times_work(run: Run) -> Run:
    speed = run.printed
    if speed is None or not speed.work:
        return run
    return dataclasses.replace(run, printed=Throughput(speed.value * speed.work, f"{run.work_unit} x {speed.unit}"))


def work(fom: Mapping[str, Figure], result: Result) -> Throughput | None:
    """Return the work that a program printed, with its unit; None if it printed none."""
    metrics, units = result.get("metrics") or {}, result.get("units") or {}
    for name in figures.names(fom, ["work"]):
        if isinstance(value := metrics.get(name), int | float) and 0 < value < math.inf:
            return Throughput(value, units.get(name, name))
    return None
