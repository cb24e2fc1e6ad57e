"""The columns of a grid, how they are named in options, and what the user says of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from launch.errors import Refusal
from profiling.tables import names, repeats
from profiling.tables.cells import dots, letters, numbers
from profiling.tables.cells.numbers import Cell, Number
from profiling.tables.grid import Grid, empty
from profiling.tables.names import Heading

NEEDED = "give a table with a column of workers (nodes, ranks, GPUs, cores ...) and one of times or of throughput"


@dataclass(frozen=True)
class Asked:
    """What the user states about a table; empty where the table itself is to say it."""

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
    comma: str  # what a comma is, as for `numbers.column`
    open: str = ""  # a cell as 1.000, of which nothing in the table says whether it is 1 or 1000
    contradicted: str = ""  # a cell elsewhere in which a dot is something else than it is here

    @property
    def name(self) -> str:
        """The heading, or the number of a column that has none."""
        return self.heading.text or f"column {self.place + 1}"

    @property
    def key(self) -> str:
        """The heading in lower case, to compare with the exact names of documented columns."""
        return self.heading.text.lower()

    @property
    def _short(self) -> bool:
        """Whether the heading says that 12:25 are minutes and seconds."""
        return bool(re.search(r"\bm{1,2}:ss\b", self.heading.text, re.IGNORECASE))

    def numbers(self, time: bool = False) -> list[Cell]:
        """Return the cells as numbers.

        Raises
        ------
        Refusal
            If a comma or a dot may be that of decimals or of thousands.
        """
        if self.contradicted:
            raise self.of_dots()
        try:
            return numbers.column(self.cells, self.comma, time, self._short)
        except numbers.Ambiguous:
            cell = next(cell for cell in self.cells if isinstance(cell, str) and "," in cell)
            raise Refusal(
                f"{self.name} has commas that may be of decimals or of thousands ({cell}): say --decimal comma or "
                "--decimal point"
            ) from None

    def of_dots(self) -> Refusal:
        """Return the refusal of a column whose dots may be of decimals or of thousands."""
        seen = f"{self.open}; elsewhere {self.contradicted}" if self.contradicted else self.open
        return Refusal(
            f"{self.name} has dots that may be of decimals or of thousands ({seen}): say --decimal point or "
            "--decimal comma"
        )

    def values(self) -> list[float | None]:
        """Return the cells as far as they are numbers; times in seconds."""
        try:
            found = numbers.column(self.cells, self.comma or "thousands", self.heading.meaning == "time", self._short)
        except numbers.Ambiguous:
            return [None] * len(self.cells)
        return [_seconds(cell) if isinstance(cell, Number) else None for cell in found]

    @property
    def is_text(self) -> bool:
        """Whether most of the cells that say something are not numbers."""
        there = [cell for cell in self.cells if not empty(cell) and not numbers.missing(cell)]
        return bool(there) and 2 * sum(value is not None for value in self.values()) < len(there)


def _seconds(cell: Number) -> float:
    return cell.value * names.SECONDS.get(cell.unit.lower(), 1.0)


def columns(grid: Grid, decimal: str | None = None) -> list[Column]:
    """Return the columns of a grid. A comma that one column shows to be of decimals or of thousands is so in all."""
    made = [tuple(row.cells[place] for row in grid.rows) for place in range(len(grid.header))]
    comma = {"comma": "decimal", "point": "thousands"}.get(decimal or "", "")
    doubts = [("", "")] * len(made)
    if not comma:
        shown = {found for cells in made if (found := numbers.shown(cells))}
        seen = dots.of_table(made, bool(grid.comma))
        doubts = [seen.doubt(cells) for cells in made]
        comma = seen.shown or ("thousands" if seen.decimals or not grid.comma and not shown else "")
        if seen.thousands and seen.shown != "thousands":
            comma = "thousands" if seen.decimals else "decimal"
    return [
        Column(place, _by_cells(_heading(name, grid.header), cells), cells, comma, *doubts[place])
        for place, (name, cells) in enumerate(zip(grid.header, made))
    ]


_STATISTIC = r"(max(imum)?|mean|med(ian)?|avg|average|std|std ?dev|sd|best|worst|p\d\d)"


def _heading(name: str, header: Sequence[str]) -> Heading:
    """Return what a name says beside the others of its header.

    "min" beside "max", "mean" or "p99" is the minimum, not a unit; "time run 1" is a time, not the number of a run.
    """
    plain, found = names.plain(name), names.heading(name)
    if letter := letters.meaning(name, header):
        return Heading(plain, letter)
    stem = re.fullmatch(r"(.*\b|.*_|)min", plain.lower())
    beside = rf"{re.escape(stem[1])}{_STATISTIC}\s*([(\[].*)?" if stem else ""
    if stem and any(re.fullmatch(beside, names.plain(other).lower()) for other in header):
        return replace(names.heading(f"{stem[1]}minimum"), text=plain)
    repeat = repeats.of(plain) if found.meaning in ("repeat", "unknown") else None
    return replace(names.heading(repeat[1]), text=plain) if repeat and repeat[1] else found


def _by_cells(heading: Heading, cells: Sequence[Any]) -> Heading:
    """Complete a heading that does not say what is below it, if the cells do: 5916ms, 12 req/s."""
    if heading.meaning not in ("unknown", "actual") or heading.unit:
        return heading
    found = [cell for cell in numbers.column(cells, "thousands", time=True) if isinstance(cell, Number)]
    if found and all(names.is_time(cell.unit) for cell in found):
        return replace(heading, meaning="time")
    rates = bool(found) and all("/" in cell.unit and not cell.unit.startswith("/") for cell in found)
    return replace(heading, meaning="throughput") if rates else heading


def find(name: str, among: Sequence[Column], option: str) -> Column:
    """Return the column that an option names, by its heading or its number.

    Raises
    ------
    Refusal
        If no column has that name, or several have it.
    """
    plain = names.plain(name).lower()
    for same in (lambda c: c.heading.text == name, lambda c: c.key == plain, lambda c: str(c.place + 1) == plain):
        found = [column for column in among if same(column)]
        if len(found) > 1:
            raise Refusal(f"has {len(found)} columns {name!r}: give one by its number: {numbered(found, option)}")
        if found:
            return found[0]
    raise Refusal(f"has no column {name!r} ({option}): it has {listed(among)}")


def numbered(columns: Sequence[Column], option: str) -> str:
    """Return the options that choose among some columns, by number."""
    return " or ".join(f"{option} {column.place + 1}" for column in columns)


def listed(columns: Sequence[Column]) -> str:
    """Return the names of some columns, for a message."""
    return ", ".join(column.name for column in columns) or "none"


def quoted(columns: Sequence[Column], option: str) -> str:
    """Return the options that choose among some columns: by name, or by number where names are alike."""
    called = [column.name for column in columns]
    return " or ".join(
        f"{option} {repr(column.name) if column.heading.text and called.count(column.name) == 1 else column.place + 1}"
        for column in columns
    )
