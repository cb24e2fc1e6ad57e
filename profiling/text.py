"""Numbers as text, and rows of values as the cells of a table."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from launch.record.table import aligned

Form = Callable[[Any], str]
ONE_NUMBER = 1e-3
"""Relative difference above which two throughputs of a run are two numbers, and it is said why they differ."""


def number(value: float, digits: int = 5) -> str:
    """A number with some significant digits, without an exponent where that is readable."""
    rounded = float(f"{value:.{digits}g}")  # 99999.6 has six digits before the point once it is rounded
    return f"{value:.0f}" if 10**digits <= abs(rounded) < 1e12 else f"{value:.{digits}g}"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds."""
    return number(1000 * seconds)


def percent(value: float) -> str:
    """A share in per cent, one digit after the decimal point."""
    return f"{value:.1%}"


def span(low: float, high: float, form: Form = number) -> str:
    """An interval."""
    return f"[{form(low)}, {form(high)}]"


def within(low: float, high: float, factor: float = 1.0, suffix: str = "") -> Form:
    """How a number with this interval is written, and its bounds: to the digit that half the interval leaves known.

    Of half the interval one digit is kept, or two if it begins with 1 to 3.5, as the Particle Data Group rounds errors;
    in all two digits at least, as the lower end of a wide interval needs, and seven at most. ``factor`` and ``suffix``
    are from the unit of the values to that which is shown.
    """
    half, largest = factor * abs(high - low) / 2, factor * max(abs(low), abs(high))
    if not (0 < half < math.inf and 1e-6 < largest < 1e12):
        return lambda value: f"{number(factor * value)}{suffix}"
    digits = min(-math.floor(math.log10(half / 3.55)), 6 - math.floor(math.log10(largest)))

    def form(value: float) -> str:
        shown = factor * value
        least = 1 - math.floor(math.log10(abs(shown))) if shown else digits
        own = max(digits, min(least, 9))
        return f"{round(shown, own) + 0.0:.{max(own, 0)}f}{suffix}"

    return form


def plural(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}{'s' * (count != 1)}"


def counted(count: int, works: str) -> str:
    """A number of what works, which is named in the plural: ranks, GPUs, processes."""
    return (
        f"{count} {works}" if count != 1 else f"1 {works.removesuffix('es') if works.endswith('sses') else works[:-1]}"
    )


def value(key: str, form: Form = number) -> Form:
    """A cell: the value of a key of its row; empty if there is none."""
    return lambda row: "" if row.get(key) is None else form(row[key])


def bounds(low: str, high: str, form: Form = number) -> Form:
    """A cell: the interval between the values of two keys of its row."""
    return lambda row: span(row[low], row[high], form)


def estimate(key: str, low: str, high: str, factor: float = 1.0, suffix: str = "") -> tuple[Form, Form]:
    """Two cells: the value of a key of its row, and the interval between two others, in digits as of `within`."""

    def form(row: Any) -> Form:
        return within(row[low], row[high], factor, suffix)

    return lambda row: form(row)(row[key]), lambda row: span(row[low], row[high], form(row))


def cells(columns: Sequence[tuple[str, Form]], rows: Iterable[Any]) -> tuple[list[str], list[list[str]]]:
    """The headings of a table and the cells of its rows; a column is a heading and a function from row to cell."""
    return [title for title, _ in columns], [[form(row) for _, form in columns] for row in rows]


def table(columns: Sequence[tuple[str, Form]], rows: Iterable[Any], sides: str = ">") -> str:
    """The lines of a table for the terminal; ``columns`` as of `cells`, ``sides`` as of `aligned`."""
    header, lines = cells(columns, rows)
    return aligned([header, *lines], sides)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns right-aligned."""
    lines = [header, ["---:"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def pace(done: int, left: int, seconds: float) -> str:
    """At which rate things are done, and how long the others take; empty while nothing is known.

    >>> pace(40, 100, 2.0), pace(1, 10, 60.0), pace(2, 3, 7200.0), pace(0, 3, 9.0)
    (', 20 a second, about 5 s left', ', 1 a minute, about 10 min left', ', 1 an hour, about 3.0 h left', '')
    """
    if done < 1 or seconds <= 0:
        return ""
    each = seconds / done
    units = ((1, "a second"), (60, "a minute"), (3600, "an hour"))
    length, unit = next((known for known in units if known[0] >= each), units[-1])
    wait = left * each
    text = f"{wait:.0f} s" if wait < 120 else f"{wait / 60:.0f} min" if wait < 7200 else f"{wait / 3600:.1f} h"
    return f", {length / each:.3g} {unit}, about {text} left"
