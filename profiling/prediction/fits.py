"""What each law is worth for a series: its weight, its parameters, and how well it foretells a point that it has not seen."""

import dataclasses
import math
import statistics
from typing import Any

from profiling import text
from profiling.prediction import posterior
from profiling.prediction.prediction import Prediction
from profiling.study.tables import Series

MOST = 8  # points that are left out in turn, the largest ones; each needs a fit of its own
AVERAGED = "averaged"
SHOWN = 0.05  # weight from which on a law is in a table


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """Errors of throughput, |foretold / measured - 1|, at the points that were left out."""

    points: int  # how many were; 0 where there are too few to leave one out
    errors: dict[str, float]  # median over these points, of each law and of `AVERAGED`, which is what is reported


def left_out(series: Series) -> LeftOut:
    """Leave out one point at a time and foretell it from the others.

    Parameters
    ----------
    series : Series
        With three points or more something can be left out.

    Returns
    -------
    LeftOut
        Points within the series are easier to foretell than one beyond it: docs/prediction.md says how good that is.
    """
    if len(series.points) < 3:
        return LeftOut(0, {})
    found: dict[str, list[float]] = {}
    places = range(len(series.points))[-MOST:]
    for place in places:
        point = series.points[place]
        others = dataclasses.replace(series, points=series.points[:place] + series.points[place + 1 :])
        fitted = posterior.fit(others, [point.workers])
        mixtures = {AVERAGED: fitted.mixtures[0]} | {name: fitted.of_law(name)[0] for name in fitted.law_weights}
        for name, mixture in mixtures.items():
            if not mixture.weight.any():  # ruled out
                continue
            foretold = point.workers * math.exp(-mixture.quantiles((0.5,))[0])
            found.setdefault(name, []).append(abs(foretold / point.throughput - 1))
    return LeftOut(len(places), {name: statistics.median(errors) for name, errors in found.items()})


def as_json(series: Series, made: Prediction) -> dict[str, Any]:
    """The laws behind a prediction, for programs and for `table`; the keys are described in docs/prediction.md."""
    checked = left_out(series)
    return {
        "fits": [dataclasses.asdict(law) | {"left_out_error": checked.errors.get(law.name)} for law in made.laws],
        "left_out": {"points": checked.points, "error": checked.errors.get(AVERAGED)},
    }


def table(document: dict[str, Any]) -> tuple[list[str], list[list[str]], list[str]]:
    """Header, rows and notes of what `as_json` made: the laws that count."""
    header = ["law", "weight", "left-out error", "parameters"]
    rows = [
        [
            fit["name"],
            f"{fit['weight']:.0%}",
            _error(fit["left_out_error"]),
            "; ".join(map(_parameter, fit["parameters"])),
        ]
        for fit in document["fits"]
        if fit["weight"] >= SHOWN
    ]
    checked = document["left_out"]
    rows.append([AVERAGED, "", _error(checked["error"]), "which is the prediction"])
    said = (
        f"Left-out error: median over the {checked['points']} largest points, each foretold from all the others."
        if checked["points"]
        else "Too few points to leave one out."
    )
    return header, rows, [said]


def _error(value: float | None) -> str:
    return "" if value is None else text.percent(value)


def _parameter(parameter: dict[str, Any]) -> str:
    unit = "" if parameter["unit"] == "1" else f" {parameter['unit']}"
    span = text.span(parameter["low"], parameter["high"], lambda value: f"{value:.3g}")
    return f"{parameter['name']} {parameter['estimate']:.3g} {span}{unit}"
