"""Rows of a table for a notebook: a list of dicts that displays as the table, and becomes a DataFrame."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from launch.errors import Refusal

if TYPE_CHECKING:
    import pandas  # type: ignore[import-not-found]


class Rows(list[dict[str, Any]]):
    """The rows of a table, one dict each. They display as the table that the command prints.

    Parameters
    ----------
    rows : iterable of dict
        Rows of the table.
    text : function
        Function that returns the table for the terminal.
    markdown : function, optional
        Function that returns the table in Markdown, for notebooks.
    """

    def __init__(
        self, rows: Iterable[dict[str, Any]], text: Callable[[], str], markdown: Callable[[], str] | None = None
    ) -> None:
        super().__init__(rows)
        self._text, self._markdown = text, markdown or (lambda: f"```\n{text()}\n```")

    def __repr__(self) -> str:
        return self._text()

    def _repr_markdown_(self) -> str:
        return self._markdown()

    def to_dataframe(self) -> pandas.DataFrame:
        """Return the rows as a pandas DataFrame; pandas has to be installed."""
        return dataframe(self)


def dataframe(rows: Iterable[Mapping[str, Any]]) -> pandas.DataFrame:
    """Return rows as a pandas DataFrame. An interval becomes two columns; numeric texts become numbers."""
    try:
        import pandas  # type: ignore[import-not-found]
    except ModuleNotFoundError:
        raise Refusal(f"to_dataframe() needs pandas: {sys.executable} -m pip install pandas") from None
    frame = pandas.json_normalize(list(rows), sep="_")
    for name in frame.select_dtypes(exclude="number").columns:
        with contextlib.suppress(ValueError, TypeError):
            frame[name] = pandas.to_numeric(frame[name])
    return frame
