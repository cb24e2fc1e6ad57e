"""A file of any form -> the measurements of the series that it holds, and one line that says how it was understood."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from launch.errors import Refusal
from profiling.tables import doubts, names, rates, series, unfinished
from profiling.tables.cells.numbers import Number
from profiling.tables.choice import Chosen, choose
from profiling.tables.columns import Asked, Column
from profiling.tables.forms import delimited, documents, latex, markdown
from profiling.tables.grid import Grid, checked, upright
from profiling.tables.products import with_product
from profiling.tables.rows import Row, measured, whole
from profiling.tables.series import Keys

_REPORTS = ("report.md", "report.json", "table.tex", "index.html")  # what `rankloop report` writes beside its tables
_NO_JSON = (".csv", ".tsv", ".md", ".org", ".tex")
_NOT_READ = "is {}, which is not read: give the table as CSV, Markdown, LaTeX or JSON"


@dataclass(frozen=True)
class Measurement:
    """One row of a table, or one run of a study."""

    where: str  # "line 3", "row 2": what a refusal calls it
    series: str
    kind: str  # weak, strong, or empty if nothing says it
    unit: str
    workers: int
    throughput: float
    size: float | None = None  # size of the problem, if series differ by it
    seconds: float | None = None  # time, if times were measured
    counts: tuple[tuple[str, int], ...] = ()  # kinds of workers, and how many: GPU, node


@dataclass
class Reading:
    """What a table says."""

    measurements: list[Measurement] = field(default_factory=list)
    understood: str = ""  # one line on how names and units were understood, if they had to be
    notes: list[str] = field(default_factory=list)  # what is left out, and what is doubtful
    parameter: str = ""  # the column of the problem's size by which series differ
    works: str = "workers"  # what the workers are, in the plural


def read(path: Path, content: str, asked: Asked) -> Reading:
    """Understand a table.

    Raises
    ------
    Refusal
        If the table is ambiguous or contradicts itself; the message has the choices, and does not name the file.
    """
    if "\x00" in content:
        raise Refusal("is not text in UTF-8, as it has bytes that are zero: save it as UTF-8")
    if path.name in _REPORTS and (path.parent / "runs.csv").is_file():
        raise Refusal("is part of a report, and no table: give runs.csv or table.csv, which stand beside it")
    every = [unfinished.left_out(upright(checked(grid))) for grid in _grids(path, content)]
    found = _by_title([grid for grid in every if grid.rows])
    if not found:
        gone = "; ".join(note for grid in every for note in grid.notes[:3])
        raise Refusal(f"has no rows{f' that were measured ({gone})' if gone else ''}: give a line for each measurement")
    readings: list[Reading] = []
    refusals: list[Refusal] = []
    notes: list[str] = []
    for grid in found:
        try:
            readings.append(_of_grid(path, grid, asked, len(found) > 1))
        except Refusal as refusal:
            refusals.append(refusal)
            if "no column" not in str(refusal):  # other tables of a page often have none
                notes.append(f"left out: the table at {grid.rows[0].where}, which {refusal}")
    if not readings:
        # Of several tables the one that says most is most likely meant.
        raise next((one for one in refusals if "no column" not in str(one)), refusals[0])
    if len(found) == 1:
        return readings[0]
    lines = [reading.understood.removeprefix("understood: ") for reading in readings if reading.understood]
    of = f"understood: {len(readings)} of {len(found)} tables"
    return Reading(
        measurements=[one for reading in readings for one in reading.measurements],
        understood="; ".join([of, *_different(lines)]),
        notes=[*(note for reading in readings for note in reading.notes), *notes],
        parameter=readings[0].parameter,
        works=readings[0].works,
    )


def _different(lines: Sequence[str]) -> list[str]:
    """Return what was understood of several tables: the first line, and what differs from it in another line."""
    if not lines:
        return []
    first = lines[0].split("; ")
    other = next((line for line in lines if line != lines[0]), "")
    rest = [fact for fact in other.split("; ") if fact and fact not in first]
    return [lines[0], *([f"of another table: {'; '.join(rest)}"] if rest else [])]


def _by_title(grids: Sequence[Grid]) -> list[Grid]:
    """Give each table a title of its own, so that none is taken for the repeats of another."""
    seen: Counter[str] = Counter()
    made = []
    for grid in grids:
        seen[grid.title] += 1
        again = f"table {seen[grid.title]}" if seen[grid.title] > 1 else ""
        made.append(replace(grid, title=", ".join(filter(None, (grid.title, again)))))
    return made


def _grids(path: Path, content: str) -> list[Grid]:
    suffix, start = path.suffix.lower(), content.lstrip()[:1]
    if re.search(r"^\s*\|={3,}\s*$", content, re.MULTILINE):
        raise Refusal(_NOT_READ.format("AsciiDoc"))
    if suffix in (".json", ".jsonl", ".ndjson") or suffix not in _NO_JSON and start in ("{", "["):
        return documents.grids(content)
    if suffix not in (".csv", ".tsv") and (tables := latex.grids(content) or markdown.grids(content)):
        return tables
    if re.search(r"<(table|html|tr|td)\b[^>]*>", content, re.IGNORECASE):
        raise Refusal(_NOT_READ.format("HTML"))
    return delimited.grids(content)


def _of_grid(path: Path, grid: Grid, asked: Asked, one_of_many: bool) -> Reading:
    grid = grid if asked.workers_column else with_product(grid)
    chosen = choose(grid, asked)
    reading = Reading(notes=list(grid.notes), works=names.plural(chosen.workers.heading.worker))
    found = measured(grid, chosen, asked, reading.notes)
    keys = series.told_apart(chosen, found, asked)
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        groups[series.name(row, keys, chosen, grid.title if one_of_many and grid.title else path.stem)].append(row)
    if len(groups) > 1 and len({row.workers for row in found}) > 1:
        _check_series(groups, keys)
    alone = [name for name, group in groups.items() if len({row.workers for row in group}) < 2]
    if len(alone) < len(groups) and chosen.name is None:
        for name in alone:
            reading.notes.append(f"left out: {name}: it has one number of workers only ({groups[name][0].where})")
            del groups[name]
    kinds, units = [], []
    for name, group in groups.items():
        kind, why = rates.kind(chosen, group, asked, (grid.title, grid.remarks, path.stem))
        made, unit = rates.throughput(chosen, group, kind, asked)
        units.append(unit)
        kinds.append(
            f"{kind} scaling" + f", as {why}" * bool(why) if kind else "weak or strong scaling is not said (--kind)"
        )
        for row, rate, seconds in zip(group, made, rates.times(chosen, group, asked)):
            size = row.number(keys.parameter) if keys.parameter else None
            counts = _counts(chosen, row)
            reading.measurements.append(
                Measurement(row.where, name, row.kind or kind, unit, row.workers, rate, size, seconds, counts)
            )
        doubts.note(chosen, group, made, asked, reading.notes, f"{name}: " if len(groups) > 1 else "")
    reading.parameter = keys.parameter.name if keys.parameter else ""
    reading.understood = _understood(chosen, keys, kinds, units, len(groups), asked)
    return reading


def _check_series(groups: dict[str, list[Row]], keys: Keys) -> None:
    """Refuse series of which none has two numbers of workers, as if each row of one series had a name of its own."""
    if keys.columns and all(len({row.workers for row in group}) < 2 for group in groups.values()):
        by = ", ".join(column.name for column in keys.columns)
        raise Refusal(
            f"has {len(groups)} series by {by}, of one number of workers each: if all rows are one series, say "
            "--series-column none"
        )


def _counts(chosen: Chosen, row: Row) -> tuple[tuple[str, int], ...]:
    """Return how many nodes, GPUs, ranks there are in a row, as far as it says so."""
    counted = {chosen.workers.heading.worker: row.workers}
    for column in chosen.of("workers"):
        if (values := whole([row], column)) and values[0].is_integer():
            counted.setdefault(column.heading.worker, int(values[0]))
    return tuple((worker, count) for worker, count in counted.items() if worker)


def _understood(
    chosen: Chosen, keys: Keys, kinds: Sequence[str], units: Sequence[str], count: int, asked: Asked
) -> str:
    """Return one line that says what was taken for what; it is empty for a table in the documented form."""
    keyed = [chosen.workers.key, *(column.key for column in chosen.measured), chosen.kind.key if chosen.kind else ""]
    read_as = _read_as(chosen)
    documented = keyed == ["workers", "throughput", "kind"] and all(each.key == "name" for each in keys.columns)
    if documented and not asked and not read_as:
        if units[0] == (chosen.unit and "examples/s") or "/" not in units[0] or _is_said(chosen, units):
            return ""
    called = " and ".join(column.name for column in chosen.measured) + (" (repeats)" if chosen.repeats else "")
    what = {"rate of one": "throughput of one worker each", "actual": "throughput"}.get(chosen.measure, chosen.measure)
    facts = [f"workers: {chosen.workers.name}", f"{what}: {called}{_in_unit(chosen, called, asked)}"]
    facts += list(dict.fromkeys(kinds))[:2]
    if chosen.measure in ("time", "throughput", "rate of one"):
        facts.append(f"throughput in {' and '.join(dict.fromkeys(units))}{_multiplied(chosen, asked)}")
    if keys.columns or len(chosen.measured) > 1 and not chosen.repeats:
        by = f" by {', '.join(column.name for column in keys.columns)}" if keys.columns else ""
        facts.append(f"{count} series{by}")
    over = [column.name for column in chosen.others if column not in keys.columns and not _used(column)]
    if over:
        facts.append(f"passed over: {', '.join(over)}")
    return f"understood: {'; '.join(facts + read_as)}"


def _read_as(chosen: Chosen) -> list[str]:
    """Return what the first number is that has a comma, or a dot that separates thousands: "1,204 is 1204"."""
    for column in (*chosen.measured, chosen.workers):
        for cell, number in zip(column.cells, column.numbers(chosen.measure == "time")):
            signs = r"\d,\d|\d\.\d" if column.comma == "decimal" else r"\d,\d"
            if isinstance(cell, str) and isinstance(number, Number) and re.search(signs, cell):
                return [f"{cell.strip()} is {number.value:.15g}"]
    return []


def _is_said(chosen: Chosen, units: Sequence[str]) -> bool:
    """Return whether the units are those of the column of units, or there is no such column."""
    return chosen.unit is None or set(units) <= {str(cell).strip() for cell in chosen.unit.cells}


def _multiplied(chosen: Chosen, asked: Asked) -> str:
    """Return a remark if a rate per worker was multiplied by the workers, else an empty text."""
    said = (
        asked.unit or next((str(cell) for cell in chosen.unit.cells if cell), "") if chosen.unit else asked.unit or ""
    )
    one = names.of_all(said)[1] or chosen.measured[0].heading.worker * (chosen.measure == "rate of one")
    if one or chosen.measure == "rate of one":
        of_one = f" ({said} is per {one})" if said else ""
        return f", the rate of one {one or 'worker'} times the {names.plural(one)}{of_one}"
    return ""


def _in_unit(chosen: Chosen, called: str, asked: Asked) -> str:
    """Return the unit of times, in brackets, if their name does not say it, else an empty text."""
    unit = asked.unit or chosen.measured[0].heading.unit
    if chosen.measure != "time" or chosen.unit or unit and re.search(rf"[(\[]\s*{re.escape(unit)}\s*[)\]]", called):
        return ""
    if unit:
        return f" [{unit}]"
    in_cells = any(isinstance(cell, Number) and cell.unit for cell in chosen.measured[0].numbers(True))
    return "" if in_cells else " [s, as no unit is given]"


def _used(column: Column) -> bool:
    return column.heading.meaning in ("count", "count of one", "size", "speed-up", "efficiency")
