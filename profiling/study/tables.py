"""Studies, and plain tables (CSV or JSON with workers, throughput and kind) -> one series of points with repeats."""

import csv
import dataclasses
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from launch.errors import Refusal, nearest
from profiling.study import runs

COLUMNS = ("workers", "throughput", "kind")
"""What each row must have. `name` and `unit` are read where they stand; other columns are passed over."""


@dataclasses.dataclass(frozen=True)
class Point:
    """What was measured at one number of workers."""

    workers: int
    rates: tuple[float, ...]  # throughput of each repeat, in the order of the table

    @property
    def throughput(self) -> float:
        """Harmonic mean of the repeats: the rate of all of them together, as rates demand (Hoefler & Belli, SC15, rule 3)."""
        return len(self.rates) / sum(1 / rate for rate in self.rates)


@dataclasses.dataclass(frozen=True)
class Series:
    """Throughput against the number of workers, measured in one way."""

    name: str
    kind: str  # weak: the work of a worker is held; strong: the work of all together
    unit: str
    points: tuple[Point, ...]  # by rising number of workers
    notes: tuple[str, ...] = ()  # on what stands behind the readings

    @property
    def workers(self) -> list[int]:
        """The numbers of workers, rising."""
        return [point.workers for point in self.points]


@dataclasses.dataclass(frozen=True)
class Row:
    """One reading of a table."""

    where: str  # "line 3", "row 2": what a refusal calls it
    series: str
    kind: str
    unit: str
    workers: int
    throughput: float


def read(path: Path, name: str | None = None) -> Series:
    """Read one series of a table.

    Parameters
    ----------
    path : Path
        The folder of a study; or ``.csv`` with a header, or ``.json``: a list of rows, or one or a list of series (``workers`` and ``throughput``
        as lists, or ``repeats`` as lists by number of workers). Repeats are further rows; rows may stand in any order.
    name : str, optional
        Which series, where there are several.

    Returns
    -------
    Series
        Two points or more.

    Raises
    ------
    Refusal
        No such file, not a table, a value that is none, several series or kinds, fewer than two points.
    """
    if runs.is_study(path):
        return of_study(choose(runs.read(path), name))
    rows = read_rows(path)
    chosen = _choose(path, name, [row.series for row in rows])
    return _series(path, [row for row in rows if row.series == chosen], ())


def choose(study: runs.Study, name: str | None = None) -> runs.Study:
    """One series of a study, as `read` chooses it."""
    return study.only(_choose(study.folder, name, study.series))


def of_study(study: runs.Study) -> Series:
    """The series that a study of one series has measured.

    Raises
    ------
    Refusal
        One point only, or neither weak nor strong scaling.
    """
    kind = runs.kind(study)
    rows = [Row(run.name, run.series, kind, study.unit, run.ranks, run.throughput) for run in study.runs]
    return _series(study.folder, rows, tuple(runs.notes(study)))


def names(path: Path) -> list[str]:
    """The names of the series in a table or a study, in their order."""
    if runs.is_study(path):
        return runs.read(path).series
    return list({row.series: None for row in read_rows(path)})


def _choose(path: Path, name: str | None, present: list[str]) -> str:
    known = list(dict.fromkeys(present))
    if name is not None and name not in known:
        raise Refusal(f"{path} has no series {name!r}: {nearest(name, known)}")
    if name is None and len(known) > 1:
        raise Refusal(f"{path} holds {len(known)} series: choose one with --series; {nearest('', known)}")
    return known[0] if name is None else name


def _series(path: Path, rows: list[Row], notes: tuple[str, ...]) -> Series:
    by_kind: dict[str, list[str]] = {}
    for row in rows:
        by_kind.setdefault(row.kind, []).append(row.where)
    if len(by_kind) > 1:
        held = "; ".join(f"{kind}: {_some(where)}" for kind, where in by_kind.items())
        raise Refusal(
            f"{path} mixes weak and strong scaling ({held}): they have no common law; keep one kind, or name each row's series and choose with --series"
        )
    rates: dict[int, list[float]] = {}
    for row in rows:
        rates.setdefault(row.workers, []).append(row.throughput)
    if len(rates) < 2:
        raise Refusal(
            f"{path} has one point only ({rows[0].workers} workers): scaling needs two numbers of workers or more"
        )
    points = tuple(Point(workers, tuple(rates[workers])) for workers in sorted(rates))
    return Series(rows[0].series, rows[0].kind, rows[0].unit, points, notes)


def _some(where: list[str]) -> str:
    return ", ".join(where[:8]) + (f" and {len(where) - 8} more" if len(where) > 8 else "")


def read_rows(path: Path) -> list[Row]:
    """Every reading of a plain table, checked.

    Raises
    ------
    Refusal
        See `read`.
    """
    readers = {".csv": _csv_cells, ".json": _json_cells}
    if path.suffix.lower() not in readers:
        raise Refusal(
            f"{path} is neither .csv nor .json, nor the folder of a study: give a table with the columns {', '.join(COLUMNS)}"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(
            f"cannot read {path} ({getattr(error, 'strerror', None) or 'not UTF-8'}): give a .csv or .json table"
        ) from None
    if not text.strip():
        raise Refusal(f"{path} is empty: give a table with the columns {', '.join(COLUMNS)}")
    rows = [_row(path, where, cells) for where, cells in readers[path.suffix.lower()](path, text)]
    if not rows:
        raise Refusal(f"{path} has no rows: give a line for each reading, with {', '.join(COLUMNS)}")
    return rows


def _csv_cells(path: Path, text: str) -> Iterable[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    header = [(name or "").strip().lower() for name in reader.fieldnames or ()]
    reader.fieldnames = header
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise Refusal(
            f"{path} has no column {', '.join(missing)}: its header is {', '.join(header)}; give {', '.join(COLUMNS)}"
        )
    for cells in reader:
        yield f"line {reader.line_num}", cells


def _json_cells(path: Path, text: str) -> Iterable[tuple[str, dict[str, Any]]]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Refusal(f"{path} is not JSON ({error}): give a list of rows or of series") from None
    for number, item in enumerate(value if isinstance(value, list) else [value], 1):
        if not isinstance(item, dict):
            raise Refusal(f"{path}, row {number}: {item!r} is no row; give objects with {', '.join(COLUMNS)}")
        if isinstance(item.get("repeats"), dict):
            pairs = [
                (workers, rate)
                for workers, rates in item["repeats"].items()
                for rate in (rates if isinstance(rates, list) else [rates])
            ]
        elif isinstance(item.get("workers"), list) and isinstance(item.get("throughput"), list):
            if len(item["workers"]) != len(item["throughput"]):
                raise Refusal(
                    f"{path}, series {item.get('name', number)!r}: {len(item['workers'])} workers but {len(item['throughput'])} values of throughput; give as many of each"
                )
            pairs = list(zip(item["workers"], item["throughput"], strict=True))
        else:
            yield f"row {number}", item
            continue
        for position, (workers, rate) in enumerate(pairs, 1):
            yield (
                f"series {item.get('name', number)!r}, value {position}",
                {**item, "workers": workers, "throughput": rate},
            )


def _row(path: Path, where: str, cells: dict[str, Any]) -> Row:
    missing = [name for name in COLUMNS if cells.get(name) in (None, "")]
    if missing:
        raise Refusal(f"{path}, {where} has no {', '.join(missing)}: give {', '.join(COLUMNS)}")
    workers = _number(path, where, "workers", cells["workers"])
    if workers != int(workers):
        raise Refusal(f"{path}, {where}: workers is {cells['workers']}; give a whole number, 1 or more")
    throughput = _number(path, where, "throughput", cells["throughput"])
    # A kind may carry a remark, as in "strong (labelled weak by its source)": its first word counts.
    kind = re.match(r"\s*(weak|strong)\b", str(cells["kind"]), re.IGNORECASE)
    if not kind:
        raise Refusal(
            f"{path}, {where}: kind is {cells['kind']!r}; give weak (work of a worker held) or strong (work of all held)"
        )
    name, unit = (
        str(cells.get(key) or default).strip() for key, default in (("name", path.stem), ("unit", "examples/s"))
    )
    return Row(where, name, kind[1].lower(), unit, int(workers), throughput)


def _number(path: Path, where: str, name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    least = 0 if name == "throughput" else 1
    if not math.isfinite(number) or number < least or number == 0:
        raise Refusal(
            f"{path}, {where}: {name} is {value!r}; give a finite number {'above 0' if least == 0 else 'of 1 or more'}"
        )
    return number
