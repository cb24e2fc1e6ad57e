"""What each figure of a report shows, drawn from the report's document."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from profiling import text
from profiling.reporting.style import BLUE, MUTED, ORANGE, PAPER, PARTS, Painter, rate_axis, tip, workers_axis

_OF_STEP = {
    "wait for the batch": ("input", 3),
    "own gradients": ("gradients", 5),
    "waiting, communication, update": ("rest", 1),
    "not told apart": ("undivided", 0),
}
_OF_TRACED = {"compute": 5, "communication": 1, "input": 3, "host": 2, "compile": 4, "idle": 0}
LINES = 8  # largest number of ranks that are drawn as lines; more ranks are a heat map
TIPS = 40  # largest number of repeats that each get a mark with its value; more would overlap


def _sizes(axes: Axes, points: Sequence[dict[str, Any]]) -> None:
    """Set up an axis with one position per number of ranks."""
    axes.set_xticks(range(len(points)), [str(point["workers"]) for point in points])
    axes.set_xlabel("ranks")
    axes.grid(False, axis="x")


def _measured(axes: Axes, rows: Iterable[dict], key: str, tips: list[str], form: text.Form) -> None:
    """Draw each point with its interval."""
    for row in rows:
        value, interval = row[key], row[f"{key}_interval"]
        words = f"{text.plural(row['workers'], 'rank')}: {form(value)}"
        if interval:
            words += f" {text.span(interval['low'], interval['high'], form)}"
            reach = [[value - interval["low"]], [interval["high"] - value]]
            axes.errorbar(row["workers"], value, reach, color=BLUE, capsize=4, zorder=3)
        axes.plot(row["workers"], value, "o", color=BLUE, zorder=4, gid=tip(tips, f"{words}, {row['repeats']} repeats"))


def _throughput(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes, rows, base = figure.subplots(), document["rows"], document["base"]
    workers = [row["workers"] for row in rows]
    axes.plot(workers, [base["throughput"] * n / base["workers"] for n in workers], "--", color=MUTED, label="ideal")
    for point in document["points"]:
        rates = point["throughputs"]
        axes.plot([point["workers"]] * len(rates), rates, "_", color=BLUE, alpha=0.45, markersize=9)
    _measured(axes, rows, "throughput", tips, text.number)
    rate_axis(axes, document["unit"])
    axes.plot([], [], "o", color=BLUE, label="measured")
    axes.plot([], [], "_", color=BLUE, alpha=0.45, label="each repeat")
    axes.legend(loc="best")
    workers_axis(axes, workers)


def _efficiency(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes, rows = figure.subplots(), document["rows"]
    axes.axhline(1, ls="--", color=MUTED)
    _measured(axes, rows, "efficiency", tips, text.percent)
    highest = max((row["efficiency_interval"] or {"high": row["efficiency"]})["high"] for row in rows)
    axes.set_ylim(0, max(1.08, 1.05 * highest))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("parallel efficiency")
    workers_axis(axes, [row["workers"] for row in rows])


def _steps(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes, line = figure.subplots(), {"color": BLUE}
    for place, point in enumerate(document["points"]):
        quantile = {float(level): 1000 * value for level, value in point["step_quantiles_s"].items()}
        names = {"whislo": 0.01, "q1": 0.25, "med": 0.5, "q3": 0.75, "whishi": 0.99}
        axes.bxp(
            [{name: quantile[level] for name, level in names.items()}],
            positions=[place],
            widths=0.5,
            showfliers=False,
            medianprops=line | {"linewidth": 2},
            **dict.fromkeys(("boxprops", "whiskerprops", "capprops"), line),
        )
        far = [1000 * value for value in point["farthest_s"]]
        axes.plot([place] * len(far), far, ".", color=MUTED, markersize=3)
        medians, mark = [1000 * value for value in point["run_medians_s"]], {"color": ORANGE, "markersize": 4}
        if len(medians) > TIPS:
            axes.plot([place + 0.36] * len(medians), medians, "D", **mark)
        else:
            for value in medians:
                words = f"{text.plural(point['workers'], 'rank')}: median of a repeat {text.number(value)} ms"
                axes.plot(place + 0.36, value, "D", **mark, gid=tip(tips, words))
    axes.set_ylabel("time per step [ms]")
    axes.set_ylim(bottom=0)
    _sizes(axes, document["points"])


def _breakdown(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    points, traced = document["points"], [point for point in document["traced"] if point["shares"]]
    axes = figure.subplots(1, 3 if traced else 2, width_ratios=(3, 2, 2) if traced else (3, 2))
    names = dict.fromkeys(name for point in points for name in point["phases_s"] if name != "queue")
    phases = {
        name: (colour, [point["phases_s"].get(name, 0) for point in points]) for name, colour in zip(names, PARTS)
    }
    _stack(axes[0], points, phases, "per run [s]", 3, tips)
    step = {
        label: (PARTS[colour], [1000 * point["step_s"].get(name, 0) for point in points])
        for label, (name, colour) in _OF_STEP.items()
        if any(name in point["step_s"] for point in points)
    }
    _stack(axes[1], points, step, "per step [ms]", 1, tips)
    if traced:
        figure.set_size_inches(9.6, 4)
        parts = {
            name: (PARTS[colour], [1000 * point["step_seconds"] * point["shares"][name] for point in traced])
            for name, colour in _OF_TRACED.items()
        }
        _stack(axes[2], traced, parts, "per traced step [ms]", 2, tips)


def _stack(
    axes: Axes, points: Sequence[dict], parts: dict[str, tuple], label: str, columns: int, tips: list[str]
) -> None:
    """Draw a stacked bar per point; ``parts`` is name -> colour, and height at each point."""
    bottoms = [0.0] * len(points)
    for name, (colour, heights) in parts.items():
        bars = axes.bar(range(len(points)), heights, 0.62, bottoms, color=colour, label=name)
        for bar, point, height in zip(bars, points, heights):
            bar.set_gid(tip(tips, f"{text.plural(point['workers'], 'rank')}, {name}: {text.number(height)}, {label}"))
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights)]
    axes.set_ylabel(label)
    _sizes(axes, points)
    if parts:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, fontsize=8, handlelength=1)


def _gpus(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    seen = document["gpus"]
    axes = figure.subplots(2, 1, sharex=True)
    for graph, key, label, most in zip(axes, ("utilisation", "power_w"), ("utilisation", "power [W]"), (1, None)):
        values = np.array(seen[key], float)
        if len(values) > LINES:
            extent = (0, seen["seconds"][-1] + seen["seconds"][0], seen["workers"] - 0.5, -0.5)
            shown = graph.imshow(values, aspect="auto", interpolation="none", extent=extent, vmin=0, vmax=most)
            figure.colorbar(shown, ax=graph, label=label)
            graph.set_ylabel("rank")
            graph.grid(False)
        else:
            for rank, line in zip(seen["ranks"], values):
                colour = PARTS[rank % len(PARTS)]
                graph.plot(seen["seconds"], line, color=colour, gid=tip(tips, f"rank {rank}"), label=f"rank {rank}")
            graph.set_ylabel(label)
            graph.set_ylim(bottom=0)
    if len(seen["ranks"]) <= LINES:
        axes[0].legend(fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    axes[1].set_xlabel("time since the first timed step [s]")


def _prediction(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes, ahead, unit = figure.subplots(), document["prediction"], document["unit"]
    workers, low, high, median = (
        [forecast[key] for forecast in ahead["predictions"]] for key in ("workers", "low", "high", "throughput")
    )
    axes.fill_between(workers, low, high, color=BLUE, alpha=0.16, lw=0, label="interval of one run")
    if ahead["holds"]:
        axes.plot(workers, median, color=BLUE, lw=1.2, label="prediction")
    for asked in (each for each in ahead["predictions"] if ahead["holds"] and each["workers"] in ahead["asked"]):
        interval = text.span(asked["low"], asked["high"])
        ranks = text.plural(asked["workers"], "rank")
        words = f"PREDICTION for {ranks}: {text.number(asked['throughput'])} {interval} {unit}"
        axes.plot(asked["workers"], asked["throughput"], "o", mfc=PAPER, color=BLUE, gid=tip(tips, words))
    for row in document["rows"]:
        words = f"{text.plural(row['workers'], 'rank')}: measured {text.number(row['throughput'])} {unit}"
        axes.plot(row["workers"], row["throughput"], "o", color=BLUE, gid=tip(tips, words))
    for earlier in document["earlier_predictions"]:
        place, value = 1.06 * earlier["workers"], earlier["predicted"]
        interval = text.span(earlier["low"], earlier["high"])
        ranks = text.plural(earlier["workers"], "rank")
        words = f"{ranks}: predicted {text.number(value)} {interval} on {earlier['made'][:10]}"
        reach = [[value - earlier["low"]], [earlier["high"] - value]]
        axes.errorbar(place, value, reach, color=ORANGE, capsize=4)
        axes.plot(place, value, "D", color=ORANGE, markersize=5, gid=tip(tips, words))
    axes.plot([], [], "o", color=BLUE, label="measured")
    if document["earlier_predictions"]:
        axes.plot([], [], "D-", color=ORANGE, label="predicted before")
    rate_axis(axes, unit)
    axes.legend(loc="best")
    workers_axis(axes, sorted({row["workers"] for row in document["rows"]}.union(ahead["asked"])))


OF_STEPS = ("steps", "breakdown")
"""Figures that need steps."""

FIGURES: dict[str, tuple[str, str, Painter]] = {
    "throughput": (
        "Throughput",
        "Harmonic mean of the repeats with its {level} confidence interval, each repeat, and the ideal line through "
        "the base. Both axes are logarithmic.",
        _throughput,
    ),
    "efficiency": (
        "Parallel efficiency",
        "Relative to the base, with {level} confidence intervals where there are repeats enough. The base is 100 % by "
        "definition.",
        _efficiency,
    ),
    "steps": (
        "Time per step",
        "All timed steps of all repeats: quartiles and median; whiskers from the 1st to the 99th percentile; dots: the "
        "steps farthest beyond Tukey's fences, which are in all numbers. Diamonds: the median of each repeat.",
        _steps,
    ),
    "breakdown": (
        "Where the time goes",
        "Means over the repeats. Left: the phases of a run, without its wait in the queue. Beside them a step of a "
        "rank; after its own gradients come waiting for the others, communication and the update of the weights. "
        "Traced steps, where there are some, stand apart: a profiler slows them.",
        _breakdown,
    ),
    "gpus": (
        "GPUs over time",
        "Utilisation and power by rank, of the run of median throughput at the largest number of ranks, over its timed "
        "steps.",
        _gpus,
    ),
    "prediction": (
        "Prediction, not measured",
        "From the measured points, with the {forecast} interval of one run; open circles are sizes that were not run.",
        _prediction,
    ),
}
