"""python -m profiling predict STUDY|TABLE --nodes 64,256: throughput, time, hours and energy of runs that were not made, with intervals."""

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.record.files import publish_json
from profiling import text
from profiling.cli import arguments
from profiling.prediction import fits, log, prediction, price
from profiling.prediction.price import Bounded, Price, Rates
from profiling.study import runs, tables


@dataclass(frozen=True)
class Options:
    """The options of the verb."""

    nodes: str | None = None  # where to predict, as in 64,256: of a study, whose ranks a node are known
    workers: str | None = None  # where to predict, of a plain table: in its workers; of a study: in ranks
    series: str | None = None  # which series, where there are several
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
    if (options.nodes is None) == (options.workers is None):
        raise Refusal("predict needs --workers 64,256, or of a study --nodes 64,256: give one of the two")
    known, of_study = None, runs.is_study(path)
    if of_study:
        study = tables.choose(runs.read(path), options.series)
        series = tables.of_study(study)
        try:
            known = price.rates(study, series.kind)
        except Refusal:  # its nodes differ: what ranks do can be foretold all the same
            if options.nodes:
                raise
    else:
        series = tables.read(path, options.series)
    workers = _workers(path, options, known)
    if options.save and options.save.exists():
        raise Refusal(f"{options.save} exists: a prediction that was written down is not changed; give another name")
    made = prediction.predict(series, workers, options.confidence)
    document = as_json(path, series, made, known)
    if options.save:
        try:
            publish_json(options.save, document)
        except OSError as error:
            raise Refusal(
                f"cannot write {options.save} ({error.strerror}): give a file in a folder that can be written to"
            ) from None
    kept = log.write_down(path, document) if of_study else ""
    if options.json:
        return json.dumps(document, indent=1, ensure_ascii=False)
    return "\n".join([_text(document, known), *([kept] if kept else [])])


def _workers(path: Path, options: Options, known: Rates | None) -> list[int]:
    if options.workers is not None:
        return arguments.counts("--workers", options.workers)
    if known is None:
        raise Refusal(f"{path} is a plain table, which does not say how many workers a node has: give --workers")
    return [nodes * known.ranks_per_node for nodes in arguments.counts("--nodes", options.nodes)]


def as_json(path: Path, series: tables.Series, made: prediction.Prediction, known: Rates | None) -> dict[str, Any]:
    """The prediction for other programs; its keys are described in docs/prediction.md."""
    best = made.laws[0]
    forecasts = [asdict(forecast) for forecast in made.forecasts]
    if known:
        for row, forecast in zip(forecasts, made.forecasts, strict=True):
            row |= _priced(price.price(known, forecast), known)
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
        "laws": {law.name: law.weight for law in made.laws},
        "law": {"name": best.name, "parameters": [asdict(parameter) for parameter in best.parameters]},
        **fits.as_json(series, made),
        "predictions": forecasts,
        "notes": price.notes(known) if known else [],
    }


def _priced(made: Price, known: Rates) -> dict[str, Any]:
    """Keys of a prediction of a study: each number with its bounds, None where it cannot be told."""
    row: dict[str, Any] = {"nodes": made.nodes, "gpus": made.gpus}
    named = {
        "step_seconds": made.step_seconds,
        "training_seconds": made.training_seconds,
        known.hours_key: made.hours,
        "energy_j": made.energy_j,
    }
    for name, bounded in named.items():
        row[name] = bounded and asdict(bounded)
    return row


def _text(document: dict[str, Any], known: Rates | None) -> str:
    level = f"{document['confidence']:.0%} interval"
    header = ["workers", f"throughput [{document['unit']}]", level, "speed-up", "efficiency", level]
    rows = [
        [
            str(f["workers"]),
            text.number(f["throughput"]),
            text.span(f["low"], f["high"]),
            text.number(f["speedup"]),
            text.percent(f["efficiency"]),
            text.span(f["efficiency_low"], f["efficiency_high"], text.percent),
        ]
        for f in document["predictions"]
    ]
    base = document["base"]
    return "\n".join(
        [
            f"{document['series']}: PREDICTION, not measured ({document['kind']} scaling, made {document['made']})",
            "",
            text.aligned(header, rows),
            "",
            *(["\n".join(_of_study(document, known)), ""] if known else []),
            _laws(document),
            "",
            f"base: {base['workers']} worker{'s' * (base['workers'] > 1)}, {text.number(base['throughput'])} {document['unit']}; an interval is for one run",
            *document["notes"],
            *(f"{f['workers']} workers: {warning}" for f in document["predictions"] for warning in f["warnings"]),
            *document["problems"],
        ]
    )


def _of_study(document: dict[str, Any], known: Rates) -> list[str]:
    """What the runs take: a table."""
    level = f"{document['confidence']:.0%} interval"
    units = (("step_seconds", "step [ms]", 1e3), ("training_seconds", "training [s]", 1.0), (known.hours_key, known.unit, 1.0), ("energy_j", "GPU energy [MJ]", 1e-6))  # fmt: skip
    shown = [unit for unit in units if any(f[unit[0]] for f in document["predictions"])]
    header = ["nodes", "GPUs", *(word for _, title, _ in shown for word in (title, level))]
    rows = []
    for f in document["predictions"]:
        cells = []
        for key, _, factor in shown:
            bounded = Bounded(**f[key]).times(factor)
            cells += [text.number(bounded.value), text.span(bounded.low, bounded.high)]
        rows.append([str(f["nodes"]), str(f["gpus"]), *cells])
    return [text.aligned(header, rows)]


def _laws(document: dict[str, Any]) -> str:
    header, rows, notes = fits.table(document)
    width = max(len(row[-1]) for row in [header, *rows])
    return "\n".join([text.aligned(header, [[*row[:-1], row[-1].ljust(width)] for row in rows]), *notes])
