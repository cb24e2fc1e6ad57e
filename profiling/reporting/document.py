"""The content of a study's report, as one value for JSON. Every form of the report is made from it alone."""

import datetime
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from launch.record.redact import without_secrets
from profiling.prediction import fits, log, prediction
from profiling.reporting import about, columns, committees, scaling_rows, sweep_table
from profiling.reporting import of_table as tables
from profiling.study import gpu_history, quality, resource_usage, runs, scaling, traces_by_point
from profiling.study.cost import NO_TARIFF, Tariff
from profiling.study.run import Run
from profiling.study.runs import Study
from profiling.study.sweep import Sweep
from profiling.study.tables import Series

QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)
SHOWN = 60  # steps of a point that are drawn individually, the farthest ones, in addition to its quantiles
AHEAD = 4  # the prediction is drawn up to this multiple of the largest measured number of ranks


def table(series: Series) -> dict[str, Any]:
    """Return the part of a report that plain tables have too; docs/report.md describes the keys."""
    rows = scaling.table(series)
    problems = prediction.problems(series)
    return {
        "format": 1,
        "series": series.name,
        "kind": series.kind,
        "unit": series.unit,
        "works": series.works,
        "base": {"workers": rows[0].workers, "throughput": rows[0].throughput},
        "confidence": scaling.LEVEL,
        "rows": [asdict(row) for row in rows],
        "notes": [*series.notes, *scaling.notes(series, rows)],
        "holds": not problems,
        "problems": problems,
    } | ({"understood": series.understood} if series.understood else {})


def document(study: Study, series: Series, remark: str = "", tariff: Tariff = NO_TARIFF) -> dict[str, Any]:
    """Return the whole report of a study of one series; ``remark`` is a note to readers, ``tariff`` prices its runs."""
    rows = scaling_rows.rows(study, scaling.table(series), tariff)
    doubts = [line for row in rows for line in row.pop("doubts")]
    scaled = table(series)
    traced, unread = traces_by_point.points(study)
    content = scaled | {
        "study": study.folder.name,
        "made": _now(),
        "whole": study.whole,
        "crowded": runs.crowded(study),
        "work_unit": study.runs[0].work_unit if study.whole else None,
        "about": about.about(study) | ({"remark": remark} if remark else {}),
        "rows": rows,
        "absent": columns.absent(rows, resource_usage.unread(study.runs)),
        "notes": [*scaled["notes"], *tariff.notes(max(row["gpus"] for row in rows)), *unread, *doubts],
        "cost": asdict(tariff) if tariff else None,
        "target": quality.target(study.runs),
        "left_out": [{"run": name, "why": why} for name, why in study.left_out.items()],
        "points": [_point(ranks, runs) for ranks, runs in study.by_ranks.items()],
        "traced": traced,
        "gpus": gpu_history.history(study.by_ranks[max(study.by_ranks)]),
        "prediction": _ahead(series),
        "earlier_predictions": log.scored(log.of_series(study.folder, series), series),
        "committees": committees.tables(study, series.kind, rows),
    }
    return without_secrets(content)  # a report is meant to be shared


def of_table(name: str, all_series: Sequence[Series], remark: str = "") -> dict[str, Any]:
    """Return the whole report of the series of a plain table."""
    return without_secrets(tables.document(name, all_series, _now(), remark, _ahead))


def of_sweep(study: Sweep, by: str | None = None, remark: str = "") -> dict[str, Any]:
    """Return the whole report of the points of a study; ``by`` is as in `sweep_table.document`."""
    content = sweep_table.document(study, by)
    document = {
        "format": 1,
        "study": study.folder.name,
        "made": _now(),
        "about": about.of_sweep(study) | ({"remark": remark} if remark else {}),
        "sweep": content | {"objective": by and content["by"] or study.objective},
        "notes": sweep_table.notes(content),
        "left_out": content["left_out"],
        "problems": [],
    }
    return without_secrets(document)


def _now() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _point(ranks: int, runs: Sequence[Run]) -> dict[str, Any]:
    """Return what the figures show of a point: the lengths of its steps, and where the time of its runs went."""
    seconds = np.concatenate([run.steps.lengths for run in runs])
    first, middle, third = np.quantile(seconds, (0.25, 0.5, 0.75))
    reach = 1.5 * (third - first)
    beyond = seconds[(seconds < first - reach) | (seconds > third + reach)]
    farthest = beyond[np.argsort(-abs(beyond - middle))][:SHOWN]
    phases = [run.phases for run in runs]
    names = [name for name in phases[0] if all(name in each for each in phases)]
    return {
        "workers": ranks,
        "steps": len(seconds),
        "step_quantiles_s": {
            f"{level:g}": float(value) for level, value in zip(QUANTILES, np.quantile(seconds, QUANTILES))
        },
        "beyond_fences": len(beyond),
        "farthest_s": [float(value) for value in np.sort(farthest)],
        "run_medians_s": [float(np.median(run.steps.lengths)) for run in runs],
        "throughputs": [run.throughput for run in runs],
        "step_s": _parts_of_step(runs),
        "phases_s": {name: float(np.mean([each[name] for each in phases])) for name in names},
    }


def _parts_of_step(runs: Sequence[Run]) -> dict[str, float]:
    """Return the mean seconds of the parts of a step, as far as the records separate them."""
    mean: dict[str, float] = {}
    for name in ("input_seconds", "own_seconds", "seconds"):
        arrays = [seconds for run in runs if (seconds := getattr(run.steps, name)) is not None]
        if len(arrays) == len(runs):
            mean[name] = float(np.mean([seconds.mean() for seconds in arrays]))
    wait = mean.get("input_seconds", 0.0)
    known = {"input": wait} if "input_seconds" in mean else {}
    if known and "own_seconds" in mean:
        return known | {"gradients": mean["own_seconds"] - wait, "rest": mean["seconds"] - mean["own_seconds"]}
    return known | {"undivided": mean["seconds"] - wait}


def _ahead(series: Series) -> dict[str, Any]:
    """Predict from the measured points, up to `AHEAD` times the largest; tables show the sizes in ``asked``."""
    first, last = series.workers[0], series.workers[-1]
    asked = [2 * last, AHEAD * last]
    grid = {round(value) for value in np.geomspace(first, AHEAD * last, 25)}
    return fits.as_json(series, prediction.predict(series, [*grid.union(asked)])) | {"asked": asked}
