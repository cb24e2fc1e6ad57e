"""The picture of the README, docs/prediction.svg: python -m tests.benchmarks.picture

A published series (of strong scaling, of which nothing is learnt) is predicted from its points on a quarter of the nodes, and what
was measured on the other nodes is drawn beside the prediction.
"""

import dataclasses
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from profiling.prediction.prediction import predict
from profiling.reporting.figures import STYLE
from profiling.reporting.style import BLUE, ORANGE, PAPER
from tests.benchmarks import prediction

NAME, KNOWN = "RAMSES Sedov 1024 MeluXina", 16
OUT = Path(__file__).resolve().parents[2] / "docs" / "prediction.svg"


def main() -> None:
    """Draw it, and print its numbers."""
    (series,) = (series for _, series in prediction.load() if series.name == NAME)
    known = dataclasses.replace(series, points=tuple(point for point in series.points if point.workers <= KNOWN))
    held_out = [point for point in series.points if point.workers > KNOWN]
    base = known.points[0].throughput / known.points[0].workers
    found = predict(known, [KNOWN, *range(KNOWN + 4, series.workers[-1] + 1, 4)]).forecasts
    efficiency = {
        one.workers: [value / one.workers / base for value in (one.low, one.throughput, one.high)] for one in found
    }
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        axes = figure.subplots()
        low, median, high = zip(*efficiency.values(), strict=True)
        axes.fill_between(list(efficiency), low, high, color=BLUE, alpha=0.16, lw=0, label="90 % interval")
        axes.plot(list(efficiency), median, color=BLUE, lw=1.2)
        at = [point.workers for point in held_out]
        axes.plot(at, [efficiency[n][1] for n in at], "o", mfc=PAPER, color=BLUE, label="predicted")
        for points, form, colour, label in (
            (known.points, "o", BLUE, "measured"),
            (held_out, "x", ORANGE, "measured, not used"),
        ):
            y = [point.throughput / point.workers / base for point in points]
            axes.plot([point.workers for point in points], y, form, color=colour, label=label)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator([point.workers for point in series.points]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(0, 1.15)
        axes.set_xlabel("nodes")
        axes.set_ylabel("efficiency")
        axes.legend(loc="lower left")
        figure.savefig(OUT, metadata={"Date": None})
    for point in held_out:
        low, median, high = efficiency[point.workers]
        print(
            f"{point.workers} nodes: {median:.1%} [{low:.1%}, {high:.1%}] predicted, {point.throughput / point.workers / base:.1%} measured"
        )


if __name__ == "__main__":
    main()
