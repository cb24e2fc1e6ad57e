"""How good each law is for a series: its weight, its parameters, and how well it predicts a point left out."""

import dataclasses
import math
import statistics
from typing import Any

from profiling import text
from profiling.prediction import posterior
from profiling.prediction.prediction import Prediction
from profiling.study.tables import Series

MOST = 8  # largest points that are left out in turn; each needs a separate fit
AVERAGED = "averaged"
SHOWN = 0.05  # smallest weight of a law that tables show


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """Errors of throughput, |predicted / measured - 1|, at the points that were left out."""

    points: int  # number of points that were left out; 0 if there are too few points
    errors: dict[str, float]  # median over these points, by law; under `AVERAGED` for the average of laws


def left_out(series: Series) -> LeftOut:
    """Leave out one point at a time and predict it from the others.

    Points within the series are easier to predict than one beyond it: docs/prediction.md says how good that is.
    """
    if len(series.points) < 3:
        return LeftOut(0, {})
    errors: dict[str, list[float]] = {}
    places = range(len(series.points))[-MOST:]
    for place in places:
        point = series.points[place]
        others = dataclasses.replace(series, points=series.points[:place] + series.points[place + 1 :])
        fitted = posterior.fit(others, [point.workers])
        mixtures = {AVERAGED: fitted.mixtures[0]} | {name: fitted.of_law(name)[0] for name in fitted.law_weights}
        for name, mixture in mixtures.items():
            if mixture.weight.any():  # else the law is ruled out
                predicted = point.workers * math.exp(-mixture.quantiles((0.5,))[0])
                errors.setdefault(name, []).append(abs(predicted / point.throughput - 1))
    return LeftOut(len(places), {name: statistics.median(values) for name, values in errors.items()})


def as_json(series: Series, predicted: Prediction) -> dict[str, Any]:
    """Return a prediction and the laws behind it as a value; docs/prediction.md describes the keys."""
    checked = left_out(series)
    laws = [dataclasses.asdict(law) for law in predicted.laws]
    return {
        "label": "prediction, not measured",
        "confidence": predicted.confidence,
        "holds": not predicted.problems,
        "problems": list(predicted.problems),
        "laws": {law["name"]: law["weight"] for law in laws},
        "law": {"name": laws[0]["name"], "parameters": laws[0]["parameters"]},
        "fits": [law | {"left_out_error": checked.errors.get(law["name"])} for law in laws],
        "left_out": {"points": checked.points, "error": checked.errors.get(AVERAGED)},
        "predictions": [dataclasses.asdict(forecast) for forecast in predicted.forecasts],
    }


def table(document: dict[str, Any]) -> tuple[list[str], list[list[str]], str]:
    """Return headings, rows and a note of the table of laws with enough weight, from what `as_json` returned."""
    checked = document["left_out"]
    columns = [
        ("law", text.value("name", str)),
        ("weight", text.value("weight", "{:.0%}".format)),
        ("left-out error", text.value("left_out_error", text.percent)),
        ("parameters", lambda fit: "; ".join(map(_parameter, fit["parameters"]))),
    ]
    header, rows = text.cells(columns, (fit for fit in document["fits"] if fit["weight"] >= SHOWN))
    error = "" if checked["error"] is None else text.percent(checked["error"])
    note = f"Left-out error: median over the {checked['points']} largest points, each predicted from all the others."
    rows.append([AVERAGED, "", error, "which is the prediction"])
    shown = sum(fit["weight"] for fit in document["fits"] if fit["weight"] >= SHOWN)
    rest = f" Laws of less than {SHOWN:.0%} each have the other {1 - shown:.0%}." if 1 - shown >= 0.005 else ""
    return header, rows, (note if checked["points"] else "Too few points to leave one out.") + rest


def _parameter(parameter: dict[str, Any]) -> str:
    unit = "" if parameter["unit"] == "1" else f" {parameter['unit']}"
    span = text.span(parameter["low"], parameter["high"], "{:.3g}".format)
    return f"{parameter['name']} {parameter['estimate']:.3g} {span}{unit}"
