"""JSON of any shape that holds a table: rows, columns, series, dictionaries by number of workers -> grids."""

import json
import re
from collections.abc import Iterable
from typing import Any

from launch.errors import Refusal
from profiling.tables import names
from profiling.tables.grid import MEASURED, Grid, Row

_NUMBER = re.compile(r"\d{1,18}")


def grids(text: str) -> list[Grid]:
    """Return the tables in a document, or in lines of JSON.

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
        except (ValueError, RecursionError):
            value = []
        if len(value) < 2:
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
    inner: dict[str, Any] = {key: item for key, item in value.items() if isinstance(item, dict | list)}
    plain = {key: item for key, item in value.items() if key not in inner}
    if _is_split(value):
        yield _of_split(value, plain, title)
    elif _by_number(value):
        yield _of_rows(list(_numbered({"value": value}, {})), title)
    elif "repeats" in value or not inner or _columns(inner):
        yield _of_rows(list(_rows([value], title)), title)
    elif by_index := _by_index(value):  # as pandas writes columns
        yield _of_rows(list(_rows([by_index], title)), title)
    elif all(map(_by_number, inner.values())) and _are_columns(inner):  # "time": {1: 2.0}, "efficiency": {1: 1.0}
        yield _of_rows(list(_numbered(inner, plain)), title)
    elif len(objects := {key: item for key, item in inner.items() if isinstance(item, dict)}) > 1 and _alike(objects):
        rows = {f"key {key!r}": (key, _flat(item)) for key, item in objects.items()}
        if _count_workers(objects) or not _numbers(objects):  # else the keys number the rows, and say nothing
            label = "workers" if _numbers(objects) else ""
            yield _of_rows([(where, {label: key, **row}) for where, (key, row) in rows.items()], title)
        else:
            yield _of_rows([(where, row) for where, (_, row) in rows.items()], title)
    elif _numbers(value):  # of values that are not numbers, which a refusal quotes
        yield _of_rows([(f"key {key!r}", {"workers": key, "value": item}) for key, item in value.items()], title)
    else:
        several = [(key, item) for key, item in inner.items() if _may_be_table(item)]
        if not several:
            yield _of_rows(list(_rows([value])), title)
        for key, item in several:
            its = f"{title} {key}".strip() if len(several) > 1 else title
            if _by_number(item):  # "time": {1: 2.0, 2: 1.1}; "V100": {1: 2.0, 2: 1.1}
                named = len(several) == 1 or names.heading(key).meaning in MEASURED
                yield _of_rows(list(_numbered({key if named else "value": item}, plain)), its)
            else:
                yield from _tables(item, its)


def _numbers(value: dict[str, Any]) -> bool:
    """Return whether all keys are numbers."""
    return bool(value) and all(map(_NUMBER.fullmatch, value))


def _by_number(item: Any) -> bool:
    """Return whether something is a dictionary from numbers to values, or to lists of repeats."""
    return isinstance(item, dict) and _numbers(item) and not any(map(_is_nested, item.values()))


def _is_nested(cell: Any) -> bool:
    return isinstance(cell, dict) or isinstance(cell, list) and any(isinstance(one, dict | list) for one in cell)


def _are_columns(inner: dict[str, Any]) -> bool:
    """Return whether dictionaries by number are columns of one table, as they mean different things, not series."""
    meanings = {names.heading(key).meaning for key in inner}
    return len(meanings) > 1 and bool(meanings & MEASURED)


def _numbered(columns: dict[str, dict[str, Any]], constant: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield the rows of columns by number; the number counts the workers if none of the columns does."""
    own = any(names.heading(key).meaning == "workers" for key in columns) and len(columns) > 1
    for number in dict.fromkeys(number for column in columns.values() for number in column):
        row = {key: column[number] for key, column in columns.items() if number in column}
        row = {**constant, **({} if own else {"workers": number}), **row}
        for _, one in _rows([row], f"key {number!r}"):
            yield f"key {number!r}", one


def _count_workers(rows: dict[str, dict[str, Any]]) -> bool:
    """Return whether the keys of rows count the workers, which the rows do not count, or only in larger units."""
    if not _numbers(rows):
        return False
    flat = [_flat(row) for row in rows.values()]
    keys = list(map(int, rows))
    columns = [[row.get(name) for row in flat] for name in flat[0] if names.heading(name).meaning == "workers"]
    columns = [cells for cells in columns if len(set(map(str, cells))) > 1]
    one_by_one = sorted(keys) == list(range(min(keys), min(keys) + len(keys)))
    return not any(
        one_by_one or not all(isinstance(n, int) and n > 0 and key and key % n == 0 for key, n in zip(keys, cells))
        for cells in columns
    )


def _is_split(value: dict[str, Any]) -> bool:
    """Return whether a table has its cells under "data", a list per row, and the names of its columns beside them."""
    header, cells = value.get("columns"), value.get("data")
    if not isinstance(header, list) or not isinstance(cells, list) or not cells:
        return False
    return all(isinstance(row, list) for row in cells)


def _of_split(value: dict[str, Any], constant: dict[str, Any], title: str) -> Grid:
    header = [" ".join(map(str, name)) if isinstance(name, list) else str(name) for name in value["columns"]]
    cells, index = value["data"], value.get("index")
    for number, row in enumerate(cells, 1):
        if len(row) != len(header):
            raise Refusal(f"row {number}: {len(row)} values for {len(header)} columns; give as many of each")
    counted = any(names.heading(name).meaning == "workers" for name in header)
    if not counted and isinstance(index, list) and len(index) == len(cells):
        if all(isinstance(number, int) and number > 0 for number in index):
            header, cells = ["workers", *header], [[number, *row] for number, row in zip(index, cells)]
    rows = (Row(f"row {number}", (*constant.values(), *row)) for number, row in enumerate(cells, 1))
    return Grid((*constant, *header), tuple(rows), title)


def _columns(inner: dict[str, Any]) -> bool:
    """Return whether some values are columns: several lists, none of which holds objects."""
    lists = [item for item in inner.values() if isinstance(item, list)]
    return len(lists) > 1 and not any(isinstance(cell, dict) for item in lists for cell in item)


def _by_index(value: dict[str, Any]) -> dict[str, list[Any]] | None:
    """Return columns of pandas, each a dictionary by index, as lists; None if they are something else."""
    indices = [list(item) for item in value.values() if isinstance(item, dict)]
    numbered = [str(place) for place in range(len(indices[0]))] if indices else []
    same = len(indices) == len(value) > 1 and all(index == numbered for index in indices)
    return {key: list(item.values()) for key, item in value.items()} if same else None


def _alike(inner: dict[str, Any]) -> bool:
    """Return whether dictionaries are rows: values under the same names, one of which is known, or by number."""
    if not _numbers(inner) and any(
        _numbers(item) or any(isinstance(cell, dict) and _numbers(cell) for cell in item.values())
        for item in inner.values()
    ):
        return False  # they are tables by number
    flat = [_flat(item) for item in inner.values()]
    if any(isinstance(cell, dict | list) for row in flat for cell in row.values()):
        return False
    shared = set.intersection(*(set(row) for row in flat))
    meanings = {names.heading(name).meaning for name in shared}
    return bool(meanings & (MEASURED - {"efficiency"})) or bool(shared) and _numbers(inner)


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
        elif lists:  # the repeats of one row
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
    """Split a row of which one value is a list into a row for each of its values."""
    listed = next((key for key, cell in row.items() if isinstance(cell, list)), None)
    return [row] if listed is None else [{**row, listed: cell} for cell in row[listed]]


def _flat(item: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Flatten an object: the values of inner objects get the names of both."""
    flat: dict[str, Any] = {}
    for key, cell in item.items():
        flat |= _flat(cell, f"{before}{key}.") if isinstance(cell, dict) else {f"{before}{key}": cell}
    return flat


def _of_rows(rows: list[tuple[str, dict[str, Any]]], title: str) -> Grid:
    header = list(dict.fromkeys(key for _, row in rows for key in row))
    return Grid(tuple(header), tuple(Row(where, tuple(row.get(key) for key in header)) for where, row in rows), title)
