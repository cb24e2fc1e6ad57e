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
PARTS = ("#9aa5b1", "#6f9bc8", "#b3b8f0", "#e0b35a", "#d98880", "#2f9e77", "#a98bc9", "#5b6770", "#d16ba5", "#8a9a3b")
"""Of the phases of a run, in their order."""
_OF_STEP = (("input", "wait for the batch", 3), ("gradients", "own gradients", 5), ("rest", "waiting, communication, update", 1), ("undivided", "not told apart", 0))  # fmt: skip
_OF_TRACED = {"compute": 5, "communication": 1, "input": 3, "host": 2, "compile": 4, "idle": 0}
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
    points, traced = document["points"], [point for point in document["traced"] if point["shares"]]
    axes = figure.subplots(1, 3 if traced else 2, width_ratios=(3, 2, 2) if traced else (3, 2))
    names = dict.fromkeys(name for point in points for name in point["phases_s"] if name != "queue")
    phases = {name: (colour, [point["phases_s"].get(name, 0) for point in points]) for name, colour in zip(names, PARTS)}  # fmt: skip
    _stack(axes[0], points, phases, "a run [s]", 3, tips)
    step = {
        label: (PARTS[colour], [1000 * point["step_s"].get(name, 0) for point in points])
        for name, label, colour in _OF_STEP
        if any(name in point["step_s"] for point in points)
    }
    _stack(axes[1], points, step, "a step [ms]", 1, tips)
    if traced:
        figure.set_size_inches(9.6, 4)
        parts = {name: (PARTS[colour], [1000 * point["step_seconds"] * point["shares"][name] for point in traced]) for name, colour in _OF_TRACED.items()}  # fmt: skip
        _stack(axes[2], traced, parts, "a traced step [ms]", 2, tips)


def _stack(axes: Axes, points: list[dict], parts: dict[str, tuple], label: str, columns: int, tips: list[str]) -> None:
    """A bar for each point, of parts: name -> colour, and height at each point."""
    bottoms = [0.0] * len(points)
    for name, (colour, heights) in parts.items():
        bars = axes.bar(range(len(points)), heights, 0.62, bottoms, color=colour, label=name)
        for bar, point, height in zip(bars, points, heights):
            bar.set_gid(_tip(tips, f"{point['workers']} ranks, {name}: {text.number(height)}, {label}"))
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights)]
    axes.set_xticks(range(len(points)), [str(point["workers"]) for point in points])
    axes.set_xlabel("ranks")
    axes.set_ylabel(label)
    axes.grid(False, axis="x")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, fontsize=8, handlelength=1)


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
        "Means over the repeats. Left: the phases of a run, but for its wait in the queue. Beside them a step of a rank; after its own gradients come waiting for the others, communication and the update of the weights. Traced steps, where there are some, stand apart: a profiler slows them.",
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
