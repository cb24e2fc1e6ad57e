"""python -m launch status [RUN|FOLDER ...] [--advice] [--json]: the states of runs; without a name, of those in the
folder runs.

With --advice: what the runs that have ended asked for and what they used of it (time, cores, memory, GPUs), with the
options to give next time. For a study, this covers all its runs together, and says on how many nodes it had the best
cost for the time."""

import contextlib
import dataclasses
import functools
import itertools
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.cli.names import Named, short
from launch.errors import Refusal, command
from launch.plan import options
from launch.plan.walltime import clock
from launch.record.failures import bad_nodes
from launch.record.files import Unreadable
from launch.record.performance.figures import UNIT
from launch.record.rundir import RunDir
from launch.record.study import INDEX, entries_of, is_study
from launch.record.table import aligned, on_a_line
from launch.screen import OF_STATES, coloured
from launch.submit import places, states
from launch.submit.study import efficiency, eta
from launch.submit.study.naming import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Named):
    """How to show the runs."""

    advice: bool = False  # for runs that have ended: what to ask for next time
    json: bool = False  # print everything that is known as JSON, for programs


def main(argv: list[str]) -> int:
    """Print a line per run; return 0.

    Raises
    ------
    Refusal
        If something named is neither a run nor a folder with runs.
    """
    chosen, words = options.with_words(Options, argv, "status")
    if chosen.advice:
        return _advise(chosen.paths(words), chosen.json)
    known, efficiencies, bad, doubts = look(chosen.paths(words))
    if chosen.json:
        left = eta.of_studies(known)
        entries = as_json(known, efficiencies, bad)
        print(json.dumps([one | {"study_left_s": left.get(Path(one["path"]).parent)} for one in entries], indent=1))
    else:
        show(lines(known, efficiencies, bad), colours(known))
    for doubt in doubts:
        print(f"launch: {doubt}", file=sys.stderr)
    return 0


def _advise(named: Sequence[Path], as_objects: bool) -> int:
    from launch.submit.advice import advice

    alone = {path.absolute() for path in named}
    folders: list[Path] = []
    for folder, runs in places.grouped(places.find(named)).items():
        folders += runs if alone.issuperset(runs) else [folder]
    found = [advice.of(folder) for folder in folders]
    if as_objects:
        print(json.dumps([advice.as_json(one) for one in found], indent=1))
    else:
        print("\n\n".join(map(advice.report, found)))
    return 0


def look(
    words: Sequence[str | Path],
) -> tuple[list[states.Known], dict[Path, float], list[bad_nodes.BadNode], list[str]]:
    """Return what is known about the named runs, their efficiencies, the nodes that keep failing, and what could not be
    found out."""
    known, silence = states.look(places.find(words))
    efficiencies: dict[Path, float] = {}
    doubts = (
        [f"the scheduler does not answer ({silence}): the states shown are those that the runs recorded"]
        if silence
        else []
    )
    for folder in dict.fromkeys(one.path.parent for one in known if is_study(one.path.parent)):
        try:
            efficiencies |= efficiency.so_far(folder, [one for one in known if one.path.parent == folder])
        except Refusal as refusal:  # the runs are shown all the same
            doubts.insert(0, str(refusal))
    return known, efficiencies, bad_nodes.among(RunDir(one.path) for one in known if one.attempts), doubts


def lines(
    known: Sequence[states.Known], efficiencies: Mapping[Path, float], bad: Sequence[bad_nodes.BadNode]
) -> list[str]:
    """Return the table of the runs, and below it the bad nodes."""
    said = ["", *bad_nodes.said(bad), f"leave them out: {command('resume RUN --exclude-bad-nodes')}"] if bad else []
    left = [
        f"\n{short(folder)}: {eta.text(seconds)}, by the runs that are done"
        for folder, seconds in eta.of_studies(known).items()
    ]
    return [*table(rows(known, efficiencies), always=("run", "state")), *left, *said]


def as_json(
    known: Sequence[states.Known],
    efficiencies: Mapping[Path, float] | None = None,
    bad: Sequence[bad_nodes.BadNode] = (),
) -> list[dict[str, Any]]:
    """Return an object for each run, with the fields of `launch.submit.states.Known`, its efficiency, and the bad nodes
    on which it has failed."""
    return [
        {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in dataclasses.asdict(one).items()
        }  # JSON has no NaN
        | {"path": str(one.path), "efficiency": (efficiencies or {}).get(one.path)}
        | {"bad_nodes": [node.host for node in bad if one.path in node.runs]}
        | {"values": _values(one.path)}
        for one in known
    ]


def table(rows: Sequence[dict[str, str]], always: Sequence[str]) -> list[str]:
    """Return the lines of a table, without columns that are empty in all rows, except those in ``always``."""
    names = [name for name in rows[0] if name in always or any(row[name] for row in rows)]
    return aligned([names, *([row[name] for name in names] for row in rows)]).split("\n")


def colours(known: Sequence[states.Known]) -> list[str | None]:
    """Return the colours of the first lines of the table: its head, and a line for each run."""
    return [None, *(OF_STATES.get(one.state) for one in known)]


def show(lines: Sequence[str], colours: Sequence[str | None] = ()) -> None:
    """Print lines; on a terminal, cut them to its width, and show the first ones in their colours."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    pairs = itertools.zip_longest(lines, colours[: len(lines)])
    print("\n".join(coloured(line[:width], colour) for line, colour in pairs))


def rows(known: Sequence[states.Known], efficiencies: Mapping[Path, float] | None = None) -> list[dict[str, str]]:
    """Return the cells of the table, by the names of its columns. If all throughputs have the same unit, it is in the
    column's name."""
    units = {one.unit for one in known if one.throughput is not None} or {UNIT}
    shared = next(iter(units)) if len(units) == 1 else ""
    return [_row(one, (efficiencies or {}).get(one.path), shared) for one in known]


def _row(one: states.Known, efficiency: float | None, unit: str) -> dict[str, str]:
    shape = f"{one.nodes}x{one.ranks // one.nodes}" if one.nodes and one.ranks else ""
    return {
        "run": short(one.path),
        "state": one.state,
        "values": _beside_name(one.path),
        "job": one.job or "",
        "shape": shape,
        "step": "" if one.step is None else f"{one.step}" + (f"/{one.steps}" if one.steps else ""),
        "epoch": "" if one.epoch is None or one.epochs is None else f"{one.epoch:.2f}/{one.epochs:g}",
        "loss": "" if one.loss is None else f"{one.loss:.4g}",
        unit or "throughput": "" if one.throughput is None else f"{one.throughput:.4g}" + f" {one.unit}" * (not unit),
        "efficiency": "" if efficiency is None else f"{efficiency:.0%}",
        "left": "" if one.left_s is None else clock(int(one.left_s)),
        "attempts": str(one.attempts) if one.attempts > 1 else "",
        "nodes": one.hosts,
        "reason": one.reason,
        "last line": one.last_line,
    }


def _values(run: Path) -> dict[str, str]:
    """Return the values of a run on the axes of its study, as written."""
    with contextlib.suppress(OSError, Unreadable):  # the run is not in a study; a damaged study is reported elsewhere
        return _index(run.parent, os.stat(run.parent / INDEX).st_mtime_ns).get(run.name, {})
    return {}


@functools.lru_cache(maxsize=16)
def _index(folder: Path, changed: int) -> dict[str, dict[str, str]]:
    return {entry["run"]: entry["values"] for entry in entries_of(folder)}


def _beside_name(run: Path) -> str:
    """Return the values that the name of the run does not show exactly."""
    hidden = {axis: value for axis, value in _values(run).items() if f"-{axis}{value}" not in run.name}
    return on_a_line(", ".join(f"{axis}={shown(axis, value)}" for axis, value in hidden.items()))
