"""Reads tables, lists and values of a TOML file, refuses those of a wrong type in one line, and keeps values as
written."""

import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any

from launch.errors import Refusal, nearest
from launch.plan import typed


class Written(float):
    """A number of a file that keeps its spelling there: 1e-3, which as a plain float would become 0.001."""

    text: str

    def __new__(cls, text: str) -> "Written":
        """Make the number from its text, as `float` does."""
        number = super().__new__(cls, text)
        number.text = text.replace("_", "")  # separates digits in TOML, but hardly anywhere else
        return number

    def __str__(self) -> str:
        return self.text


def table_of(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a table within a definition; empty if there is none."""
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise Refusal(
            f"{name} = {typed.shown(table)} is not a table: write [{name}], and below it a line NAME = VALUE for each"
        )
    return table


def list_of_tables(tables: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the tables of one name within a definition."""
    found = tables.get(name, [])
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        inline = name in ("only", "exclude")
        how = f"{name} = [{{width = 64}}, {{width = 32, lr = 0.01}}]" if inline else f"[[{name}]]"
        raise Refusal(f"{name} is not a list of tables: write {how}")
    return found


def words_of(tables: Mapping[str, Any], name: str) -> list[str]:
    """Return a list of words within a definition."""
    found = tables.get(name, [])
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise Refusal(f"{name} = {typed.shown(found)} is not a list of words: write {name} = ['one', 'two']")
    return found


def as_text(name: str, value: Any) -> str:
    """Return a value as written on a command line; for a list or a table, as JSON."""
    try:
        if isinstance(value, list | dict):
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_date)
        elif isinstance(value, datetime.date | datetime.time):
            text = _date(value)
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; one in a list that is infinite
        text = "\0"
    if "\0" in text or isinstance(value, int) and abs(value) >= 2**63:
        raise Refusal(f"{name} = {typed.shown(value)} is not a value: give a number, a text, true or false")
    return text


def _date(value: datetime.date | datetime.time) -> str:
    return value.isoformat()


def refuse_unknown(table: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a table with a key that it cannot have."""
    if unknown := next((name for name in table if name not in known), None):
        raise Refusal(f"{unknown} is not a key that this table can have: {nearest(unknown, known)}")
