"""What each figure of a report shows, drawn from the report's document."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator, PercentFormatter

from profiling import text

INK, MUTED, GRID, PAPER = "#1c2128", "#66707c", "#d8dee4", "#ffffff"
BLUE, ORANGE = "#2166ac", "#c4560a"
PARTS = ("#9aa5b1", "#6f9bc8", "#b3b8f0", "#e0b35a", "#d98880", "#2f9e77", "#a98bc9", "#5b6770", "#d16ba5")
"""Of the phases of a run, in their order."""
LINES = 8  # ranks up to which each is a line; more are a map of heat

Painter = Callable[[dict[str, Any], Figure, list[str]], None]
"""Draws a document into a figure, and adds to the list what a mark says when it is pointed at."""


def _tip(tips: list[str], said: str) -> str:
    tips.append(said)
    return f"tip{len(tips) - 1}"


def _ranks(axes: Axes, workers: list[int]) -> None:
    """A logarithmic axis with the numbers of ranks that there are."""
    axes.set_xscale("log", base=2)
    shown = workers if len(workers) < 14 else workers[:: len(workers) // 10]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("ranks")


def _rate(axes: Axes, unit: str) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text.number(value)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel(f"throughput [{unit}]")


def _measured(axes: Axes, rows: list[dict], key: str, tips: list[str], form: Callable[[float], str]) -> None:
    """Each point with its interval."""
    for row in rows:
        value, interval = row[key], row[f"{key}_interval"]
        said = f"{row['workers']} ranks: {form(value)}"
        if interval:
            said += f" {text.span(interval['low'], interval['high'], form)}"
            axes.errorbar(row["workers"], value, [[value - interval["low"]], [interval["high"] - value]], color=BLUE, capsize=4, zorder=3)  # fmt: skip
        axes.plot(row["workers"], value, "o", color=BLUE, zorder=4, gid=_tip(tips, f"{said}, {row['repeats']} repeats"))


def _throughput(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes, rows, base = figure.subplots(), document["rows"], document["base"]
    workers = [row["workers"] for row in rows]
    ideal = [base["throughput"] * n / base["workers"] for n in workers]
    axes.plot(workers, ideal, "--", color=MUTED, label="ideal")
    for point in document["points"]:
        rates = point["throughputs"]
        axes.plot([point["workers"]] * len(rates), rates, "_", color=BLUE, alpha=0.45, markersize=9)
    _measured(axes, rows, "throughput", tips, text.number)
    _rate(axes, document["unit"])
    axes.plot([], [], "o", color=BLUE, label="measured")
    axes.plot([], [], "_", color=BLUE, alpha=0.45, label="each repeat")
    axes.legend(loc="best")
    _ranks(axes, workers)


def _efficiency(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes, rows = figure.subplots(), document["rows"]
    axes.axhline(1, ls="--", color=MUTED)
    _measured(axes, rows, "efficiency", tips, text.percent)
    highest = max((row["efficiency_interval"] or {"high": row["efficiency"]})["high"] for row in rows)
    axes.set_ylim(0, max(1.08, 1.05 * highest))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("parallel efficiency")
    _ranks(axes, [row["workers"] for row in rows])


def _steps(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes = figure.subplots()
    for place, point in enumerate(document["points"]):
        quantile = {float(level): 1000 * value for level, value in point["step_quantiles_s"].items()}
        box = {"med": quantile[0.5], "q1": quantile[0.25], "q3": quantile[0.75], "whislo": quantile[0.01], "whishi": quantile[0.99], "fliers": []}  # fmt: skip
        line = {"color": BLUE}
        axes.bxp([box], positions=[place], widths=0.5, showfliers=False, medianprops=line | {"linewidth": 2}, boxprops=line, whiskerprops=line, capprops=line)  # fmt: skip
        far = [1000 * value for value in point["farthest_s"]]
        axes.plot([place] * len(far), far, ".", color=MUTED, markersize=3)
        for value in point["run_medians_s"]:
            said = f"{point['workers']} ranks: median of a repeat {text.number(1000 * value)} ms"
            axes.plot(place + 0.36, 1000 * value, "D", color=ORANGE, markersize=4, gid=_tip(tips, said))
    axes.set_xticks(range(len(document["points"])), [str(point["workers"]) for point in document["points"]])
    axes.set_xlabel("ranks")
    axes.set_ylabel("time of a step [ms]")
    axes.set_ylim(bottom=0)
    axes.grid(False, axis="x")


def _breakdown(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    names = dict.fromkeys(name for point in document["points"] for name in point["phases_s"])
    colours = dict(zip(names, PARTS))
    _stack(left, document["points"], "phases_s", colours, 1, "s", tips)
    left.set_ylabel("a run [s]")
    _stack(
        right,
        document["points"],
        "step_s",
        {"input": PARTS[3], "gradients": PARTS[5], "rest": PARTS[1]},
        1000,
        "ms",
        tips,
    )
    right.set_ylabel("a step [ms]")
    for axes in (left, right):
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3 if axes is left else 1, fontsize=8, handlelength=1)


def _stack(axes: Axes, points: list[dict], key: str, colours: dict[str, str], scale: float, unit: str, tips: list[str]) -> None:  # fmt: skip
    bottoms = [0.0] * len(points)
    labels = (
        {"input": "wait for the batch", "gradients": "own gradients", "rest": "waiting, communication, update"}
        if key == "step_s"
        else {}
    )
    for name, colour in colours.items():
        heights = [scale * point[key].get(name, 0) for point in points]
        bars = axes.bar(range(len(points)), heights, 0.62, bottoms, color=colour, label=labels.get(name, name))
        for bar, point, height in zip(bars, points, heights):
            bar.set_gid(_tip(tips, f"{point['workers']} ranks, {labels.get(name, name)}: {text.number(height)} {unit}"))
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights)]
    axes.set_xticks(range(len(points)), [str(point["workers"]) for point in points])
    axes.set_xlabel("ranks")
    axes.grid(False, axis="x")


def _gpus(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    seen = document["gpus"]
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, key, label in ((above, "utilisation", "utilisation"), (below, "power_w", "power [W]")):
        values = np.array(seen[key], float)
        if len(values) > LINES:
            end = seen["seconds"][-1] + seen["seconds"][0]
            extent = (0, end, seen["workers"] - 0.5, -0.5)
            shown = axes.imshow(values, aspect="auto", interpolation="none", extent=extent, vmin=0, vmax=1 if key == "utilisation" else None)  # fmt: skip
            figure.colorbar(shown, ax=axes, label=label)
            axes.set_ylabel("rank")
            axes.grid(False)
        else:
            for rank, line in zip(seen["ranks"], values):
                colour = PARTS[rank % len(PARTS)]
                axes.plot(seen["seconds"], line, color=colour, gid=_tip(tips, f"rank {rank}"), label=f"rank {rank}")
            axes.set_ylabel(label)
            axes.set_ylim(bottom=0)
    if len(seen["ranks"]) <= LINES:
        above.legend(fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    below.set_xlabel("time since the first timed step [s]")


def _prediction(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes, curve, unit = figure.subplots(), document["prediction"]["curve"], document["unit"]
    workers = [forecast["workers"] for forecast in curve]
    axes.fill_between(workers, *([f[key] for f in curve] for key in ("low", "high")), color=BLUE, alpha=0.16, lw=0, label="interval of one run")  # fmt: skip
    axes.plot(workers, [forecast["throughput"] for forecast in curve], color=BLUE, lw=1.2, label="prediction")
    for asked in (forecast for forecast in curve if forecast["workers"] in document["prediction"]["asked"]):
        said = f"PREDICTION for {asked['workers']} ranks: {text.number(asked['throughput'])} {text.span(asked['low'], asked['high'])} {unit}"
        axes.plot(asked["workers"], asked["throughput"], "o", mfc=PAPER, color=BLUE, gid=_tip(tips, said))
    for row in document["rows"]:
        said = f"{row['workers']} ranks: measured {text.number(row['throughput'])} {unit}"
        axes.plot(row["workers"], row["throughput"], "o", color=BLUE, gid=_tip(tips, said))
    for past in document["foretold"]:
        said = f"{past['workers']} ranks: predicted {text.number(past['predicted'])} {text.span(past['low'], past['high'])} on {past['made'][:10]}"
        reach = [[past["predicted"] - past["low"]], [past["high"] - past["predicted"]]]
        axes.errorbar(1.06 * past["workers"], past["predicted"], reach, color=ORANGE, capsize=4)
        axes.plot(1.06 * past["workers"], past["predicted"], "D", color=ORANGE, markersize=5, gid=_tip(tips, said))
    axes.plot([], [], "o", color=BLUE, label="measured")
    if document["foretold"]:
        axes.plot([], [], "D-", color=ORANGE, label="predicted before")
    _rate(axes, unit)
    axes.legend(loc="best")
    _ranks(axes, sorted({row["workers"] for row in document["rows"]} | set(document["prediction"]["asked"])))


FIGURES: dict[str, tuple[str, str, Painter]] = {
    "throughput": (
        "Throughput",
        "Harmonic mean of the repeats with its {level} confidence interval, each repeat, and the ideal line through the base. Both axes are logarithmic.",
        _throughput,
    ),
    "efficiency": (
        "Parallel efficiency",
        "Against the base, with {level} confidence intervals where there are repeats enough. The base is 100 % by definition.",
        _efficiency,
    ),
    "steps": (
        "Time of a step",
        "All timed steps of all repeats: quartiles and median; whiskers from the 1st to the 99th percentile; dots: the steps farthest beyond Tukey's fences, which are in all numbers. Diamonds: the median of each repeat.",
        _steps,
    ),
    "breakdown": (
        "Where the time goes",
        "Means over the repeats. Left: the phases of a run. Right: a step of a rank; after its own gradients come waiting for the others, communication and the update of the weights.",
        _breakdown,
    ),
    "gpus": (
        "GPUs over time",
        "Utilisation and power by rank, of the run of median throughput at the largest number of ranks, while its timed steps were made.",
        _gpus,
    ),
    "prediction": (
        "Prediction, not measured",
        "From the measured points, with the {forecast} interval of one run; open circles are sizes that were not run.",
        _prediction,
    ),
}
