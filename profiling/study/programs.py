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
RANK_RUNS = "rank-"
"""Begins the unit of runs per time if each rank has a problem of its own."""
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


def by_work(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with what they printed put in relation to the work of their series, if all report it.

    In weak scaling, where larger problems are not faster, a speed is multiplied by the work. Runs per time count the
    problems of all ranks in weak scaling, and a single one in strong scaling.
    """
    by_series: dict[str, list[Run]] = {}
    for run in runs:
        by_series.setdefault(run.series, []).append(run)
    weak = {series: not alike(run.work or 0 for run in own) for series, own in by_series.items() if _have_work(own)}
    return [_related(run, weak[run.series]) if run.series in weak else run for run in runs]


def _have_work(runs: Sequence[Run]) -> bool:
    return all(run.work for run in runs)


def _related(run: Run, weak: bool) -> Run:
    printed = run.printed
    if printed is None or printed.kind == "rate":
        return run
    value, unit = printed.value, printed.unit
    if printed.kind == "speed" and weak:
        value, unit = value * (run.work or 1), f"{run.work_unit} x {unit}"
    elif printed.kind == "runs" and weak != unit.startswith(RANK_RUNS):
        value, unit = (value * run.ranks, RANK_RUNS + unit) if weak else (value / run.ranks, unit[len(RANK_RUNS) :])
    return dataclasses.replace(run, printed=Throughput(value, unit))


def work(fom: Mapping[str, Figure], result: Result) -> Throughput | None:
    """Return the work that a program printed, with its unit; None if it printed none."""
    metrics, units = result.get("metrics") or {}, result.get("units") or {}
    for name in figures.names(fom, ["work"]):
        if isinstance(value := metrics.get(name), int | float) and 0 < value < math.inf:
            return Throughput(value, units.get(name, name))
    return None
