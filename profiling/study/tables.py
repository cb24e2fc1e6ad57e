"""Studies, and plain tables (CSV or JSON with workers, throughput and kind) -> one series of points with repeats."""

import csv
import dataclasses
import json
import math
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from launch.errors import Refusal, command, nearest
from launch.plan import typed
from launch.record.rundir import RunDir
from profiling.study import runs

COLUMNS = ("workers", "throughput", "kind")
"""Columns that each row must have. `name` and `unit` are optional; other columns are ignored."""


@dataclasses.dataclass(frozen=True)
class Point:
    """The measurements at one number of workers."""

    workers: int
    rates: tuple[float, ...]  # throughput of each repeat, in the order of the table

    @property
    def throughput(self) -> float:
        """Harmonic mean of the repeats: the rate of all of them together (Hoefler & Belli, SC15, rule 3)."""
        return len(self.rates) / sum(1 / rate for rate in self.rates)


@dataclasses.dataclass(frozen=True)
class Series:
    """Throughput against the number of workers, measured in one way."""

    name: str
    kind: str  # weak: the work per worker is constant; strong: the work of all workers together
    unit: str
    points: tuple[Point, ...]  # by rising number of workers
    notes: tuple[str, ...] = ()  # on the origin of the measurements

    @property
    def workers(self) -> list[int]:
        """The numbers of workers, in rising order."""
        return [point.workers for point in self.points]


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One row of a table, or one run of a study."""

    where: str  # "line 3", "row 2": what a refusal calls it
    series: str
    kind: str
    unit: str
    workers: int
    throughput: float


def read(path: Path, name: str | None = None) -> Series:
    """Read one series of a plain table, selected by its name if there are several.

    A table is ``.csv`` with a header, or ``.json``: a list of rows, or one or a list of series (``workers`` and
    ``throughput`` as lists, or ``repeats`` as lists by number of workers). Repeats are further rows; rows may be in
    any order.

    Raises
    ------
    Refusal
        No such file, not a table, an invalid value, several series or kinds, fewer than two points.
    """
    measurements = _measurements(path)
    chosen = _choose(path, name, [one.series for one in measurements])
    return _series(path, [one for one in measurements if one.series == chosen], ())


def choose(study: runs.Study, name: str | None = None) -> runs.Study:
    """One series of a study, selected as in `read`."""
    return study.only(_choose(study.folder, name, study.series))


def of_study(study: runs.Study) -> Series:
    """The measured series of a study that has one series.

    Raises
    ------
    Refusal
        One point only, or neither weak nor strong scaling.
    """
    kind = runs.kind(study)
    measurements = [Measurement(run.name, run.series, kind, run.unit, run.ranks, run.throughput) for run in study.runs]
    return _series(study.folder, measurements, tuple(runs.notes(study)))


def names(path: Path) -> list[str]:
    """The names of the series in a plain table, in their order."""
    return list(dict.fromkeys(one.series for one in _measurements(path)))


def _choose(path: Path, name: str | None, present: Sequence[str]) -> str:
    known = list(dict.fromkeys(present))
    if name is not None and name not in known:
        raise Refusal(f"{path} has no series {name!r}: {nearest(name, known)}")
    if name is None and len(known) > 1:
        names = ", ".join(map(shlex.quote, known[:8])) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
        raise Refusal(f"{path} has {len(known)} series: choose one with --series; known: {names}")
    return known[0] if name is None else name


def _series(path: Path, measurements: Sequence[Measurement], notes: tuple[str, ...]) -> Series:
    by_kind: dict[str, list[str]] = defaultdict(list)
    rates: dict[int, list[float]] = defaultdict(list)
    for one in measurements:
        by_kind[one.kind].append(one.where)
        rates[one.workers].append(one.throughput)
    if len(by_kind) > 1:
        kinds = "; ".join(f"{kind}: {_some(where)}" for kind, where in by_kind.items())
        raise Refusal(
            f"{path} mixes weak and strong scaling ({kinds}): they have no common law; keep one kind, or name each "
            "row's series and choose with --series"
        )
    first = measurements[0]
    if len(rates) < 2:
        workers = f"{first.workers} worker{'s' * (first.workers > 1)}"
        raise Refusal(f"{path} has one point only ({workers}): scaling needs two numbers of workers or more")
    points = tuple(Point(workers, tuple(rates[workers])) for workers in sorted(rates))
    return Series(first.series, first.kind, first.unit, points, notes)


def _some(where: Sequence[str]) -> str:
    return ", ".join(where[:8]) + (f" and {len(where) - 8} more" if len(where) > 8 else "")


def _measurements(path: Path) -> list[Measurement]:
    """Every row of a plain table, checked."""
    readers = {".csv": _csv_rows, ".json": _json_rows}
    needed = f"give a table with the columns {', '.join(COLUMNS)}"
    if RunDir(path).run_json.is_file():
        raise Refusal(f"{path} is a run, and a table is that of a study: {command('summary', path)} shows the run")
    if path.suffix.lower() not in readers:
        raise Refusal(f"{path} is neither .csv nor .json, nor the folder of a study: {needed}")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise Refusal(f"cannot read {path} ({why}): give a .csv or .json table") from None
    if not content.strip():
        raise Refusal(f"{path} is empty: {needed}")
    rows = [_measurement(path, where, cells) for where, cells in readers[path.suffix.lower()](path, content)]
    if not rows:
        raise Refusal(f"{path} has no rows: give a line for each measurement, with {', '.join(COLUMNS)}")
    return rows


def _csv_rows(path: Path, content: str) -> Iterable[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(content.splitlines(), skipinitialspace=True)
    header = [(name or "").strip().lower() for name in reader.fieldnames or ()]
    reader.fieldnames = header
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise Refusal(
            f"{path} has no column {', '.join(missing)}: its header is {', '.join(header)}; give {', '.join(COLUMNS)}"
        )
    for cells in reader:
        yield f"line {reader.line_num}", cells


def _json_rows(path: Path, content: str) -> Iterable[tuple[str, dict[str, Any]]]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path} is not JSON ({error}): give a list of rows or of series") from None
    for number, item in enumerate(value if isinstance(value, list) else [value], 1):
        if not isinstance(item, dict):
            raise Refusal(f"{path}, row {number}: {item!r} is not a row; give objects with {', '.join(COLUMNS)}")
        name, workers, throughput = item.get("name", number), item.get("workers"), item.get("throughput")
        if isinstance(repeats := item.get("repeats"), dict):
            lists = {count: rates if isinstance(rates, list) else [rates] for count, rates in repeats.items()}
            pairs = [(count, rate) for count, rates in lists.items() for rate in rates]
        elif isinstance(workers, list) and isinstance(throughput, list):
            if len(workers) != len(throughput):
                raise Refusal(
                    f"{path}, series {name!r}: {len(workers)} workers but {len(throughput)} values of throughput; "
                    "give as many of each"
                )
            pairs = list(zip(workers, throughput))
        else:
            yield f"row {number}", item
            continue
        for position, (count, rate) in enumerate(pairs, 1):
            yield f"series {name!r}, value {position}", {**item, "workers": count, "throughput": rate}


def _measurement(path: Path, where: str, cells: dict[str, Any]) -> Measurement:
    missing = [name for name in COLUMNS if cells.get(name) in (None, "")]
    if missing:
        raise Refusal(f"{path}, {where} has no {', '.join(missing)}: give {', '.join(COLUMNS)}")
    workers, throughput = (_number(cells[name]) for name in ("workers", "throughput"))
    # A kind may carry a remark, as in "strong (labelled weak by its source)": its first word counts.
    kind = re.match(r"\s*(weak|strong)\b", str(cells["kind"]), re.IGNORECASE)
    for name, fits, needed in (
        ("workers", 1 <= workers < math.inf and workers.is_integer(), "a whole number, 1 or more"),
        ("throughput", 0 < throughput < math.inf, "a finite number above 0"),
        ("kind", kind, "weak (the work per worker held) or strong (the work of all held)"),
    ):
        if not fits:
            raise Refusal(f"{path}, {where}: {name} is {typed.shown(cells[name])}; give {needed}")
    name, unit = (
        str(cells.get(key) or default).strip() for key, default in (("name", path.stem), ("unit", "examples/s"))
    )
    return Measurement(where, name, kind[1].lower() if kind else "", unit, int(workers), throughput)


def _number(value: Any) -> float:
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
