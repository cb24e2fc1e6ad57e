"""Studies, and plain tables -> one series of points with repeats."""

import codecs
import dataclasses
import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path

from launch.errors import Refusal, command, nearest
from launch.record.rundir import RunDir
from profiling import text
from profiling.study import runs
from profiling.tables import reading as understood
from profiling.tables.columns import NEEDED, Asked
from profiling.tables.reading import Measurement, Reading

NOTHING = Asked()


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
    kind: str  # weak: the work per worker is held; strong: the work of all together; empty: unknown
    unit: str
    points: tuple[Point, ...]  # by rising number of workers
    notes: tuple[str, ...] = ()  # notes on what is behind the measurements
    understood: str = ""  # one line on how a table was read; empty if nothing had to be inferred
    parameter: str = ""  # what the series of one table differ by, such as the size of the problem
    size: float | None = None  # value of that parameter
    works: str = "workers"  # what the workers are, in the plural: GPUs, nodes
    seconds: Mapping[int, float] = field(default_factory=dict)  # workers -> mean time, if the table has times
    counts: Mapping[str, Mapping[int, int]] = field(default_factory=dict)  # GPU, node ... -> workers -> how many

    def counted(self, workers: int) -> str:
        """Return a number of workers in words."""
        return text.counted(workers, self.works)

    @property
    def workers(self) -> list[int]:
        """The numbers of workers, in rising order."""
        return [point.workers for point in self.points]


def read(path: Path, name: str | None = None, asked: Asked = NOTHING) -> Series:
    """Read one series of a plain table, given by its name if there are several.

    A table is what people keep (`profiling.tables`): CSV, Markdown, JSON and others. Repeats are further rows; rows may
    stand in any order. ``asked`` is what the user states about it.

    Raises
    ------
    Refusal
        If there is no such file, it is not a table, a value is invalid, there are several series or kinds, or fewer
        than two points.
    """
    table = reading(path, asked)
    chosen = _choose(path, name, [one.series for one in table.measurements])
    return _of_table(path, table, chosen)


def read_all(path: Path, asked: Asked = NOTHING) -> list[Series]:
    """Return all series of a plain table, in their order; it raises as `read` does."""
    table = reading(path, asked)
    return [_of_table(path, table, name) for name in dict.fromkeys(one.series for one in table.measurements)]


def _of_table(path: Path, table: Reading, name: str) -> Series:
    measurements = [one for one in table.measurements if one.series == name]
    series = _series(path, measurements, tuple(table.notes))
    seconds: dict[int, list[float]] = defaultdict(list)
    counts: dict[str, dict[int, int]] = defaultdict(dict)
    for one in measurements:
        if one.seconds is not None:
            seconds[one.workers].append(one.seconds)
        for works, count in one.counts:
            counts[works].setdefault(one.workers, count)
    return dataclasses.replace(
        series,
        understood=table.understood,
        parameter=table.parameter,
        size=measurements[0].size,
        works=table.works,
        seconds={workers: sum(times) / len(times) for workers, times in seconds.items()},
        counts=counts,
    )


def choose(study: runs.Study, name: str | None = None) -> runs.Study:
    """Return one series of a study, selected as in `read`."""
    return study.only(_choose(study.folder, name, study.series))


def of_study(study: runs.Study) -> Series:
    """Return the measured series of a study that has one series.

    Raises
    ------
    Refusal
        If there is only one point, or the scaling is neither weak nor strong.
    """
    kind = runs.kind(study)
    measurements = [Measurement(run.name, run.series, kind, run.unit, run.ranks, run.throughput) for run in study.runs]
    return dataclasses.replace(_series(study.folder, measurements, tuple(runs.notes(study))), works="ranks")


def names(path: Path) -> list[str]:
    """Return the names of the series in a plain table, in their order."""
    return list(dict.fromkeys(one.series for one in reading(path).measurements))


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
        left = "".join(f"; {note}" for note in notes[:3] if note.startswith("left out"))
        raise Refusal(f"{path} has one point only ({workers}): scaling needs two numbers of workers or more{left}")
    points = tuple(Point(workers, tuple(rates[workers])) for workers in sorted(rates))
    return Series(first.series, first.kind, first.unit, points, notes)


def _some(where: Sequence[str]) -> str:
    return ", ".join(where[:8]) + (f" and {len(where) - 8} more" if len(where) > 8 else "")


def refuse_run(path: Path) -> None:
    """Refuse a single run, which has no scaling."""
    if RunDir(path).run_json.is_file():
        raise Refusal(f"{path} is a run, and a table is that of a study: {command('summary', path)} shows the run")


def reading(path: Path, asked: Asked = NOTHING) -> Reading:
    """Return what a plain table says; it raises as `read` does."""
    refuse_run(path)
    try:
        wide = path.read_bytes()[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        content = path.read_text(encoding="utf-16" if wide else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise Refusal(f"cannot read {path} ({why}): give the folder of a study, or a table as text") from None
    if not content.strip():
        raise Refusal(f"{path} is empty: {NEEDED}")
    try:
        return understood.read(path, content, asked)
    except Refusal as refusal:
        begins = re.match(r"(is|has|does) |(line|row|series|column|key) ", str(refusal))
        between = " " if begins and begins[1] else ", " if begins else ": "
        raise Refusal(f"{path}{between}{refusal}") from None
