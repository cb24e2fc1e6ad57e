"""The table of a sweep: a row per point, as a value for JSON and as the cells of a table."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from profiling import text
from profiling.study import confidence, sweep
from profiling.study.sweep import Outcome, Sweep

NAMED = 8  # at most this many runs with the same reason are named


def document(study: Sweep, by: str | None = None, smallest: bool | None = None) -> dict[str, Any]:
    """Return the content of the table; docs/studies.md describes the keys.

    Parameters
    ----------
    study : Sweep
        Points of the study.
    by : str, optional
        Figure whose mean sorts the points, and the only one shown; without it all figures are shown.
    smallest : bool, optional
        Whether small values are good; by default the workload's target or the name of the figure decides.

    Raises
    ------
    Refusal
        If no run has that figure.
    """
    figure = None if by is None else study.figure(by)
    shown = study.figures if figure is None else [figure]
    small = {name: study.smallest_is_best(name) if smallest is None else smallest for name in shown}
    points, scatter = [], None if figure is None else study.scatter(figure)
    logarithms = figure is not None and study.logarithms(figure)
    for place, point in enumerate(study.points):
        spread = scatter and scatter.of(place)
        known = {name: point.summary(name, small[name], figure is not None, spread, logarithms) for name in shown}
        points.append(
            {
                "nodes": point.nodes,
                "values": point.values,
                "done": point.done,
                "asked": len(point.runs),
                "figures": {name: asdict(summary) for name, summary in known.items() if summary},
            }
        )
    if figure is not None:
        sign = 1 if small[figure] else -1
        points.sort(key=lambda point: (not point["figures"], sign * _of(point, figure, "mean", 0.0)))
    return {
        "format": 1,
        "study": study.folder.name,
        "workload": study.workload,
        "by": figure,
        "smallest": small,
        "units": {name: unit for name, unit in study.units.items() if name in shown},
        "confidence": sweep.LEVEL,
        "pooled": bool(scatter and scatter.pooled),
        "alike": scatter and scatter.alike,
        "logarithms": logarithms,
        "points": points,
        "runs": [
            {
                "run": run.name,
                "nodes": run.nodes,
                "values": run.values,
                "repeat": run.repeat,
                "done": not run.why,
                "figures": run.figures,
            }
            for run in study.runs
        ],
        "ended_early": study.ended_early,
        "left_out": [{"run": run.name, "why": why} for run in study.runs if (why := _why(run, figure))],
    }


def _why(run: Outcome, figure: str | None) -> str:
    """Return why a run or one of its figures is not in the table; empty if all of it is."""
    if run.why:
        return run.why
    if figure is None:
        return "; ".join(f"its {name} is {value}" for name, value in run.unusable.items())
    if figure in run.unusable:
        return f"its {figure} is {run.unusable[figure]}"
    return "" if figure in run.figures else f"it has no {figure}"


def axes(content: dict[str, Any]) -> list[str]:
    """Return the columns that distinguish the points: nodes only if they differ, or if nothing else does."""
    points = content["points"]
    names = list(dict.fromkeys(name for point in points for name in point["values"]))
    return ([] if names and len({point["nodes"] for point in points}) == 1 else ["nodes"]) + names


def coordinate(row: dict[str, Any], axis: str) -> str:
    """Return the value of a point or run on an axis, as it was written."""
    value = str(row["nodes"]) if axis == "nodes" else row["values"].get(axis, "")
    return value if value.isprintable() else repr(value)


def cells(content: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the headings of the table and its cells, as text."""
    by, points = content["by"], content["points"]
    columns: list[tuple[str, text.Form]] = [
        (axis, lambda point, axis=axis: coordinate(point, axis)) for axis in axes(content)
    ]
    columns.append(("repeats", lambda point: f"{_having(point, by)} of {point['asked']}"))
    if by is None:
        columns += [
            (_title(content, name), lambda point, name=name: _mean_and_spread(point, name)) for name in _names(content)
        ]
        return text.cells(columns, points)
    parts = ((_title(content, by), "mean"), ("sd", "sd"), ("best", "best"), ("worst", "worst"))
    columns += [(title, lambda point, key=key: _cell(point, by, key)) for title, key in parts]
    columns.insert(-2, (f"{100 * content['confidence']:.0f} % CI", lambda point: _interval(point, by)))
    return text.cells(columns, points)


def flat(content: dict[str, Any]) -> list[list[Any]]:
    """Return the header and the rows of the table, its numbers in full, for CSV."""
    by, names = content["by"], axes(content)
    keys = ("mean", "sd", "best", "worst", "best_run") if by else ("mean", "sd")
    first = [*names, "repeats", "asked"]
    titles = [(column(figure, first), key) for figure in _names(content) for key in keys]
    header = [title if key == "mean" else f"{title}_{key}" for title, key in titles]
    bounds = [f"{column(by, first)}_{end}" for end in ("low", "high")] if by else []
    rows: list[list[Any]] = [[*first, *header, *bounds]]
    for point in content["points"]:
        places = [point["nodes"] if axis == "nodes" else point["values"].get(axis, "") for axis in names]
        values = [_of(point, figure, key, None) for figure in _names(content) for key in keys]
        interval = (_of(point, by, "interval", None) or {"low": None, "high": None}) if by else {}
        rows.append([*places, _having(point, by), point["asked"], *values, *interval.values()])
    return rows


def of_runs(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row per run: its values on the axes, its state, its figures."""
    whys = {left["run"]: left["why"] for left in content["left_out"]}
    rows = []
    for run in content["runs"]:
        row = {"run": run["run"], "nodes": run["nodes"], **run["values"], "repeat": run["repeat"]}
        row["state"] = "done" if run["done"] else whys[run["run"]]
        rows.append(row | {column(name, row): value for name, value in run["figures"].items()})
    return rows


def column(figure: str, taken: Iterable[str]) -> str:
    """Return the name of a figure's column, distinct from those of other columns."""
    return f"metric_{figure}" if figure in taken else figure


def summary(content: dict[str, Any]) -> str:
    """Return the result in one sentence; ``objective`` in the content is the figure that decides the best point."""
    points, objective = content["points"], content["objective"]
    runs = f"{sum(point['done'] for point in points)} of {sum(point['asked'] for point in points)} runs are done"
    reached = [point for point in points if objective in point["figures"]]
    if not reached:
        return f"{text.plural(len(points), 'point')}: {runs}."
    small = content["smallest"][objective]
    best = (min if small else max)(reached, key=lambda point: point["figures"][objective]["mean"])
    where = ", ".join(f"{axis} = {coordinate(best, axis)}" for axis in axes(content))
    return (
        f"{text.plural(len(points), 'point')}: {runs}. The {'smallest' if small else 'largest'} mean {objective} is "
        f"{_shown(best['figures'][objective]['mean'])}, at {where}."
    )


def notes(content: dict[str, Any]) -> list[str]:
    """Return notes for the reader: how the table is sorted, what it contains, and which runs it leaves out."""
    by, points = content["by"], content["points"]
    lines = []
    if by is not None:
        order = "smallest" if content["smallest"][by] else "largest"
        lines.append(
            f"sorted by the mean of {by} over the repeats, {order} first; sd: standard deviation of the sample"
        )
        reached = [summary for point in points if (summary := point["figures"].get(by))]
        if reached:
            best = (min if content["smallest"][by] else max)(reached, key=lambda summary: summary["best"])
            lines.append(f"best run: {best['best_run']} ({_shown(best['best'])})")
        if any(summary["repeats"] < 2 for summary in reached):
            lines.append("no interval of one run, which does not show how much runs differ")
        if any(2 <= summary["repeats"] < confidence.FEWEST for summary in reached):
            test = "" if content["alike"] is None else f" (Bartlett's test: p = {text.number(content['alike'], 2)})"
            alike = f"pooled over the points, as they vary alike{test}" if content["pooled"] else f"of each point{test}"
            of = " of the logarithms" if content["logarithms"] else ""
            lines.append(f"intervals of few repeats: Student's t{of} from the run-to-run variance {alike}")
    elif any(summary["sd"] is not None for point in points for summary in point["figures"].values()):
        lines.append("mean ± standard deviation of the sample, over the repeats")
    if any("seed" in run["values"] for run in content["runs"]):
        lines.append("runs that differ by their seed alone are repeats of one point")
    if early := content["ended_early"]:
        trained, asked = early["epochs_trained"], early["epochs_asked"]
        after = ", ".join(f"{runs} after {text.number(epochs)}" for epochs, runs in early["after_epochs"].items())
        lines.append(
            f"--until: {text.plural(early['runs'], 'run')} ended early, with the figures of then ({after} epochs); "
            f"{text.number(trained)} of {text.number(asked)} epochs were trained, {1 - trained / asked:.0%} are saved"
        )
    reasons: dict[str, list[str]] = {}
    for left in content["left_out"]:
        reasons.setdefault(left["why"], []).append(left["run"])
    return lines + [f"left out: {_some(names)}: {why}" for why, names in reasons.items()]


def _names(content: dict[str, Any]) -> list[str]:
    return list(content["smallest"])


def _title(content: dict[str, Any], figure: str) -> str:
    unit = content["units"].get(figure)
    return f"{figure} [{unit}]" if unit else figure


def _having(point: dict[str, Any], figure: str | None) -> int:
    """Return how many runs of a point are done and, if a figure is given, have it."""
    return point["done"] if figure is None else _of(point, figure, "repeats", 0)


def _of(point: dict[str, Any], figure: str, key: str, absent: Any) -> Any:
    summary = point["figures"].get(figure)
    return absent if summary is None else summary[key]


def _shown(value: float | None) -> str:
    return "" if value is None else text.number(value)


def _cell(point: dict[str, Any], figure: str, key: str) -> str:
    """Format a value; the mean in digits that follow its interval."""
    value, bounds = _of(point, figure, key, None), _of(point, figure, "interval", None)
    return text.within(**bounds)(value) if bounds and key == "mean" else _shown(value)


def _interval(point: dict[str, Any], figure: str) -> str:
    bounds = _of(point, figure, "interval", None)
    return text.span(bounds["low"], bounds["high"], text.within(**bounds)) if bounds else ""


def _mean_and_spread(point: dict[str, Any], figure: str) -> str:
    summary = point["figures"].get(figure)
    if summary is None:
        return ""
    mean, sd = summary["mean"], summary["sd"]
    form = text.within(mean - sd, mean + sd) if sd else text.number
    spread = f" ± {form(sd)}" if sd is not None else ""
    some = f" ({text.plural(summary['repeats'], 'run')})" if summary["repeats"] < point["done"] else ""
    return form(mean) + spread + some


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
