"""What the figures of a report share: colours, axes, and the hover text of marks."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from profiling import text

INK, MUTED, GRID, PAPER = "#1c2128", "#66707c", "#d8dee4", "#ffffff"
BLUE, ORANGE = "#2166ac", "#c4560a"
PARTS = ("#9aa5b1", "#6f9bc8", "#b3b8f0", "#e0b35a", "#d98880", "#2f9e77", "#a98bc9", "#5b6770", "#d16ba5", "#8a9a3b")
"""Colours of the phases of a run, in their order."""
COLOURS = (BLUE, PARTS[5], PARTS[4], PARTS[3], PARTS[8], PARTS[1], PARTS[6], PARTS[9], PARTS[7], PARTS[0])
"""Colours of curves, in their order."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Painter = Callable[[dict[str, Any], Figure, list[str]], None]
"""Draws a document into a figure, and adds the hover text of marks to the list."""


def tip(tips: list[str], words: str) -> str:
    """Add a hover text to the list, and return the id of its mark."""
    tips.append(words)
    return f"tip{len(tips) - 1}"


def power(largest: float) -> int:
    """Return the power of ten, a multiple of 3, in which to label an axis up to this value; 0 if none is needed."""
    if not 0 < largest < math.inf or 1e-2 <= largest < 1e5:
        return 0
    return 3 * math.floor(math.log10(largest) / 3)


def short(value: float) -> str:
    """Format a number at a tick in few letters."""
    if abs(value) < 1e6:
        return text.number(value)
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    factor = f"{float(mantissa):g}"
    return f"{'' if factor == '1' else f'{factor}·'}10{str(int(exponent)).translate(_RAISED)}"


def workers_axis(axes: Axes, workers: Sequence[int], works: str = "ranks") -> None:
    """Set up a logarithmic axis with ticks at the given numbers of workers."""
    axes.set_xscale("log", base=2)
    ticks(axes, workers)
    axes.set_xlabel(works)


def ticks(axes: Axes, values: Sequence[float]) -> None:
    """Mark the horizontal axis at some values, or at a part of them if they are many."""
    shown = values if len(values) < 14 else values[:: len(values) // 10]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def rate_axis(axes: Axes, unit: str, label: str = "throughput") -> None:
    """Set up a logarithmic axis of throughput, in a unit or a power of ten of it; call it once the data are drawn."""
    tens = power(float(axes.dataLim.y1))
    axes.set_yscale("log")
    low, high = axes.get_ylim()  # fewer ticks if many powers of ten are shown, so that labels do not overlap
    axes.yaxis.set_major_locator(
        LogLocator(subs=(1, 1.5, 2, 3, 5, 7) if high < 30 * low else (1, 3) if high < 1e4 * low else (1,))
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text.number(value / 10**tens, 3)))
    axes.yaxis.set_minor_locator(NullLocator())
    within = " ".join(filter(None, [f"10{str(tens).translate(_RAISED)}" if tens else "", unit]))
    axes.set_ylabel(f"{label} [{within}]" if within else label)
