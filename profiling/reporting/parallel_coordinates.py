"""The points of a sweep as lines across parallel axes: its parameters, then its results."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from profiling import text
from profiling.reporting import style, sweep_table
from profiling.reporting.style import INK, MUTED, ORANGE, PAPER

FIGURES = 4  # largest number of figures that get an axis, if the table shows more
LINES = 1000  # largest number of lines that are drawn: those of the best points
LABELS = 12  # largest number of labels per axis
_UNDER_LABELS: Any = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.7, "pad": 0.6}
WIDE = 50  # ratio of the largest to the smallest value from which on an axis is logarithmic


class _Axis(NamedTuple):
    """An axis: where each point crosses it, from 0 to 1, and which positions have labels."""

    title: str
    places: list[float]
    labels: list[tuple[float, str]]


def figure(content: dict[str, Any]) -> dict[str, tuple[str, str, style.Painter]]:
    """Return title, caption and painter by the figure's name; nothing if there are too few points or nothing varies.

    Parameters
    ----------
    content : dict
        Table of the sweep, with its ``objective``: the figure by which lines are coloured.
    """
    objective = content["objective"]
    shown = [objective, *(name for name in content["smallest"] if name != objective)][: 1 if content["by"] else FIGURES]
    points = [point for point in content["points"][::-1] if all(name in point["figures"] for name in shown)]
    if objective is None or len(points) < 2:
        return {}
    small = content["smallest"][objective]
    points.sort(key=lambda point: point["figures"][objective]["mean"], reverse=small)  # the best is drawn last
    points = points[-LINES:]
    axes = [_parameter(axis, points) for axis in sweep_table.axes(content)]
    varied = [axis for axis in axes if len(set(axis.places)) > 1]
    if not varied:
        return {}
    axes = varied + [_figure(name, points) for name in reversed(shown)]
    best = "smallest" if small else "largest"
    caption = (
        f"A line per point: its parameters, and the means of its repeats. Colours go by {objective}; the {best} is "
        f"drawn in orange. Points without all of these figures are not in it"
        + (f", nor are those beyond the best {LINES}." if len(points) == LINES else ".")
    )
    return {"parallel_coordinates": ("Parameters and results", caption, _painter(axes, points, objective, content))}


def _parameter(name: str, points: Sequence[dict[str, Any]]) -> _Axis:
    """Return the axis of a parameter: numeric if all values are numbers, else of words, numbers among them first."""
    words = [sweep_table.coordinate(point, name) for point in points]
    numbers = [_number(word) for word in words]
    if all(math.isfinite(number) for number in numbers):
        to_place = _scale(numbers)
        labels = {word: to_place(number) for word, number in zip(words, numbers)}
        if len(labels) > LABELS:
            labels = {text.number(value): to_place(value) for value in (min(numbers), max(numbers))}
        return _Axis(name, [to_place(number) for number in numbers], [(place, word) for word, place in labels.items()])
    known = sorted(dict.fromkeys(words), key=lambda word: (not math.isfinite(_number(word)), _number(word), word))
    place = {word: index / max(1, len(known) - 1) for index, word in enumerate(known)}
    shown = known if len(known) <= LABELS else [known[0], known[-1]]
    return _Axis(name, [place[word] for word in words], [(place[word], word) for word in shown])


def _figure(name: str, points: Sequence[dict[str, Any]]) -> _Axis:
    means = [point["figures"][name]["mean"] for point in points]
    low, high = min(means), max(means)
    to_place = _scale(means)
    values = [low] if low == high else [float(value) for value in np.linspace(low, high, 5)]
    return _Axis(name, [to_place(mean) for mean in means], [(to_place(value), f"{value:.4g}") for value in values])


def _scale(numbers: Sequence[float]) -> Callable[[float], float]:
    """Return a function from a number to its place between the least and the largest, 0 to 1, maybe logarithmic."""
    low, high = min(numbers), max(numbers)
    if low == high:
        return lambda number: 0.5
    if low > 0 and high / low >= WIDE:
        return lambda number: math.log(number / low) / math.log(high / low)
    return lambda number: (number - low) / (high - low)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _painter(
    axes: Sequence[_Axis], points: Sequence[dict[str, Any]], objective: str, content: dict[str, Any]
) -> style.Painter:
    def paint(_: dict[str, Any], drawing: Figure, tips: list[str]) -> None:
        drawing.set_size_inches(max(6.4, 1.5 * len(axes)), 4)
        graph = drawing.subplots()
        means = [point["figures"][objective]["mean"] for point in points]
        norm = Normalize(min(means), max(means))
        colours = colormaps["viridis_r" if content["smallest"][objective] else "viridis"]
        for index, point in enumerate(points):
            best = index == len(points) - 1
            where = ", ".join(f"{axis}={sweep_table.coordinate(point, axis)}" for axis in sweep_table.axes(content))
            graph.plot(
                range(len(axes)),
                [axis.places[index] for axis in axes],
                color=ORANGE if best else colours(norm(means[index])),
                lw=2.4 if best else 1.2,
                alpha=1 if best else 0.8,
                gid=style.tip(
                    tips, f"{where}: {objective} {text.number(means[index])}, {text.plural(point['done'], 'repeat')}"
                ),
            )
        for place, axis in enumerate(axes):
            graph.axvline(place, color=MUTED, lw=1)
            for height, label in axis.labels:
                label = label if len(label) <= 16 else label[:15] + "…"
                graph.annotate(
                    label,
                    (place, height),
                    (4, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                    color=INK,
                    bbox=_UNDER_LABELS,
                )
        graph.set_xlim(-0.1, len(axes) - 0.5)
        graph.set_ylim(-0.05, 1.05)
        graph.set_xticks(range(len(axes)), [axis.title for axis in axes])
        graph.set_yticks([])
        graph.grid(False)
        graph.spines[["left", "bottom"]].set_visible(False)

    return paint
