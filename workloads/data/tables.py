"""Tables of numbers in csv files."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from launch.errors import Refusal, nearest

LARGEST = float(np.finfo(np.float32).max)  # largest value, as networks compute in float32


class Table(NamedTuple):
    """Rows of numbers, and one number of each row that is to be predicted from the others.

    Parameters
    ----------
    columns : tuple of str
        Names of the inputs.
    inputs : ndarray of float64, (N, columns)
        All columns but the target.
    target : str
        Name of the column that is predicted.
    targets : ndarray of float64, (N,)
        Values of that column.
    """

    columns: tuple[str, ...]
    inputs: np.ndarray
    target: str
    targets: np.ndarray

    def of(self, rows: np.ndarray) -> Table:
        """Return some of the rows, by their index."""
        return self._replace(inputs=self.inputs[rows], targets=self.targets[rows])


def read(path: Path, target: str = "") -> Table:
    """Read a csv file whose first line names its columns, and check all of it.

    Parameters
    ----------
    path : Path
        Path of the file: values separated by commas, in UTF-8, all of them finite numbers.
    target : str
        Name of the column to predict; by default the last one.

    Raises
    ------
    Refusal
        If the file does not exist, is empty or was cut short, if a value is missing, not a number or beyond float32, or
        if there is no such column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            header = [name.strip() for name in next(lines, [])]
            _check_header(path, header)
            rows = [_numbers(path, lines.line_num, header, line) for line in lines if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise Refusal(f"{path} cannot be read as a table ({reason}): give a csv file with a header") from None
    if not rows:
        raise Refusal(f"{path} has a header and no rows: give a csv file with a row for each example")
    target = target or header[-1]
    if target not in header:
        raise Refusal(f"{path} has no column {target!r}: {nearest(target, header)}")
    place, values = header.index(target), np.array(rows)
    others = tuple(name for name in header if name != target)
    return Table(others, np.delete(values, place, axis=1), target, values[:, place])


def _check_header(path: Path, header: list[str]) -> None:
    if not header:
        raise Refusal(f"{path} is empty: give a csv file with a header and a row for each example")
    if len(header) < 2:
        raise Refusal(f"{path} has one column, {header[0]!r}: give a csv file with two or more, separated by commas")
    if all(_number(name) is not None for name in header):
        raise Refusal(f"{path} begins with numbers, not with the names of its columns: put them in its first line")
    if twice := [name for name in header if header.count(name) > 1 or not name]:
        raise Refusal(f"{path} names the column {twice[0]!r} twice, or not at all: give each a name of its own")


def _numbers(path: Path, number: int, header: list[str], line: list[str]) -> list[float]:
    if len(line) != len(header):
        raise Refusal(
            f"{path}, line {number}, has {len(line)} values, and the header {len(header)}: was the file cut short?"
        )
    values = [_number(word) for word in line]
    for name, word, value in zip(header, line, values):
        if value is None or not abs(value) <= LARGEST:
            fault = "is too large" if value is not None and math.isfinite(value) else "is not a finite number"
            said = f"{word.strip()!r}, which {fault}" if word.strip() else "nothing"
            raise Refusal(f"{path}, line {number}, has {said} in column {name!r}: give numbers, or leave out the line")
    return [value for value in values if value is not None]


def _number(word: str) -> float | None:
    word = word.strip()
    try:
        return float(word) if word.isascii() and "_" not in word else None  # Python's own spellings are not a table's
    except ValueError:
        return None


class Scale(NamedTuple):
    """Mean and deviation of columns, by which they are standardised."""

    mean: np.ndarray
    deviation: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return standardised values, float32."""
        return ((values - self.mean) / self.deviation).astype(np.float32)


def scale(values: np.ndarray) -> Scale:
    """Return the scale of columns, taken from the rows given; a column without variation is only shifted."""
    deviation = values.std(axis=0)
    varies = (np.ptp(values, axis=0) > 0) & (deviation > 0)  # the deviation of equal values can be a rounding error
    return Scale(values.mean(axis=0), np.where(varies, deviation, 1.0))
