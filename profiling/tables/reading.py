"""A file of any form -> the measurements of the series that it holds, and one line that says how it was understood."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from profiling import text
from profiling.tables import columns, delimited, documents, markdown, names, numbers, scaling
from profiling.tables.columns import Asked, Chosen, Column
from profiling.tables.grid import Grid, checked, empty, upright
from profiling.tables.numbers import Number

_PLAIN = {
    "total",
    "aggregate",
    "overall",
    "throughput",
    "rate",
    "performance",
    "perf",
    "speed",
    "per",
    "node",
    "gpu",
    "mean",
    "avg",
    "average",
}
"""Words of headings that are no unit."""
FAR = 1.5  # efficiency from which on something is likely to be another than it seems


@dataclass(frozen=True)
class Measurement:
    """One row of a table, or one run of a study."""

    where: str  # "line 3", "row 2": what a refusal calls it
    series: str
    kind: str  # weak, strong, or empty where nothing says it
    unit: str
    workers: int
    throughput: float
    size: float | None = None  # of the problem, where series differ by it


@dataclass
class Reading:
    """What a table says."""

    measurements: list[Measurement] = field(default_factory=list)
    understood: str = ""  # in one line, where names and units had to be understood
    notes: list[str] = field(default_factory=list)  # what is left out, and what is doubtful
    parameter: str = ""  # the column of the problem's size by which series differ


def read(path: Path, content: str, asked: Asked) -> Reading:
    """Understand a table.

    Raises
    ------
    Refusal
        With what it is that is ambiguous or contradicts itself, and the choices. It does not name the file.
    """
    found = [upright(checked(grid)) for grid in _grids(path, content)]
    found = [grid for grid in found if grid.rows]
    if not found:
        raise Refusal("has no rows: give a line for each measurement")
    readings, refusals = [], []
    for grid in found:
        try:
            readings.append(_of_grid(path, grid, asked, len(found) > 1))
        except Refusal as refusal:
            refusals.append(refusal)
    if not readings:
        # Of several tables the one that says most is most likely meant.
        raise next((one for one in refusals if "no column" not in str(one)), refusals[0])
    whole = Reading(parameter=readings[0].parameter)
    for reading in readings:
        whole.measurements += reading.measurements
        whole.notes += reading.notes
    lines = list(dict.fromkeys(reading.understood for reading in readings if reading.understood))
    whole.understood = lines[0] if lines else ""
    if len(found) > 1:
        of = f"{len(readings)} of {text.plural(len(found), 'table')}"
        whole.understood = f"{of} read; {lines[0]}" if lines else of
    return whole


def _grids(path: Path, content: str) -> list[Grid]:
    suffix, start = path.suffix.lower(), content.lstrip()[:1]
    if suffix in (".json", ".jsonl", ".ndjson") or suffix not in (".csv", ".tsv") and start in ("{", "["):
        return documents.grids(content)
    if suffix not in (".csv", ".tsv") and (tables := markdown.grids(content)):
        return tables
    return [delimited.grid(content)]


def _of_grid(path: Path, grid: Grid, asked: Asked, one_of_many: bool) -> Reading:
    chosen = columns.choose(grid, asked)
    reading = Reading()
    rows, by_series = _rows(grid, chosen, asked, reading)
    title = grid.title if one_of_many and grid.title else path.stem
    keys = _series_columns(chosen, rows, asked)
    stem = _Stem(title, keys, by_series)
    groups: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        groups[stem.name(row)].append(row)
    whys: list[str] = []
    units_of: list[str] = []
    alone = [name for name, group in groups.items() if len({row.workers for row in group}) < 2]
    if alone and len(alone) < len(groups) and chosen.name is None:
        for name in alone:
            reading.notes.append(f"left out: {name}: it has one number of workers only ({groups[name][0].where})")
            del groups[name]
    for name, group in groups.items():
        kind, why = _kind(chosen, group, asked, f"{path.stem} {grid.title} {grid.remarks}")
        made, unit = _rates(chosen, group, kind, asked)
        units_of.append(unit)
        whys.append(
            f"{kind} scaling, as {why}"
            if why and kind
            else f"{kind} scaling"
            if kind
            else "weak or strong scaling is not said (--kind)"
        )
        for row, value in zip(group, made):
            number = row.number(keys.parameter) if keys.parameter else None
            reading.measurements.append(
                Measurement(row.where, name, row.kind or kind, row.unit or unit, row.workers, value, number)
            )
        _doubts(chosen, group, made, asked, reading, name if len(groups) > 1 else "")
    reading.parameter = keys.parameter.name if keys.parameter else ""
    reading.understood = _understood(chosen, keys, whys, units_of, len(groups), asked)
    return reading


@dataclass(frozen=True)
class _Row:
    """A row of a grid with what counts in it."""

    where: str
    cells: tuple[Any, ...]
    workers: int
    value: Number
    kind: str
    unit: str
    measured: Column

    def number(self, column: Column) -> float | None:
        value = numbers.column([self.cells[column.place]], column.comma or "thousands")[0]
        return value.value if isinstance(value, Number) else None


@dataclass(frozen=True)
class _Keys:
    """By what series differ."""

    columns: tuple[Column, ...]
    of_one: Column | None = None  # a size whose part of a worker tells series apart
    parameter: Column | None = None


@dataclass(frozen=True)
class _Stem:
    title: str
    keys: _Keys
    by_measure: bool  # whether each measured column is a series

    def name(self, row: _Row) -> str:
        parts = []
        for column in self.keys.columns:
            cell = names.plain("" if empty(row.cells[column.place]) else row.cells[column.place])
            if column is self.keys.of_one and (value := row.number(column)) is not None:
                parts.append(f"{column.name}={text.number(value / row.workers)} per worker")
            elif column.key == "name" or len(self.keys.columns) == 1 and column.is_text:
                parts.append(cell)
            else:
                parts.append(f"{column.name}={cell}")
        if self.by_measure:
            parts.append(row.measured.name)
        named = ", ".join(part for part in parts if part)
        return named or self.title


def _rows(grid: Grid, chosen: Chosen, asked: Asked, reading: Reading) -> tuple[list[_Row], bool]:
    """The rows that were measured; the others are left out by name."""
    counted = columns.workers(chosen.workers)
    cells = {column.place: column.numbers(chosen.measure == "time") for column in chosen.measured}
    by_series = len(chosen.measured) > 1 and not chosen.repeats
    rows, spread = [], False
    for place, row in enumerate(grid.rows):
        workers = counted[place]
        for column in chosen.measured:
            value, cell = cells[column.place][place], row.cells[column.place]
            unit = "" if chosen.unit is None else str(row.cells[chosen.unit.place] or "").strip()
            if not isinstance(workers, int):
                counts = row.cells[chosen.workers.place]
                if workers is None or numbers.UNCOUNTED.fullmatch(names.plain(counts)) or value is None:
                    reading.notes.append(f"left out: {row.where}: {chosen.workers.name} is {_shown(counts)}")
                    break
                raise Refusal(
                    f"{row.where}: {chosen.workers.name} is {_as_given(counts)}; give a whole number, 1 or more"
                )
            if value is None:
                reading.notes.append(
                    f"left out: {row.where} ({text.plural(workers, 'worker')}): {column.name} is {_shown(cell)}"
                )
                continue
            if isinstance(value, str) or not 0 < value.value < float("inf"):
                raise Refusal(f"{row.where}: {column.name} is {_as_given(cell)}; give a finite number above 0")
            spread = spread or value.spread
            kind = "" if chosen.kind is None or asked.kind else _kind_of(row.where, row.cells[chosen.kind.place])
            rows.append(_Row(row.where, row.cells, workers, value, kind, unit, column))
    if spread:
        reading.notes.append("what stands behind ± in the table is not used: intervals rest on repeats")
    if not rows:
        raise Refusal(f"has no row that was measured ({'; '.join(reading.notes[:3])})")
    return rows, by_series


def _kind_of(where: str, cell: Any) -> str:
    # A kind may carry a remark, as in "strong (labelled weak by its source)": its first word counts.
    found = re.match(r"\s*(weak|strong)\b", str(cell or ""), re.IGNORECASE)
    if not found:
        said = "has no kind" if empty(cell) else f"kind is {_as_given(cell)}"
        raise Refusal(f"{where}: {said}; give weak (the work per worker held) or strong (the work of all held)")
    return found[1].lower()


def _shown(cell: Any) -> str:
    return "empty" if empty(cell) else str(cell).strip()


def _as_given(cell: Any) -> str:
    return repr(cell.strip()) if isinstance(cell, str) else str(cell)


def _series_columns(chosen: Chosen, rows: Sequence[_Row], asked: Asked) -> _Keys:
    """The columns by which the rows are told apart into series."""
    if asked.series_column:
        if asked.series_column == ("none",):
            return _Keys(())
        among = [
            chosen.workers,
            *chosen.others,
            *(column for column in (chosen.name, chosen.unit, chosen.kind) if column),
        ]
        return _Keys(tuple(columns.find(name, among, "--series-column") for name in asked.series_column))
    keys: list[Column] = [chosen.name] if chosen.name else []
    if not keys:
        keys = [
            column
            for column in chosen.others
            if column.is_text and column.heading.meaning not in ("passed over", "repeat", "spread")
        ]
        keys = [column for column in keys if _varies(column, rows)]
        while keys and not any(len({row.workers for row in group}) > 1 for group in _groups(rows, keys).values()):
            keys.remove(max(keys, key=lambda column: len({str(row.cells[column.place]) for row in rows})))
    if chosen.kind and len({row.kind for row in rows}) > 1 and not chosen.name and not _mixed(rows, keys, chosen.kind):
        keys.append(chosen.kind)
    parameter = of_one = None
    for column in chosen.of("size", "count", "shape", "workers", "count of one"):
        if column.is_text or not _varies(column, rows):
            continue
        clash = _clash(rows, keys, lambda row, column=column: row.number(column))
        if not clash:
            continue
        whole, one = (
            _spans(rows, keys, lambda row, column=column, by=by: _part(row, column, by)) for by in (False, True)
        )
        if column.heading.meaning in ("size", "count") and one > whole:
            of_one = column
        keys.append(column)
        parameter = parameter or (column if column.heading.meaning in ("size", "count", "count of one") else None)
    if not chosen.name:
        for column in chosen.of("unknown", "passed over"):
            if column.is_text or not _varies(column, rows):
                continue
            values = [row.number(column) for row in rows]
            few = len(set(values)) <= len(rows) / 2
            pair = _clash(rows, keys, lambda row, column=column: row.number(column))
            if few and pair and _spans(rows, keys, lambda row, column=column: row.number(column)) >= 2:
                one, other = pair
                raise Refusal(
                    f"{one.where} and {other.where} have {text.plural(one.workers, 'worker')} and another {column.name}: are they repeats? say "
                    f"--series-column {column.name!r}, or --series-column none"
                )
    return _Keys(tuple(keys), of_one, parameter)


def _mixed(rows: Sequence[_Row], keys: Sequence[Column], kind: Column) -> bool:
    """Whether rows of the documented form mix kinds within a series: that is refused, not told apart."""
    return kind.key == "kind"


def _part(row: _Row, column: Column, by_worker: bool) -> float | None:
    value = row.number(column)
    return None if value is None else round(value / row.workers, 6) if by_worker else value


def _varies(column: Column, rows: Sequence[_Row]) -> bool:
    return len({str(row.cells[column.place]).strip() for row in rows}) > 1


def _groups(rows: Sequence[_Row], keys: Sequence[Column]) -> dict[tuple[str, ...], list[_Row]]:
    groups: dict[tuple[str, ...], list[_Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(str(row.cells[column.place]) for column in keys)].append(row)
    return groups


def _clash(rows: Sequence[_Row], keys: Sequence[Column], value: Any) -> tuple[_Row, _Row] | None:
    """Two rows of one series and number of workers that differ by a value."""
    seen: dict[tuple[Any, ...], _Row] = {}
    for row in rows:
        key = (row.workers, row.measured.place, *(str(row.cells[column.place]) for column in keys))
        before = seen.setdefault(key, row)
        if value(before) is not None and value(row) is not None and value(before) != value(row):
            return before, row
    return None


def _spans(rows: Sequence[_Row], keys: Sequence[Column], value: Any) -> float:
    """How many numbers of workers a value is seen with, in the mean: the more, the more it is a series of its own."""
    seen: dict[tuple[Any, ...], set[int]] = defaultdict(set)
    for row in rows:
        seen[(value(row), *(str(row.cells[column.place]) for column in keys))].add(row.workers)
    return sum(map(len, seen.values())) / len(seen)


def _kind(chosen: Chosen, group: Sequence[_Row], asked: Asked, words: str) -> tuple[str, str]:
    if asked.kind:
        return asked.kind, ""
    if chosen.kind:
        return group[0].kind, ""
    workers = [row.workers for row in group]
    rates = seconds = None
    if chosen.measure == "time":
        seconds = [_seconds(row, asked) for row in group]
    elif chosen.measure in ("throughput", "rate of one"):
        rates = [row.value.value * (row.workers if chosen.measure == "rate of one" else 1) for row in group]
        beside = [column for column in chosen.of("time") if column.heading.rank < 2]
        seconds = _whole(group, beside[0]) if beside else None
    works = [_whole(group, column) for column in chosen.of("count")]
    ones = [_whole(group, column) for column in chosen.of("count of one")]
    works += [[value * n for value, n in zip(values, workers)] for values in ones if values]
    sizes = [values for column in chosen.of("size") if (values := _whole(group, column))]
    given = {
        what: [_ratio(row, column) for row in group]
        for what in ("speed-up", "efficiency")
        for column in chosen.of(what)[:1]
    }
    work = next((values for values in works if values), None)
    varying = next((values for values in sizes if len(set(values)) > 1), sizes[0] if sizes else None)
    known = scaling.Evidence(
        workers, seconds, rates, work, varying, given.get("speed-up"), given.get("efficiency"), words
    )
    return scaling.kind(known)


def _whole(group: Sequence[_Row], column: Column) -> list[float] | None:
    """The numbers of a column in all rows of a series; None where one has none."""
    cells = numbers.column(
        [row.cells[column.place] for row in group], column.comma or "thousands", column.heading.meaning == "time"
    )
    values = [
        cell.value * names.SECONDS.get(cell.unit.lower(), 1.0) if isinstance(cell, Number) else None for cell in cells
    ]
    there = [value for value in values if value is not None and value > 0]
    return there if len(there) == len(values) else None


def _ratio(row: _Row, column: Column) -> float | None:
    found = numbers.column([row.cells[column.place]], column.comma or "thousands")[0]
    if not isinstance(found, Number):
        return None
    return found.value / 100 if found.unit == "%" else found.value


def _seconds(row: _Row, asked: Asked) -> float:
    unit = (row.value.unit or (asked.unit or "") or row.measured.heading.unit or "s").lower()
    if unit not in names.SECONDS:
        raise Refusal(
            f"{row.where}: {row.measured.name} is {_as_given(row.cells[row.measured.place])}, and {unit!r} is no unit of time: say --unit s, ms or min"
        )
    return row.value.value * names.SECONDS[unit]


def _rates(chosen: Chosen, group: Sequence[_Row], kind: str, asked: Asked) -> tuple[list[float], str]:
    """The throughput of each row, and its unit."""
    measured = group[0].measured
    if chosen.measure == "time":
        marked = [bool(row.value.unit) for row in group]
        if any(marked) and not all(marked) and not (measured.heading.unit or asked.unit):
            row = group[marked.index(False)]
            raise Refusal(
                f"{row.where}: {measured.name} has no unit while others have: give all of them theirs, or say --unit"
            )
        workers = [row.workers for row in group]
        works = [(values, column) for column in chosen.of("count", "count of one") if (values := _whole(group, column))]
        work: list[float] | None = None
        unit = ("steps" if re.search(r"step|iter", measured.key) else "runs") + "/s"
        if works and not (measured.heading.per and measured.heading.per.split()[0] in works[0][1].key):
            values, column = works[0]
            total = (
                [value * n for value, n in zip(values, workers)] if column.heading.meaning == "count of one" else values
            )
            held = scaling.kind(scaling.Evidence(workers, work=total))[1]
            if "about" in held or not held:
                work, unit = total, f"{_noun(column)}/s"
        if work is None and kind == "weak":
            unit = f"{unit.removesuffix('/s')} of one worker/s"
        return [
            scaling.rate(kind, row.workers, _seconds(row, asked), work[place] if work else None)
            for place, row in enumerate(group)
        ], unit
    if chosen.measure in ("speed-up", "efficiency"):
        values = [
            row.value.value / 100 if row.value.unit == "%" or measured.heading.unit == "%" else row.value.value
            for row in group
        ]
        if chosen.measure == "efficiency":
            values = [value * row.workers for value, row in zip(values, group)]
        return values, "times one worker"
    said = {row.unit for row in group if row.unit}
    in_cells = {row.value.unit.lower().rstrip("."): row.value.unit for row in group if row.value.unit}
    if len(said) > 1 or len(in_cells) > 1:
        some = sorted(said) if len(said) > 1 else list(in_cells.values())
        raise Refusal(
            f"has throughput in different units ({', '.join(some)}): keep those that can be compared, or name series by --series-column"
        )
    unit = asked.unit or next(iter(said), "") or measured.heading.unit or next(iter(in_cells.values()), "")
    unit = unit or ("examples/s" if measured.key == "throughput" else _noun(measured))
    rates = [row.value.value for row in group]
    per = re.fullmatch(r"(.*\S)\s*(?:/|\bper\b)\s*(\S+?)", unit)
    one = (names.worker(per[2]) if per else "") or (measured.heading.worker if chosen.measure == "rate of one" else "")
    if chosen.measure == "rate of one" or one:
        rates = [rate * n for rate, n in zip(rates, _of_whom(chosen, group, one))]
        unit = per[1] if per and names.worker(per[2]) else unit
    return rates, unit


def _of_whom(chosen: Chosen, group: Sequence[_Row], one: str) -> list[float]:
    """The number of those of whom a rate is."""
    if chosen.workers.heading.worker in (one, "worker") or one == "worker":
        return [row.workers for row in group]
    other = next((column for column in chosen.of("workers") if column.heading.worker == one), None)
    if values := other and _whole(group, other):
        return values
    if {one, chosen.workers.heading.worker} <= {"rank", "process", "worker"}:
        return [row.workers for row in group]
    raise Refusal(
        f"has the rate of one {one} and no column of {one}s, but {chosen.workers.name}: give that column, or the rate of all"
    )


def _noun(column: Column) -> str:
    """What a column counts, by its name."""
    bare = re.sub(r"\s*[(\[].*|\s*(/|\bper\b).*|_per_.*", "", column.heading.text)
    words = [word for word in re.split(r"[\s_-]+", bare) if word.lower() not in _PLAIN]
    return (
        " ".join(words)
        if column.heading.meaning in ("throughput", "rate of one", "count", "count of one") and words
        else "units"
    )


def _doubts(
    chosen: Chosen, group: Sequence[_Row], rates: Sequence[float], asked: Asked, reading: Reading, name: str
) -> None:
    """Refuse what is hardly a throughput; note what is doubtful."""
    points: dict[int, list[float]] = defaultdict(list)
    for row, rate in zip(group, rates):
        points[row.workers].append(rate)
    workers = sorted(points)
    mean = [sum(points[n]) / len(points[n]) for n in workers]
    of = f"{name}: " if name else ""
    column = group[0].measured
    if (
        chosen.measure == "throughput"
        and not chosen.named
        and not (column.heading.unit or asked.unit)
        and len(workers) > 2
    ):
        looks = scaling.fallen(workers, mean)
        named = f"{column.name!r}"
        if looks == "times":
            raise Refusal(
                f"{of}{column.name} falls as 1/workers: are these times (seconds)? say --time-column {named}; if it is throughput, --throughput-column {named}"
            )
        if looks == "rate of one":
            raise Refusal(
                f"{of}{column.name} stays the same: is it the rate of one worker? say --unit UNIT/worker; if it is that of all, --throughput-column {named}"
            )
    at, best = max(((n, rate * workers[0] / n / mean[0]) for n, rate in zip(workers, mean)), key=lambda pair: pair[1])
    if best > FAR:
        reading.notes.append(
            f"{of}an efficiency of {best:.0%} at {text.plural(at, 'worker')} is far above 100 %: are all rows of the same problem, and in the same unit?"
        )
    for what in ("speed-up", "efficiency"):
        for given in chosen.of(what)[:1]:
            _compare(given, group, dict(zip(workers, mean)), reading, of)


def _compare(given: Column, group: Sequence[_Row], mean: dict[int, float], reading: Reading, of: str) -> None:
    """Note where the speed-up or efficiency of the table is not that of its measurements."""
    base = min(mean)
    by_base = next((_ratio(row, given) for row in group if row.workers == base), None)
    percent = given.heading.unit == "%" or (by_base or 0) > 10 and given.heading.meaning == "efficiency"
    for row in group:
        said = _ratio(row, given)
        if said is None or row.workers == base or by_base is None:
            continue
        said = said / 100 if percent and said > 1.5 else said
        own = mean[row.workers] / mean[base]
        if given.heading.meaning == "efficiency":
            own *= base / row.workers
        elif by_base > 1.01:
            own *= by_base
        if not 0.9 <= said / own <= 1.1:
            reading.notes.append(
                f"{of}{given.name} is {_shown(row.cells[given.place])} at {text.plural(row.workers, 'worker')} in the table, and {text.number(own, 3)} by its measurements"
            )
            return


def _understood(
    chosen: Chosen, keys: _Keys, whys: Sequence[str], units: Sequence[str], series: int, asked: Asked
) -> str:
    """One line that says what was taken for what; empty of a table in the documented form."""
    plain = (
        chosen.workers.key == "workers"
        and chosen.measured[0].key == "throughput"
        and chosen.kind
        and chosen.kind.key == "kind"
    )
    if plain and not asked and all(column.key == "name" for column in keys.columns) and len(chosen.measured) == 1:
        return ""
    what = {"rate of one": "throughput, of one worker each,", "actual": "throughput"}.get(
        chosen.measure, chosen.measure
    )
    measured = " and ".join(column.name for column in chosen.measured) + (" (repeats)" if chosen.repeats else "")
    if chosen.measure == "time":
        unit = asked.unit or chosen.measured[0].heading.unit
        measured += (
            ""
            if unit and f"({unit})" in measured or f"[{unit}]" in measured
            else f" [{unit}]"
            if unit
            else " [s, as no unit is given]"
            if not _unit_in_cells(chosen)
            else ""
        )
    facts = [f"workers: {chosen.workers.name}", f"{what}: {measured}"]
    facts += list(dict.fromkeys(whys))[:2]
    if chosen.measure in ("time", "throughput", "rate of one"):
        facts.append(f"throughput in {' and '.join(dict.fromkeys(units))}")
    if keys.columns or len(chosen.measured) > 1 and not chosen.repeats:
        facts.append(
            f"{series} series" + (f" by {', '.join(column.name for column in keys.columns)}" if keys.columns else "")
        )
    over = [column.name for column in chosen.others if column not in keys.columns and not _used(column)]
    if over:
        facts.append(f"passed over: {', '.join(over)}")
    return f"understood: {'; '.join(facts)}"


def _used(column: Column) -> bool:
    return column.heading.meaning in ("count", "count of one", "size", "speed-up", "efficiency")


def _unit_in_cells(chosen: Chosen) -> bool:
    return any(isinstance(cell, Number) and cell.unit for cell in chosen.measured[0].numbers(True))
