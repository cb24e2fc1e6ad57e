"""JSON of any shape that says a table: rows, columns, series, dictionaries by number of workers -> grids."""

import json
import re
from collections.abc import Iterable
from typing import Any

from launch.errors import Refusal
from profiling.tables import names
from profiling.tables.grid import Grid, Row

_NUMBER = re.compile(r"\d+")


def grids(text: str) -> list[Grid]:
    """The tables in a document, or in lines of JSON.

    Raises
    ------
    Refusal
        If it is not JSON, or holds no table.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        try:
            value = [json.loads(line) for line in text.splitlines() if line.strip()]
            assert len(value) > 1
        except (ValueError, RecursionError, AssertionError):
            raise Refusal(f"is not JSON ({error}): give a list of rows or of series") from None
    return list(_tables(value, ""))


def _tables(value: Any, title: str) -> Iterable[Grid]:
    if isinstance(value, list):
        if not value:
            raise Refusal("has no rows: give a line for each measurement")
        yield _of_rows(list(_rows(value)), title)
        return
    if not isinstance(value, dict):
        raise Refusal(f"row 1: {value!r} is not a row; give objects with workers, throughput, kind")
    inner = {key: item for key, item in value.items() if isinstance(item, dict | list)}
    if "repeats" in value or not inner or _columns(inner):
        yield _of_rows(list(_rows([value], title)), title)
    elif by_index := _by_index(value):  # of pandas
        yield _of_rows(list(_rows([by_index], title)), title)
    elif len(objects := {key: item for key, item in inner.items() if isinstance(item, dict)}) > 1 and _alike(objects):
        label = "workers" if all(_NUMBER.fullmatch(key) for key in objects) else ""
        yield _of_rows([(f"key {key!r}", {label: key, **_flat(item)}) for key, item in objects.items()], title)
    elif all(_NUMBER.fullmatch(key) for key in value):  # 1: 2.0, 2: 1.1
        yield _of_rows([(f"key {key!r}", {"workers": key, "value": item}) for key, item in value.items()], title)
    else:
        several = [(key, item) for key, item in inner.items() if _may_be_table(item)]
        if not several:
            yield _of_rows(list(_rows([value])), title)
        for key, item in several:
            if isinstance(item, dict) and item and all(_NUMBER.fullmatch(str(name)) for name in item):
                if not any(isinstance(cell, dict) for cell in item.values()):  # "time": {1: 2.0, 2: 1.1}
                    rows = [(f"{key} {name}", {"workers": name, key: cell}) for name, cell in item.items()]
                    yield _of_rows(rows, title)
                    continue
            yield from _tables(item, f"{title} {key}".strip() if len(several) > 1 else title)


def _columns(inner: dict[str, Any]) -> bool:
    """Whether some values are columns: lists of as many values each, and not of objects."""
    lists = [item for item in inner.values() if isinstance(item, list)]
    return len(lists) > 1 and not any(isinstance(cell, dict) for item in lists for cell in item)


def _by_index(value: dict[str, Any]) -> dict[str, list[Any]] | None:
    """Columns of pandas, each a dictionary by index, as lists."""
    indices = [list(item) for item in value.values() if isinstance(item, dict)]
    numbered = [str(place) for place in range(len(indices[0]))] if indices else []
    same = len(indices) == len(value) > 1 and all(index == numbered for index in indices)
    return {key: list(item.values()) for key, item in value.items()} if same else None


def _alike(inner: dict[str, Any]) -> bool:
    """Whether dictionaries are rows: numbers under the same names, one of which is known, or by number."""
    flat = [_flat(item) for item in inner.values()]
    if any(isinstance(cell, dict | list) for row in flat for cell in row.values()):
        return False
    shared = set.intersection(*(set(row) for row in flat))
    meanings = {names.heading(name).meaning for name in shared}
    return (
        bool(meanings & {"time", "throughput", "rate of one", "speed-up"})
        or bool(shared)
        and all(map(_NUMBER.fullmatch, inner))
    )


def _may_be_table(item: Any) -> bool:
    if isinstance(item, list):
        return bool(item) and all(isinstance(row, dict) for row in item)
    return isinstance(item, dict) and len(item) > 1


def _rows(value: list[Any], title: str = "") -> Iterable[tuple[str, dict[str, Any]]]:
    for number, item in enumerate(value, 1):
        if not isinstance(item, dict):
            raise Refusal(f"row {number}: {item!r} is not a row; give objects with workers, throughput, kind")
        flat = _flat(item)
        name = item.get("name", title or number)
        repeats = item.get("repeats")
        lists = {key: cell for key, cell in flat.items() if isinstance(cell, list)}
        if isinstance(repeats, dict):
            flat = {key: cell for key, cell in flat.items() if not key.startswith("repeats.")}
            pairs = [
                {"workers": count, "throughput": rate}
                for count, rates in repeats.items()
                for rate in (rates if isinstance(rates, list) else [rates])
            ]
        elif len(lists) > 1:
            lengths = {key: len(cells) for key, cells in lists.items()}
            (first, most), *others = lengths.items()
            if unlike := next(((key, length) for key, length in others if length != most), None):
                raise Refusal(
                    f"series {name!r}: {most} {first} but {unlike[1]} values of {unlike[0]}; give as many of each"
                )
            pairs = [pair for cells in zip(*lists.values()) for pair in _repeats(dict(zip(lists, cells)))]
        elif lists:  # of one row: its repeats
            ((key, cells),) = lists.items()
            for position, cell in enumerate(cells, 1):
                yield f"row {number}, value {position}", {**flat, key: cell}
            continue
        else:
            yield f"row {number}", flat
            continue
        for position, pair in enumerate(pairs, 1):
            yield f"series {name!r}, value {position}", {**flat, **pair}


def _repeats(row: dict[str, Any]) -> list[dict[str, Any]]:
    """A row of which one value is a list, as a row for each of its values."""
    listed = next((key for key, cell in row.items() if isinstance(cell, list)), None)
    return [row] if listed is None else [{**row, listed: cell} for cell in row[listed]]


def _flat(item: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Values of inner objects under the names of both."""
    flat: dict[str, Any] = {}
    for key, cell in item.items():
        flat |= _flat(cell, f"{before}{key}.") if isinstance(cell, dict) else {f"{before}{key}": cell}
    return flat


def _of_rows(rows: list[tuple[str, dict[str, Any]]], title: str) -> Grid:
    header = list(dict.fromkeys(key for _, row in rows for key in row))
    return Grid(tuple(header), tuple(Row(where, tuple(row.get(key) for key in header)) for where, row in rows), title)
