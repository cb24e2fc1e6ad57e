"""The history of a study: the throughput of each point in further studies, relative to the first one."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from launch.errors import Refusal
from profiling.reporting import figures, style
from profiling.reporting.history_table import place
from profiling.reporting.style import COLOURS, MUTED

_SPREAD = 0.4  # part of the distance between studies over which the marks of a study are spread


def write(folder: Path, document: dict[str, Any]) -> str:
    """Write the figure of a history (`profiling.cli.compare`) as SVG, PDF and PNG; return where it is.

    Raises
    ------
    Refusal
        If the folder cannot be written.
    """
    caption = "Throughput over that of the first study, with intervals that hold together."
    (drawn,) = figures.painted(document, {"history": ("History", caption, _paint)}).values()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn.save(folder, "history")
    except OSError as error:
        raise Refusal(f"cannot write the figure {folder} ({error.strerror}): give a folder with --out") from None
    return str(folder / "history.svg")


def _paint(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes: Axes = figure.subplots()
    names = [document["first"], *(one["second"] for one in document["studies"])]
    places = list(dict.fromkeys(place(point) for one in document["studies"] for point in one["points"]))
    axes.axhline(1, ls="--", color=MUTED, lw=0.8)
    for number, name in enumerate(places):
        colour = COLOURS[number % len(COLOURS)]
        shift = _SPREAD * ((number + 0.5) / len(places) - 0.5)
        line: list[tuple[float, float]] = [(shift, 1.0)]
        for at, one in enumerate(document["studies"], 1):
            for point in (each for each in one["points"] if place(each) == name):
                line.append((at + shift, point["ratio"]))
                words = f"{name}, {one['second']}: {point['ratio']:.3f} of {names[0]}, {point['verdict']}"
                if interval := point["interval"]:
                    reach = [[point["ratio"] - interval["low"]], [interval["high"] - point["ratio"]]]
                    axes.errorbar(at + shift, point["ratio"], reach, color=colour, capsize=3)
                axes.plot(at + shift, point["ratio"], "o", color=colour, markersize=5, gid=style.tip(tips, words))
        axes.plot(*zip(*line), color=colour, lw=1.2, label=name)
    axes.set_xticks(range(len(names)), names, rotation=0 if len(names) < 5 else 30, ha="center")
    axes.grid(False, axis="x")
    axes.set_ylabel(f"throughput over that in {names[0]}")
    axes.legend(loc="best", fontsize=8)
