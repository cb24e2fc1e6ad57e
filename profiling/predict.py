"""python -m profiling predict STUDY|TABLE --workers 64,256: the throughput of runs that were not made, with intervals."""

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from launch.errors import Refusal
from launch.rundir import publish_json
from profiling import arguments, foretold, prediction, runs, tables, text


@dataclass(frozen=True)
class Options:
    """The options of the verb."""

    workers: str  # where to predict, as in 64,256,1024
    series: str | None = None  # which series, where the table holds several
    confidence: float = 0.9  # level of the intervals
    json: bool = False  # print JSON
    save: Path | None = None  # write the prediction into a file, to be scored when the run
    # exists; that of a study is always written down, in STUDY/predictions.jsonl, and scored in its report


def run(argv: Sequence[str]) -> str:
    """What the verb prints; the words behind it are STUDY or TABLE, and options.

    Raises
    ------
    Refusal
        Bad words, a bad table, a prediction that exists already.
    """
    (path,), options = arguments.parse(Options, argv, ["TABLE"])
    workers = arguments.counts("--workers", options.workers)
    series = tables.read(path, options.series)
    if options.save and options.save.exists():
        raise Refusal(f"{options.save} exists: a prediction that was written down is not changed; give another name")
    made = prediction.predict(series, workers, options.confidence)
    document = as_json(path, series, made)
    if options.save:
        try:
            publish_json(options.save, document)
        except OSError as error:
            raise Refusal(
                f"cannot write {options.save} ({error.strerror}): give a file in a folder that can be written to"
            ) from None
    kept = foretold.write_down(path, document) if runs.is_study(path) else ""
    if options.json:
        return json.dumps(document, indent=1, ensure_ascii=False)
    return "\n".join([_text(series, made, document), *([kept] if kept else [])])


def as_json(path: Path, series: tables.Series, made: prediction.Prediction) -> dict:
    """The prediction for other programs; its keys are described in docs/prediction.md."""
    return {
        "format": 1,
        "label": "prediction, not measured",
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "table": str(path),
        "series": series.name,
        "kind": series.kind,
        "unit": series.unit,
        "base": {"workers": series.points[0].workers, "throughput": series.points[0].throughput},
        "measured": [
            {"workers": p.workers, "repeats": len(p.rates), "throughput": p.throughput} for p in series.points
        ],
        "confidence": made.confidence,
        "holds": not made.problems,
        "problems": list(made.problems),
        "laws": made.law_weights,
        "law": {"name": made.law, "parameters": [asdict(parameter) for parameter in made.parameters]},
        "predictions": [asdict(forecast) for forecast in made.forecasts],
    }


def _text(series: tables.Series, made: prediction.Prediction, document: dict) -> str:
    level = f"{made.confidence:.0%} interval"
    header = ["workers", f"throughput [{series.unit}]", level, "speed-up", "efficiency", level]
    rows = [
        [
            str(f.workers),
            text.number(f.throughput),
            text.span(f.low, f.high),
            text.number(f.speedup),
            text.percent(f.efficiency),
            text.span(f.efficiency_low, f.efficiency_high, text.percent),
        ]
        for f in made.forecasts
    ]
    base = document["base"]
    weights = ", ".join(f"{name} {weight:.0%}" for name, weight in made.law_weights.items() if weight >= 0.05)
    parameters = "; ".join(
        f"{p.name} {p.estimate:.3g} {text.span(p.low, p.high, lambda v: f'{v:.3g}')} {p.unit}".replace(" 1;", ";")
        for p in made.parameters
    )
    return "\n".join(
        [
            f"{series.name}: PREDICTION, not measured ({series.kind} scaling, made {document['made']})",
            "",
            text.aligned(header, rows),
            "",
            f"base: {base['workers']} worker{'s' * (base['workers'] > 1)}, {text.number(base['throughput'])} {series.unit}; an interval is for one run",
            f"laws by weight: {weights}",
            f"most plausible: {made.law}; {parameters}",
            *(f"{f.workers} workers: {warning}" for f in made.forecasts for warning in f.warnings),
            *made.problems,
        ]
    )
