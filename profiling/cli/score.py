"""python -m profiling score PREDICTIONS|STUDY TABLE|STUDY: predictions against what was measured since.

The predictions are those of a file that predict --save has written, or those that are recorded in a study.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

from launch.cli.names import Named
from launch.errors import Refusal
from launch.plan import options
from profiling import text
from profiling.cli import inputs
from profiling.prediction import log

_ALIKE = {"ranks", "processes", "GPUs"}  # a rank is a process, and has one GPU


@dataclass(frozen=True)
class Options(Named):
    """The options of the verb."""

    series: str | None = None  # which series of the table; the predicted one if it is there
    json: bool = False  # print JSON


def run(argv: Sequence[str]) -> str:
    """Return what the verb prints."""
    (saved, path), chosen = options.with_files(Options, argv, ["PREDICTIONS|STUDY", "TABLE|STUDY"])
    predictions = log.read(saved)
    name = chosen.series
    if name is None and predictions[0]["series"] in inputs.names(path):
        name = predictions[0]["series"]
    series, _ = inputs.series(path, name)
    if not series.kind:  # a table of throughput need not say it
        series = dataclasses.replace(series, kind=predictions[0]["kind"])
    for key in ("kind", "unit"):
        if all(prediction[key] != getattr(series, key) for prediction in predictions):
            raise Refusal(
                f"{saved} predicts {key} {predictions[0][key]!r}, but {path} has {getattr(series, key)!r}: "
                "score it against the series it was made for"
            )
    counted = predictions[0].get("works", "workers")
    if counted != series.works and "workers" not in (counted, series.works) and not {counted, series.works} <= _ALIKE:
        raise Refusal(f"{saved} predicts for numbers of {counted}, but {path} has numbers of {series.works}")
    scores = log.scored(predictions, series)
    measured = [score for score in scores if score["measured"] is not None]
    if not measured:
        workers = ", ".join(str(score["workers"]) for score in scores) or "none that was not known"
        raise Refusal(f"{path} has none of the runs that {saved} predicts ({workers} {series.works}): score it later")
    if chosen.json:
        document = {"format": 1, "series": series.name, "unit": series.unit, "scores": measured}
        return json.dumps(document, indent=1, ensure_ascii=False)
    outside = [
        f"fit does not hold: {text.counted(score['workers'], series.works)} lie outside the interval"
        for score in measured
        if not score["inside"]
    ]
    return "\n".join(
        [
            series.name,
            "",
            text.table(log.columns(series.unit, series.works), measured),
            *([""] if outside else []),
            *outside,
        ]
    )
