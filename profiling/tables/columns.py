"""Which column of a grid is what: the workers, the measurement, what tells series apart. What is ambiguous is refused
with the choices."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from launch.errors import Refusal
from profiling.tables import names, numbers
from profiling.tables.grid import Grid, empty
from profiling.tables.names import UNLIKELY, Heading, Meaning
from profiling.tables.numbers import Cell, Number

SAME = 0.02  # by which two columns may differ that say the same
NEEDED = "give a table with a column of workers (nodes, ranks, GPUs, cores ...) and one of times or of throughput"


@dataclass(frozen=True)
class Asked:
    """What the user says of a table; empty where the table is to say it."""

    kind: Literal["weak", "strong"] | None = None
    workers_column: str | None = None
    time_column: tuple[str, ...] = ()
    throughput_column: tuple[str, ...] = ()
    unit: str | None = None
    series_column: tuple[str, ...] = ()
    decimal: Literal["point", "comma"] | None = None

    def __bool__(self) -> bool:
        return self != Asked()


@dataclass(frozen=True)
class Column:
    """A column of a grid."""

    place: int
    heading: Heading
    cells: tuple[Any, ...]
    comma: str  # as of `numbers.column`

    @property
    def name(self) -> str:
        """As it is called, in quotes where that has blanks."""
        return self.heading.text or f"column {self.place + 1}"

    @property
    def key(self) -> str:
        """The exact name of a documented column."""
        return self.heading.text.lower()

    def numbers(self, time: bool = False) -> list[Cell]:
        """The cells as numbers.

        Raises
        ------
        Refusal
            Where a comma may be that of decimals or of thousands.
        """
        try:
            return numbers.column(self.cells, self.comma, time)
        except numbers.Ambiguous:
            cell = next(cell for cell in self.cells if isinstance(cell, str) and "," in cell)
            raise Refusal(
                f"{self.name} has commas that may be of decimals or of thousands ({cell}): say --decimal comma or "
                "--decimal point"
            ) from None

    def values(self) -> list[float | None]:
        """The cells as far as they are numbers."""
        try:
            found = numbers.column(self.cells, self.comma or "thousands", self.heading.meaning == "time")
        except numbers.Ambiguous:
            return [None] * len(self.cells)
        return [_seconds(cell) if isinstance(cell, Number) else None for cell in found]

    @property
    def is_text(self) -> bool:
        """Whether most of what stands in it is no number."""
        there = [cell for cell in self.cells if not empty(cell) and not numbers.missing(cell)]
        return bool(there) and 2 * sum(value is not None for value in self.values()) < len(there)


@dataclass(frozen=True)
class Chosen:
    """The columns of a table that count."""

    workers: Column
    measure: Meaning  # of the measured columns: throughput, time, rate of one, speed-up, efficiency
    measured: tuple[Column, ...]  # several where each is a series, or a repeat
    repeats: bool  # whether several measured columns are repeats
    named: bool  # whether the user has named the measured column
    kind: Column | None
    unit: Column | None
    name: Column | None  # the documented column of series
    others: tuple[Column, ...]  # the rest

    def of(self, *meanings: Meaning) -> list[Column]:
        """The other columns of some meanings."""
        return [column for column in self.others if column.heading.meaning in meanings]


def _seconds(cell: Number) -> float:
    return cell.value * names.SECONDS.get(cell.unit.lower(), 1.0)


def columns(grid: Grid, decimal: str | None = None) -> list[Column]:
    """The columns of a grid. A comma that one column shows to be of decimals or of thousands is so in all."""
    made = [tuple(row.cells[place] for row in grid.rows) for place in range(len(grid.header))]
    comma = {"comma": "decimal", "point": "thousands"}.get(decimal or "", "")
    if not comma:
        shown = [found for cells in made if (found := numbers.shown(cells))]
        points = any(
            isinstance(cell, str) and re.fullmatch(r"\s*\d+\.\d+\s*\D*", cell) for cells in made for cell in cells
        )
        comma = shown[0] if len(set(shown)) == 1 else "thousands" if points or not grid.comma and not shown else ""
    return [
        Column(place, _by_cells(names.heading(name), cells), cells, comma)
        for place, (name, cells) in enumerate(zip(grid.header, made))
    ]


def _by_cells(heading: Heading, cells: Sequence[Any]) -> Heading:
    """A heading that does not say what stands below it, where the cells do: 5916ms, 12 req/s."""
    if heading.meaning not in ("unknown", "actual") or heading.unit:
        return heading
    found = [cell for cell in numbers.column(cells, "thousands", time=True) if isinstance(cell, Number)]
    if found and all(names.is_time(cell.unit) for cell in found):
        return replace(heading, meaning="time")
    rates = bool(found) and all("/" in cell.unit and not cell.unit.startswith("/") for cell in found)
    return replace(heading, meaning="throughput") if rates else heading


def choose(grid: Grid, asked: Asked) -> Chosen:
    """Tell the columns of a grid apart.

    Raises
    ------
    Refusal
        If there is none of workers or none measured, or several that may be it.
    """
    all_columns = columns(grid, asked.decimal)
    kind = next((column for column in all_columns if column.key == "kind" or _says_kind(column)), None)
    unit = next((column for column in all_columns if column.key in ("unit", "units") and column.is_text), None)
    name = next((column for column in all_columns if column.key == "name"), None)
    rest = [column for column in all_columns if column not in (kind, unit, name)]
    workers = _find(asked.workers_column, all_columns, "--workers-column") if asked.workers_column else _workers(rest)
    rest = [column for column in rest if column is not workers]
    measure, measured, repeats, named = _measured(rest, all_columns, asked, workers)
    others = tuple(column for column in rest if column not in measured)
    return Chosen(workers, measure, tuple(measured), repeats, named, kind, unit, name, others)


def find(name: str, among: Sequence[Column], option: str) -> Column:
    """A column by its name or its number."""
    return _find(name, among, option)


def _find(name: str, among: Sequence[Column], option: str) -> Column:
    plain = names.plain(name).lower()
    for same in (lambda c: c.heading.text == name, lambda c: c.key == plain, lambda c: str(c.place + 1) == plain):
        found = [column for column in among if same(column)]
        if len(found) > 1:
            raise Refusal(f"has {len(found)} columns {name!r}: give one by its number: {_numbered(found, option)}")
        if found:
            return found[0]
    raise Refusal(f"has no column {name!r} ({option}): it has {_listed(among)}")


def _numbered(columns: Sequence[Column], option: str) -> str:
    return " or ".join(f"{option} {column.place + 1}" for column in columns)


def _listed(columns: Sequence[Column]) -> str:
    return ", ".join(column.name for column in columns) or "none"


def _says_kind(column: Column) -> bool:
    there = [str(cell) for cell in column.cells if not empty(cell)]
    return bool(there) and all(re.match(r"\s*(weak|strong)\b", cell, re.IGNORECASE) for cell in there)


def _quoted(columns: Sequence[Column], option: str) -> str:
    """The options that choose among some columns: by name, or by number where names are alike."""
    called = [column.name for column in columns]
    return " or ".join(
        f"{option} {column.place + 1 if not column.heading.text or called.count(column.name) > 1 else repr(column.name)}"
        for column in columns
    )


def _counts(column: Column) -> bool:
    """Whether most cells of a column may be numbers of workers."""
    values = [_workers_of(cell) for cell in column.cells]
    there = [cell for cell in column.cells if not empty(cell)]
    return bool(there) and 2 * sum(isinstance(value, int) for value in values) >= len(there)


def _workers_of(cell: Any) -> int | str | None:
    """A cell as a number of workers; None where nothing stands there, a text where that is no such number."""
    if empty(cell) or numbers.missing(cell):
        return None
    if isinstance(cell, str):
        bare = names.plain(cell).strip("~ ")
        form = re.fullmatch(
            r"(?:[A-Za-z]{1,8}\s*=\s*)?(\d[\d,]*(?:\.0*)?(?:e[+]?\d+)?)\s*(?:([x×*]?)\s*([^\d\s(]\D*))?",
            bare,
            re.IGNORECASE,
        )
        if not form or form[3] and not form[2] and not names.worker(form[3]):
            named = re.fullmatch(r"(\d+)\s*([x×])\s*([^\d\s].*)", bare)  # 4x A100 (40GB)
            if not named or re.match(r"\d", named[3]):
                return cell
            return int(named[1])
        if "," in form[1] and not re.fullmatch(r"\d{1,3}(,\d{3})+", form[1]):
            return cell
        number = float(form[1].replace(",", ""))
    elif isinstance(cell, bool) or not isinstance(cell, int | float):
        return str(cell)
    else:
        number = float(cell)
    return int(number) if number >= 1 and number.is_integer() and number < 1e15 else str(cell)


def _is_number(cell: str) -> bool:
    return bool(re.fullmatch(r"\s*[\d.]+(?:[eE][+-]?\d+)?\s*", cell))


def workers(column: Column) -> list[int | str | None]:
    """The numbers of workers in a column.

    Raises
    ------
    Refusal
        If different things work in it, as 4x A100 and 8x H100.
    """
    kinds: dict[str, str] = {}
    for cell in column.cells:
        if (
            isinstance(cell, str)
            and not _is_number(cell)
            and (found := re.fullmatch(r"\s*\d+\s*(?:[x×*]\s*)?([^\d\s=(][^()]*?)\s*(\(.*\))?\s*", names.plain(cell)))
        ):
            kinds.setdefault(names.worker(found[1]) or found[1].lower().rstrip("s"), names.plain(cell))
    if len(kinds) > 1:
        raise Refusal(
            f"{column.name} counts different things ({', '.join(list(kinds.values())[:3])}): keep those that can be compared"
        )
    return [_workers_of(cell) for cell in column.cells]


def _workers(columns: Sequence[Column]) -> Column:
    exact = [column for column in columns if column.key == "workers"]
    if exact:
        return exact[0]
    named = [column for column in columns if column.heading.meaning == "workers" and (_counts(column))]
    named = named or [column for column in columns if column.heading.meaning == "shape" and _counts(column)]
    if not named:
        whole = [column for column in columns if _counts(column)]
        given = f"say which it is: {_quoted(whole[:4], '--workers-column')}" if whole else NEEDED
        raise Refusal(f"has no column of workers (its columns: {_listed(columns)}): {given}")
    varying = [
        column
        for column in named
        if len({value for value in map(_workers_of, column.cells) if isinstance(value, int)}) > 1
    ]
    if len(varying) < 2:
        return (varying or named)[0]
    by_size = sorted(
        varying, key=lambda column: max((v for v in map(_workers_of, column.cells) if isinstance(v, int)), default=0)
    )
    finest = by_size[-1]
    if all(_divides(column, finest) for column in by_size[:-1]):
        return finest
    raise Refusal(
        f"has {len(varying)} columns that may count the workers: choose: {_quoted(varying, '--workers-column')}"
    )


def _divides(column: Column, finest: Column) -> bool:
    """Whether a column counts what the finest one counts in larger pieces, and that is not threads of each."""
    pairs = [
        (one, all_)
        for one, all_ in zip(map(_workers_of, column.cells), map(_workers_of, finest.cells))
        if isinstance(one, int) and isinstance(all_, int)
    ]
    ratios = {all_ / one for one, all_ in pairs}
    if len(ratios) == 1:
        return True
    apart = {column.heading.worker, finest.heading.worker} & {
        "thread"
    } and column.heading.worker != finest.heading.worker
    return not apart and all(ratio >= 1 and ratio.is_integer() for ratio in ratios)


def _measured(
    rest: Sequence[Column], all_columns: Sequence[Column], asked: Asked, workers: Column
) -> tuple[Meaning, list[Column], bool, bool]:
    if asked.time_column and asked.throughput_column:
        raise Refusal("--time-column and --throughput-column are given: a table is read by one of the two")
    if asked.time_column or asked.throughput_column:
        meaning, option = ("time", "--time-column") if asked.time_column else ("throughput", "--throughput-column")
        chosen = [_find(name, all_columns, option) for name in asked.time_column or asked.throughput_column]
        return meaning, chosen, False, True
    # Documented names count before all others.
    exact = [column for column in rest if column.key == "throughput"]
    if exact:
        if len(exact) > 1:
            raise Refusal(
                f"has {len(exact)} columns 'throughput': choose one by its number: {_numbered(exact, '--throughput-column')}"
            )
        return "throughput", exact, False, False
    tiers: list[tuple[Meaning, float, float]] = [
        ("throughput", 0, 1), ("time", 0, UNLIKELY - 1), ("rate of one", 0, UNLIKELY - 1), ("throughput", 2, UNLIKELY - 1), ("actual", 0, 99),
        ("time", UNLIKELY, 99), ("throughput", UNLIKELY, 99), ("speed-up", 0, 99), ("efficiency", 0, 99),
    ]  # fmt: skip
    for meaning, least, most in tiers:
        found = [
            column
            for column in rest
            if column.heading.meaning == meaning
            and least <= column.heading.rank <= most
            and not column.is_text
            and _any_number(column)
        ]
        if not found:
            continue
        best = [column for column in found if column.heading.rank == min(each.heading.rank for each in found)]
        if len(best) > 1 and meaning in ("time", "throughput", "rate of one"):
            if _are_repeats(best):
                return meaning, best, True, False
            alike = [
                column for column in best if len({c.name for c in best}) == len(best) and _proportional(column, best[0])
            ]
            if len(alike) < len(best):
                option = "--time-column" if meaning == "time" else "--throughput-column"
                several = f", or several of them as series ({option} twice)" if meaning == "time" else ""
                raise Refusal(f"has {len(best)} columns of {meaning}: choose: {_quoted(best, option)}{several}")
        if meaning == "actual":
            return _by_ideal(best[0], rest, workers), [best[0]], False, False
        return meaning, [best[0]], False, False
    numeric = [
        column
        for column in rest
        if _any_number(column) and not column.is_text and column.heading.meaning not in ("repeat", "spread")
    ]
    empty_one = next((column for column in rest if column.heading.meaning in ("time", "throughput")), None)
    if empty_one:
        return empty_one.heading.meaning, [empty_one], False, False
    choices = (
        f"say which it is: {_quoted(numeric[:3], '--time-column')}, or {_quoted(numeric[:3], '--throughput-column')}"
        if numeric
        else NEEDED
    )
    raise Refusal(f"has no column throughput, nor one of times (its columns: {_listed(all_columns)}): {choices}")


def _any_number(column: Column) -> bool:
    return any(value is not None for value in column.values())


def _are_repeats(columns: Sequence[Column]) -> bool:
    """Whether columns differ by a number at the end: time_1, time_2, time_3."""
    found = [re.fullmatch(r"(.*?)[\s_]*(\d+)\D{0,6}", column.heading.text) for column in columns]
    stems = {match[1] for match in found if match}
    counted = sorted(int(match[2]) for match in found if match)
    return all(found) and len(stems) == 1 and counted in (list(range(len(found))), list(range(1, len(found) + 1)))


def _proportional(one: Column, other: Column) -> bool:
    ratios = [a / b for a, b in zip(one.values(), other.values()) if a and b]
    return bool(ratios) and max(ratios) <= min(ratios) * (1 + SAME)


def _by_ideal(column: Column, rest: Sequence[Column], workers: Column) -> Meaning:
    """Whether what stands beside an ideal is a rate or a time: the ideal rises with the workers, or falls."""
    ideal = next((other for other in rest if other.heading.meaning == "ideal" and _any_number(other)), None)
    counted = [
        (n, value)
        for n, value in zip(map(_workers_of, workers.cells), ideal.values() if ideal else [])
        if isinstance(n, int) and value
    ]
    products = [value / n for n, value in counted]
    inverse = [value * n for n, value in counted]
    if len(counted) > 1 and max(products) <= 1.1 * min(products):
        return "throughput"
    if len(counted) > 1 and max(inverse) <= 1.1 * min(inverse):
        return "time"
    raise Refusal(
        f"does not say what {column.name} is: say it: {_quoted([column], '--time-column')} or {_quoted([column], '--throughput-column')}"
    )
