"""Which column of a table counts the workers; what is ambiguous is refused, with the choices."""

import re
from collections.abc import Sequence

from launch.errors import Refusal
from profiling.tables.cells.counts import are_counts, counted, numbers_of
from profiling.tables.columns import NEEDED, Column, listed, quoted


def choose(columns: Sequence[Column]) -> Column:
    """Return the column of the workers: of several that vary, the finest.

    Raises
    ------
    Refusal
        If there is none, or it may be one of several.
    """
    exact = [column for column in columns if column.key == "workers"]
    if exact:
        return exact[0]
    named = [column for column in columns if column.heading.meaning == "workers" and are_counts(column)]
    named = named or [column for column in columns if column.heading.meaning == "shape" and are_counts(column)]
    if {"p", "q"} <= {column.key for column in columns}:
        others = [column for column in named if column.key not in ("p", "q")]
        either = f", or say which it is: {quoted(others, '--workers-column')}" if others else ""
        raise Refusal(f"has columns P and Q, of which the workers are the product: add a column of it{either}")
    if not named:
        raise _none(columns)
    varying = [column for column in named if len(set(numbers_of(column))) > 1]
    if len(varying) < 2:
        return (varying or named)[0]
    *coarser, finest = sorted(varying, key=lambda column: max(numbers_of(column), default=0))
    if all(_divides(column, finest) for column in coarser):
        return finest
    raise Refusal(
        f"has {len(varying)} columns that may count the workers: choose: {quoted(varying, '--workers-column')}, or add "
        "a column of their product"
    )


def _none(columns: Sequence[Column]) -> Refusal:
    other = ("time", "throughput", "rate of one", "speed-up", "efficiency", "spread")
    whole = [column for column in columns if are_counts(column) and column.heading.meaning not in other]
    given = f"say which it is: {quoted(whole[:4], '--workers-column')}" if whole else NEEDED
    for column in columns:
        cell = next((str(cell).strip() for cell in column.cells if re.search(r"\d", str(cell))), "")
        if column.heading.meaning == "workers" and cell:
            said = f"has no whole numbers in its column of workers, {column.name} ({cell})"
            return Refusal(f"{said}: {given if whole else 'write such numbers'}")
    return Refusal(f"has no column of workers (its columns: {listed(columns)}): {given}")


def _divides(column: Column, finest: Column) -> bool:
    """Return whether a column counts larger units of what ``finest`` counts.

    Threads may be those of each rank. Those of all are called so, stand beside cores, or are as many times the ranks in
    all rows, and not just as many, as they may be beside nodes.
    """
    pairs = [
        (one, all_)
        for one, all_ in zip(counted(column), counted(finest))
        if isinstance(one, int) and isinstance(all_, int)
    ]
    ratios = {all_ / one for one, all_ in pairs}
    kinds = {column.heading.worker, finest.heading.worker}
    if "thread" in kinds and not kinds <= {"thread", "core"} and not re.search(r"\b(total|all)\b", finest.key):
        return len(ratios) == 1 and (ratios != {1} or "node" in kinds)
    return len(ratios) == 1 or all(ratio >= 1 and ratio.is_integer() for ratio in ratios)
