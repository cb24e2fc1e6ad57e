"""The history of studies as a table: each point in each study, relative to the first."""

from collections.abc import Sequence
from typing import Any

from profiling import text


def table(document: dict[str, Any]) -> str:
    """Return a table of each point in each study, relative to the first."""
    studies: Sequence[dict[str, Any]] = document["studies"]
    found = {(at, place(point)): point for at, one in enumerate(studies) for point in one["points"]}
    columns: list[tuple[str, text.Form]] = [("", str)]
    for at, one in enumerate(studies):
        columns.append((one["second"], lambda name, at=at: _cell(found.get((at, name)))))
    return text.table(columns, dict.fromkeys(name for _, name in found), "<>")


def _cell(point: dict[str, Any] | None) -> str:
    if point is None:
        return ""
    sure = f" {point['verdict']}" if point["verdict"] in ("faster", "slower") else ""
    return f"{point['ratio']:.3f}{sure}"


def place(point: dict[str, Any]) -> str:
    """Return a point in words."""
    ranks = text.counted(point["workers"], "ranks")
    return f"{point['series']} on {ranks}" if point["series"] else ranks
