"""Numbers as text, and rows of values as the cells of a table."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from launch.record.table import aligned

Form = Callable[[Any], str]
ONE_NUMBER = 1e-3
"""Relative difference above which two throughputs of a run are shown as two numbers, with the reason."""


def number(value: float, digits: int = 5) -> str:
    """Format a number with some significant digits, without an exponent where that is readable."""
    rounded = float(f"{value:.{digits}g}")  # 99999.6 has six digits before the point once it is rounded
    return f"{value:.0f}" if 10**digits <= abs(rounded) < 1e12 else f"{value:.{digits}g}"


def milliseconds(seconds: float) -> str:
    """Format seconds as milliseconds."""
    return number(1000 * seconds)


def percent(value: float) -> str:
    """Format a share in per cent, with one digit after the decimal point."""
    return f"{value:.1%}"


def span(low: float, high: float, form: Form = number) -> str:
    """Format an interval."""
    return f"[{form(low)}, {form(high)}]"


def within(low: float, high: float, factor: float = 1.0, suffix: str = "") -> Form:
    """Return how to format a number with this interval, and its bounds: to the digit that half the interval determines.

    Of half the interval one digit is kept, or two if it begins with 1 to 3.5, as the Particle Data Group rounds errors;
    in all two digits at least, as the lower end of a wide interval needs, and seven at most. ``factor`` converts the
    unit of the values to the one that is shown, which ``suffix`` names.
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
    """Format a number of things."""
    return f"{count} {noun}{'s' * (count != 1)}"


def counted(count: int, works: str) -> str:
    """Format a number of workers, whose kind is named in the plural: ranks, GPUs, processes."""
    return (
        f"{count} {works}" if count != 1 else f"1 {works.removesuffix('es') if works.endswith('sses') else works[:-1]}"
    )


def value(key: str, form: Form = number) -> Form:
    """Return a form that shows the value of a key of a row; empty if there is none."""
    return lambda row: "" if row.get(key) is None else form(row[key])


def bounds(low: str, high: str, form: Form = number) -> Form:
    """Return a form that shows the interval between the values of two keys of a row."""
    return lambda row: span(row[low], row[high], form)


def estimate(key: str, low: str, high: str, factor: float = 1.0, suffix: str = "") -> tuple[Form, Form]:
    """Return two forms: of the value of a key of a row, and of the interval between two others, as `within` rounds."""

    def form(row: Any) -> Form:
        return within(row[low], row[high], factor, suffix)

    return lambda row: form(row)(row[key]), lambda row: span(row[low], row[high], form(row))


def cells(columns: Sequence[tuple[str, Form]], rows: Iterable[Any]) -> tuple[list[str], list[list[str]]]:
    """Return the headings of a table and the cells of its rows; a column is a heading and a function of a row."""
    return [title for title, _ in columns], [[form(row) for _, form in columns] for row in rows]


def table(columns: Sequence[tuple[str, Form]], rows: Iterable[Any], sides: str = ">") -> str:
    """Return the lines of a table for the terminal; ``columns`` as for `cells`, ``sides`` as for `aligned`."""
    header, lines = cells(columns, rows)
    return aligned([header, *lines], sides)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with right-aligned columns."""
    lines = [header, ["---:"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def pace(done: int, left: int, seconds: float) -> str:
    """Say at which rate things are done, and how long the rest takes; empty while nothing is known.

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
