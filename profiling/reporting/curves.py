"""The figures of a plain table's report: a curve for each series; of a family, also against its parameter."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from profiling import text
from profiling.reporting.style import COLOURS, MUTED, PAPER, Painter, rate_axis, ticks, tip, workers_axis

NAMED = 12  # largest number of series that a legend names
_STYLES = ("-", "--", ":", "-.")


def figures(document: dict[str, Any]) -> dict[str, tuple[str, str, Painter]]:
    """Return title, caption and painter, by name, of each figure that there are data for."""
    found = document["tables"]
    one_unit = len({one["unit"] for one in found}) == 1
    several = "A curve for each series. " if len(found) > 1 else ""
    drawn: dict[str, tuple[str, str, Painter]] = {}
    if one_unit:
        drawn["throughput"] = (
            "Throughput",
            f"{several}Harmonic mean of the repeats, with 95 % intervals where there are repeats enough, and the "
            "ideal line through the base of each. Both axes are logarithmic.",
            _throughput,
        )
    drawn["speedup"] = ("Speed-up", f"{several}In work done per second, against the first point of each.", _speedup)
    drawn["efficiency"] = (
        "Parallel efficiency",
        f"{several}Relative to the first point of each, which is 100 % by definition.",
        _efficiency,
    )
    if one_unit and len({one["size"] for one in found} - {None}) > 1:
        caption = f"The same points by {document['parameter']}: a curve for each number of {found[0]['works']}."
        drawn["family"] = (f"Throughput by {document['parameter']}", caption, _family)
    if one_unit and any(one["prediction"] for one in found):
        drawn["prediction"] = (
            "Prediction, not measured",
            "From the measured points, with the 90 % interval of one run; open circles are sizes that were not run.",
            _prediction,
        )
    return drawn


def _curves(document: dict[str, Any]) -> list[tuple[dict[str, Any], str, str]]:
    """Return each series with its colour and line style."""
    found = document["tables"]
    return [
        (one, COLOURS[place % len(COLOURS)], _STYLES[place // len(COLOURS) % len(_STYLES)])
        for place, one in enumerate(found)
    ]


def _workers(axes: Axes, document: dict[str, Any], more: set[int] | None = None) -> None:
    found = document["tables"]
    workers_axis(
        axes, sorted({row["workers"] for one in found for row in one["rows"]}.union(more or ())), found[0]["works"]
    )


def _legend(axes: Axes, document: dict[str, Any], always: bool = False) -> None:
    if always or 1 < len(document["tables"]) <= NAMED:
        axes.legend(loc="best", fontsize=8)


def _draw(axes: Axes, document: dict[str, Any], key: str, tips: list[str], form: text.Form) -> None:
    for one, colour, style in _curves(document):
        rows = one["rows"]
        axes.plot(
            [row["workers"] for row in rows],
            [row[key] for row in rows],
            style,
            color=colour,
            lw=1.2,
            label=one["series"],
        )
        for row in rows:
            interval = row.get(f"{key}_interval")
            words = f"{one['series']}, {row['workers']} {one['works']}: {form(row[key])}"
            if interval:
                reach = [[row[key] - interval["low"]], [interval["high"] - row[key]]]
                axes.errorbar(row["workers"], row[key], reach, color=colour, capsize=4, zorder=3)
                words += f" {text.span(interval['low'], interval['high'], form)}"
            axes.plot(row["workers"], row[key], "o", color=colour, markersize=5, zorder=4, gid=tip(tips, words))


def _throughput(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes = figure.subplots()
    for one in document["tables"]:
        base, counts = one["base"], [row["workers"] for row in one["rows"]]
        axes.plot(counts, [base["throughput"] * n / base["workers"] for n in counts], "--", color=MUTED, lw=0.8)
    _draw(axes, document, "throughput", tips, text.number)
    rate_axis(axes, document["tables"][0]["unit"])
    axes.plot([], [], "--", color=MUTED, label="ideal")
    _legend(axes, document, len(document["tables"]) == 1)
    _workers(axes, document)


def _speedup(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes = figure.subplots()
    for counts in {tuple(row["workers"] for row in one["rows"]) for one in document["tables"]}:
        axes.plot(counts, [n / counts[0] for n in counts], "--", color=MUTED, lw=0.8)
    _draw(axes, document, "speedup", tips, text.number)
    rate_axis(axes, "", "speed-up")
    _legend(axes, document)
    _workers(axes, document)


def _efficiency(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes = figure.subplots()
    axes.axhline(1, ls="--", color=MUTED, lw=0.8)
    _draw(axes, document, "efficiency", tips, text.percent)
    axes.set_ylim(0, max(1.08, 1.05 * max(row["efficiency"] for one in document["tables"] for row in one["rows"])))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("parallel efficiency")
    _legend(axes, document)
    _workers(axes, document)


def _family(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes, found = figure.subplots(), [one for one in document["tables"] if one["size"] is not None]
    counts = sorted({row["workers"] for one in found for row in one["rows"]})
    shown = counts if len(counts) <= len(COLOURS) else counts[:: -(-len(counts) // len(COLOURS))]
    for count, colour in zip(shown, COLOURS):
        points = sorted(
            (one["size"], row["throughput"]) for one in found for row in one["rows"] if row["workers"] == count
        )
        axes.plot(*zip(*points), "o-", color=colour, lw=1.2, markersize=5, label=f"{count} {found[0]['works']}")
    axes.set_xscale("log")
    rate_axis(axes, found[0]["unit"])
    sizes = sorted({one["size"] for one in found})
    ticks(axes, sizes)
    axes.set_xlabel(document["parameter"])
    axes.legend(loc="best", fontsize=8)


def _prediction(document: dict[str, Any], figure: Figure, tips: list[str]) -> None:
    axes, asked = figure.subplots(), set()
    for one, colour, style in _curves(document):
        for row in one["rows"]:
            value = f"measured {text.number(row['throughput'])} {one['unit']}"
            words = f"{one['series']}, {row['workers']} {one['works']}: {value}"
            axes.plot(row["workers"], row["throughput"], "o", color=colour, markersize=4, gid=tip(tips, words))
        if not (ahead := one["prediction"]):
            continue
        workers, low, high, median = (
            [forecast[key] for forecast in ahead["predictions"]] for key in ("workers", "low", "high", "throughput")
        )
        axes.fill_between(workers, low, high, color=colour, alpha=0.14, lw=0)
        asked |= set(ahead["asked"])
        if not ahead["holds"]:
            continue
        axes.plot(workers, median, style, color=colour, lw=1.2, label=one["series"])
        for forecast in (each for each in ahead["predictions"] if each["workers"] in ahead["asked"]):
            value, span = text.number(forecast["throughput"]), text.span(forecast["low"], forecast["high"])
            words = (
                f"{one['series']}, PREDICTION for {forecast['workers']} {one['works']}: {value} {span} {one['unit']}"
            )
            axes.plot(forecast["workers"], forecast["throughput"], "o", mfc=PAPER, color=colour, gid=tip(tips, words))
    rate_axis(axes, document["tables"][0]["unit"])
    _legend(axes, document)
    _workers(axes, document, asked)
