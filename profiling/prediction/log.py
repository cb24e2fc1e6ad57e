"""Recorded predictions, one line of JSON each, and how they compare with what was measured since."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

from launch.errors import Refusal
from launch.plan.typed import mismatch
from launch.record.files import read_lines
from launch.record.study import PREDICTIONS
from launch.record.writing import append_line
from profiling import text
from profiling.study.tables import Series


class _Forecast(TypedDict):
    workers: int
    throughput: float
    low: float
    high: float


class _Point(TypedDict):
    workers: int


class _Newer(TypedDict, total=False):
    works: str  # what the workers are, in the plural; older versions did not record it


class _Prediction(_Newer):
    """The part of a line of the file that is scored."""

    format: Literal[1]
    made: str
    series: str
    kind: str
    unit: str
    confidence: float
    measured: list[_Point]
    predictions: list[_Forecast]


def write_down(folder: Path, document: dict[str, Any]) -> str:
    """Record a prediction of a study, with its date and the points that it knew, if it is new; return a line on it."""
    path = folder / PREDICTIONS
    before = {said for old in read_lines(path, _Prediction) for said in _said(old)}
    if before.issuperset(_said(document)):
        return f"written down before: {path}"
    try:
        append_line(path, document)
    except OSError as error:
        return f"not written down: cannot write {path} ({error.strerror})"
    return f"written down, to be scored by the next report: {path}"


def read(path: Path) -> list[_Prediction]:
    """Return the predictions in a file or the folder of a study: one per line, or a single one as older versions wrote.

    Raises
    ------
    Refusal
        If the file cannot be read, or holds no prediction.
    """
    file = path / PREDICTIONS if path.is_dir() else path
    try:
        found = [json.loads(file.read_text(encoding="utf-8"))]
    except ValueError:
        found = list(read_lines(file))
    except OSError as error:
        raise Refusal(f"cannot read {file} ({error.strerror}): give a study, or a file of predict --save") from None
    predictions = [value for value in found if not mismatch(value, _Prediction)]
    if not predictions:
        raise Refusal(f"{file} is not a prediction: give a study, or a file of predict --save")
    return predictions


def of_series(folder: Path, series: Series) -> list[_Prediction]:
    """Return the predictions for a series that are recorded in the folder of its study."""
    return [made for made in read_lines(folder / PREDICTIONS, _Prediction) if made["series"] == series.name]


def _said(prediction: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return what a prediction says about each number of workers, and from what; its date does not count."""
    known = json.dumps([prediction[key] for key in ("series", "kind", "unit", "confidence", "measured")])
    return [(known, *(forecast[key] for key in _Forecast.__annotations__)) for forecast in prediction["predictions"]]


def scored(predictions: Iterable[_Prediction], series: Series) -> list[dict[str, Any]]:
    """Pair each forecast for a series with the measurement at its number of workers; None if there is none yet.

    Points that were known when the prediction was made are not forecasts: they are left out, as are other kinds and
    units. A forecast that was repeated from the same measurements counts once.
    """
    measured = {point.workers: point.throughput for point in series.points}
    scores: list[dict[str, Any]] = []
    before: set[tuple[Any, ...]] = set()
    for prediction in predictions:
        if (prediction["kind"], prediction["unit"]) != (series.kind, series.unit):
            continue
        knew = sorted(point["workers"] for point in prediction["measured"])
        for forecast, said in zip(prediction["predictions"], _said(prediction), strict=True):
            if forecast["workers"] in knew or said in before:
                continue
            before.add(said)
            predicted, low, high = forecast["throughput"], forecast["low"], forecast["high"]
            score = {"made": prediction["made"], "knew": knew, "confidence": prediction["confidence"]}
            score |= {
                "workers": forecast["workers"],
                "predicted": predicted,
                "low": low,
                "high": high,
                "measured": None,
            }
            if rate := measured.get(forecast["workers"]):
                score |= {"measured": rate, "relative_error": predicted / rate - 1, "inside": low <= rate <= high}
            scores.append(score)
    return scores


def columns(unit: str, workers: str) -> list[tuple[str, text.Form]]:
    """Return the columns of a table of what `scored` returns; ``workers`` heads the number of workers."""
    return [
        ("made", lambda score: score["made"][:16].replace("T", " ")),
        ("knew", lambda score: ", ".join(map(str, score["knew"]))),
        (workers, text.value("workers", str)),
        (f"predicted [{unit}]", text.value("predicted")),
        ("interval", text.bounds("low", "high")),
        ("measured since", lambda score: "not yet" if score["measured"] is None else text.number(score["measured"])),
        ("error", text.value("relative_error", "{:+.1%}".format)),
        ("inside", text.value("inside", lambda inside: "yes" if inside else "no")),
    ]
