"""Which column of a grid is what: the workers, the measurement, what tells series apart. What is ambiguous is refused,
with the choices."""

import re
from dataclasses import dataclass

from profiling.tables import measures, steps, workers
from profiling.tables.columns import Asked, Column, columns, find
from profiling.tables.grid import Grid, empty
from profiling.tables.names import Meaning


@dataclass(frozen=True)
class Chosen:
    """The columns of a table, by what they are for."""

    workers: Column
    measure: Meaning  # what the measured columns are: throughput, time, rate of one, speed-up, efficiency
    measured: tuple[Column, ...]  # several if each is a series, or a repeat
    repeats: bool  # whether several measured columns are repeats
    named: bool  # whether the user has named the measured column
    kind: Column | None
    unit: Column | None
    name: Column | None  # the documented column of series
    others: tuple[Column, ...]  # the rest

    def of(self, *meanings: Meaning) -> list[Column]:
        """Return the other columns that have one of some meanings."""
        return [column for column in self.others if column.heading.meaning in meanings]


def choose(grid: Grid, asked: Asked) -> Chosen:
    """Tell the columns of a grid apart.

    Raises
    ------
    Refusal
        If no column has the workers or a measurement, or several may have it.
    """
    all_columns = columns(grid, asked.decimal)
    kind = next((column for column in all_columns if column.key == "kind" or _says_kind(column)), None)
    unit = next((column for column in all_columns if _says_unit(column)), None)
    name = next((column for column in all_columns if column.key == "name"), None)
    rest = [column for column in all_columns if column not in (kind, unit, name)]
    by_name = asked.workers_column
    counted = find(by_name, all_columns, "--workers-column") if by_name else workers.choose(rest)
    rest = [column for column in rest if column is not counted]
    if not (asked.time_column or asked.throughput_column):
        rest = [steps.directed(column, counted) for column in rest]
    found = measures.choose(rest, all_columns, asked, counted)
    others = tuple(column for column in rest if column not in found.columns)
    return Chosen(counted, found.meaning, found.columns, found.repeats, found.named, kind, unit, name, others)


def _says_unit(column: Column) -> bool:
    return bool(re.fullmatch(r"(time[ _])?units?", column.key)) and column.is_text


def _says_kind(column: Column) -> bool:
    there = [str(cell) for cell in column.cells if not empty(cell)]
    return bool(there) and all(re.match(r"\s*(weak|strong)\b", cell, re.IGNORECASE) for cell in there)
