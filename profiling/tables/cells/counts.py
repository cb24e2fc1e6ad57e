"""A cell as a number of workers."""

import re
from typing import Any

from launch.errors import Refusal
from profiling.tables import names
from profiling.tables.cells import numbers
from profiling.tables.columns import Column
from profiling.tables.grid import empty


def count(cell: Any, comma: str = "") -> int | str | None:
    """Return a cell as a number of workers; None if nothing stands there, its text if that is not such a number.

    ``comma`` is "decimal" if dots separate thousands.
    """
    if empty(cell) or numbers.missing(cell):
        return None
    if isinstance(cell, str):
        bare = re.sub(r"(?<=\d)\s*\([^()]*\)$", "", names.plain(cell).strip("~ "))  # 1 (serial)
        bare = re.sub(r"(?<=\d)['’ \u2009\u202f\u00a0_](?=\d{3}(?!\d))", ",", bare)
        bare = bare.translate(str.maketrans(",.", ".,")) if comma == "decimal" else bare
        form = re.fullmatch(
            r"(?:[A-Za-z]{1,8}\s*=\s*)?(\d[\d,]*(?:\.\d*)?(?:e[+]?\d+)?)\s*(?:([x×*]?)\s*([^\d\s(]\D*))?",
            bare,
            re.IGNORECASE,
        )
        if not form or form[3] and not form[2] and not names.worker(form[3]):
            named = re.fullmatch(r"(\d+)\s*([x×])\s*([^\d\s].*)", bare)  # 4x A100 (40GB)
            if not named or re.match(r"\d", named[3]):
                return cell
            return int(named[1])
        whole = re.sub(r"[.e].*", "", form[1], flags=re.IGNORECASE)
        if "," in whole and not re.fullmatch(r"\d{1,3}(,\d{3})+", whole):
            return cell
        number = float(form[1].replace(",", ""))
    elif isinstance(cell, bool) or not isinstance(cell, int | float):
        return str(cell)
    else:
        number = float(cell)
    return int(number) if number >= 1 and number.is_integer() and number < 1e15 else str(cell)


def _is_number(cell: str) -> bool:
    return bool(re.fullmatch(r"\s*\d[\d.,'’ \u2009\u202f\u00a0_]*(?:[eE][+-]?\d+)?\s*", cell))


def workers(column: Column) -> list[int | str | None]:
    """Return the numbers of workers in a column.

    Raises
    ------
    Refusal
        If the column counts different things, such as 4x A100 and 8x H100, or its dots may be of thousands.
    """
    if column.open or column.contradicted:
        raise column.of_dots()
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
            f"{column.name} counts different things ({', '.join(list(kinds.values())[:3])}): keep those that can be "
            "compared"
        )
    return counted(column)


def counted(column: Column) -> list[int | str | None]:
    """Return the cells of a column as `count` reads them."""
    return [count(cell, column.comma) for cell in column.cells]


def numbers_of(column: Column) -> list[int]:
    """Return the numbers of workers in a column, without the cells that are none."""
    return [value for value in counted(column) if isinstance(value, int)]


def are_counts(column: Column) -> bool:
    """Return whether most cells of a column may be numbers of workers."""
    there = [cell for cell in column.cells if not empty(cell)]
    return bool(there) and 2 * len(numbers_of(column)) >= len(there)
