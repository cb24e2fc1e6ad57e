"""All that a study's report says, as one value for JSON: every form of the report is made from it alone."""

import datetime
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from profiling.prediction import fits, log, prediction
from profiling.reporting import about, columns, committees
from profiling.study import gpu_history, quality, scaling, traced
from profiling.study.runs import Run, Study
from profiling.study.tables import Series

QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)
SHOWN = 60  # steps of a point that are drawn each by itself, the farthest ones, beside its quantiles
AHEAD = 4  # times the largest measured number of ranks, to which the prediction is drawn


def table(series: Series) -> dict[str, Any]:
    """The part that a plain table has too; its keys are described in docs/report.md."""
    rows = scaling.table(series)
    problems = prediction.problems(series)
    return {
        "format": 1,
        "series": series.name,
        "kind": series.kind,
        "unit": series.unit,
        "base": {"workers": rows[0].workers, "throughput": rows[0].throughput},
        "confidence": scaling.LEVEL,
        "rows": [asdict(row) for row in rows],
        "notes": [*series.notes, *scaling.notes(series, rows)],
        "holds": not problems,
        "problems": problems,
    }


def document(study: Study, series: Series, remark: str = "") -> dict[str, Any]:
    """The whole report of a study of one series.

    Parameters
    ----------
    study : Study
        Its runs.
    series : Series
        What they measured.
    remark : str
        What the reader has to know besides.
    """
    rows = columns.rows(study, scaling.table(series))
    made = table(series)
    looked_into, unread = traced.points(study)
    return made | {
        "study": study.folder.name,
        "made": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
        "about": about.about(study) | ({"remark": remark} if remark else {}),
        "rows": rows,
        "absent": columns.absent(rows),
        "notes": [*made["notes"], *unread],
        "target": quality.target(study.runs),
        "left_out": [left._asdict() for left in study.left_out],
        "points": [_point(row["workers"], [run for run in study.runs if run.ranks == row["workers"]]) for row in rows],
        "traced": looked_into,
        "gpus": gpu_history.history(study, [run for run in study.runs if run.ranks == rows[-1]["workers"]]),
        "prediction": _ahead(series),
        "foretold": log.scored(study.folder, series),
        "committees": committees.tables(study, series.kind, rows),
    }


def _point(ranks: int, runs: Sequence[Run]) -> dict[str, Any]:
    """What the figures draw of a point: the lengths of its steps, and where the time of its runs went."""
    seconds = np.concatenate([run.steps.of_chief for run in runs])
    first, middle, third = np.quantile(seconds, (0.25, 0.5, 0.75))
    reach = 1.5 * (third - first)
    beyond = seconds[(seconds < first - reach) | (seconds > third + reach)]
    farthest = beyond[np.argsort(-abs(beyond - middle))][:SHOWN]
    names = dict.fromkeys(name for run in runs for name in run.result.get("phases_s", {}))
    phases = {name: [run.result.get("phases_s", {}).get(name) for run in runs] for name in names}
    return {
        "workers": ranks,
        "steps": len(seconds),
        "step_quantiles_s": {
            f"{level:g}": float(value) for level, value in zip(QUANTILES, np.quantile(seconds, QUANTILES))
        },
        "beyond_fences": len(beyond),
        "farthest_s": [float(value) for value in np.sort(farthest)],
        "run_medians_s": [float(np.median(run.steps.of_chief)) for run in runs],
        "throughputs": [run.throughput for run in runs],
        "step_s": _of_step(runs),
        "phases_s": {name: float(np.mean(each)) for name, each in phases.items() if None not in each},
    }


def _of_step(runs: Sequence[Run]) -> dict[str, float]:
    """Mean seconds of the parts of a step, as far as the records tell them apart."""
    mean = {}
    for name in ("input_seconds", "own_seconds", "seconds"):
        arrays = [getattr(run.steps, name) for run in runs]
        if not any(each is None for each in arrays):
            mean[name] = float(np.mean([each.mean() for each in arrays]))
    wait = mean.get("input_seconds", 0.0)
    known = {"input": wait} if "input_seconds" in mean else {}
    if known and "own_seconds" in mean:
        return known | {"gradients": mean["own_seconds"] - wait, "rest": mean["seconds"] - mean["own_seconds"]}
    return known | {"undivided": mean["seconds"] - wait}


def _ahead(series: Series) -> dict[str, Any]:
    """The prediction from the points that are known now, up to `AHEAD` times the largest."""
    first, last = series.workers[0], series.workers[-1]
    grid = {round(value) for value in np.geomspace(first, AHEAD * last, 25)} | {2 * last, AHEAD * last}
    made = prediction.predict(series, sorted(grid))
    keys = ("workers", "throughput", "low", "high", "efficiency", "efficiency_low", "efficiency_high")
    return {
        "label": "prediction, not measured",
        "confidence": made.confidence,
        "law": made.law,
        **fits.as_json(series, made),
        "curve": [{key: getattr(forecast, key) for key in keys} for forecast in made.forecasts],
        "asked": [2 * last, AHEAD * last],
        "warnings": list(dict.fromkeys(w for f in made.forecasts if f.workers == AHEAD * last for w in f.warnings)),
    }
