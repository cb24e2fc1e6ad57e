"""python -m profiling score PREDICTION.json TABLE: what was predicted against what was measured since."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.errors import Refusal
from launch.record.files import read_json
from profiling import text
from profiling.cli import arguments
from profiling.study import tables


@dataclass(frozen=True)
class Options:
    """The options of the verb."""

    series: str | None = None  # which series of the table; the predicted one if it is there
    json: bool = False  # print JSON


def run(argv: Sequence[str]) -> str:
    """What the verb prints; the words behind it are PREDICTION.json, TABLE and options.

    Raises
    ------
    Refusal
        Bad words or files, another kind or unit, nothing measured where something was predicted.
    """
    (saved, path), options = arguments.parse(Options, argv, ["PREDICTION.json", "TABLE"])
    predicted = _read(saved)
    name = options.series
    if name is None and predicted["series"] in tables.names(path):
        name = predicted["series"]
    series = tables.read(path, name)
    for key in ("kind", "unit"):
        if getattr(series, key) != predicted[key]:
            raise Refusal(
                f"{saved} predicts {key} {predicted[key]!r}, but {path} has {getattr(series, key)!r}: score it against the series it was made for"
            )
    measured = {point.workers: point.throughput for point in series.points}
    known = {point["workers"] for point in predicted["measured"]}
    scores = [
        score(f, measured[f["workers"]])
        for f in predicted["predictions"]
        if f["workers"] in measured and f["workers"] not in known
    ]
    if not scores:
        asked = ", ".join(str(f["workers"]) for f in predicted["predictions"])
        raise Refusal(f"{path} has no run that {saved} foresaw ({asked} workers): score it when one is measured")
    if options.json:
        document = {
            "format": 1,
            "made": predicted["made"],
            "series": series.name,
            "unit": series.unit,
            "confidence": predicted["confidence"],
        }
        return json.dumps({**document, "scores": scores}, indent=1, ensure_ascii=False)
    header = [
        "workers",
        f"predicted [{series.unit}]",
        f"{predicted['confidence']:.0%} interval",
        "measured",
        "error",
        "inside",
    ]
    rows = [
        [
            str(s["workers"]),
            text.number(s["predicted"]),
            text.span(s["low"], s["high"]),
            text.number(s["measured"]),
            f"{s['relative_error']:+.1%}",
            "yes" if s["inside"] else "no",
        ]
        for s in scores
    ]
    missed = [f"fit does not hold: {s['workers']} workers lie outside the interval" for s in scores if not s["inside"]]
    return "\n".join(
        [
            f"{series.name}: predicted {predicted['made']}",
            "",
            text.aligned(header, rows),
            *([""] if missed else []),
            *missed,
        ]
    )


def score(forecast: dict, measured: float) -> dict:
    """One forecast of a prediction against the throughput that was measured there since."""
    return {
        "workers": forecast["workers"],
        "predicted": forecast["throughput"],
        "low": forecast["low"],
        "high": forecast["high"],
        "measured": measured,
        "relative_error": forecast["throughput"] / measured - 1,
        "inside": forecast["low"] <= measured <= forecast["high"],
    }


def _read(path: Path) -> dict:
    try:
        value = read_json(path)
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"cannot read {path} ({error}): give a file that predict --save has written") from None
    if not isinstance(value, dict) or value.get("format") != 1 or "predictions" not in value:
        raise Refusal(f"{path} is no prediction: give a file that predict --save has written")
    return value
