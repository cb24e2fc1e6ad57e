"""python -m profiling predict STUDY|TABLE --nodes 64,256: throughput, time, hours and energy there, with intervals."""

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from launch.errors import Refusal
from launch.plan import options
from launch.plan.figures import Scaling
from launch.plan.typed import Bounds, Count
from launch.record.table import aligned
from launch.record.writing import publish
from profiling import text
from profiling.cli import inputs
from profiling.cli.inputs import OfTable
from profiling.prediction import fits, log, prediction, run_estimate
from profiling.prediction.run_estimate import Rates

Workers = Annotated[int, Bounds(1, 10**12)]


@dataclass(frozen=True)
class Options(OfTable):
    """The options of the verb."""

    nodes: tuple[Count, ...] = field(default=(), metadata={"separator": ","})  # node counts, for a study: 64,256
    workers: tuple[Workers, ...] = field(default=(), metadata={"separator": ","})  # the same in workers of a table, or
    # in ranks of a study
    series: str | None = None  # which series, if there are several
    scaling: Scaling | None = None  # for programs that do not report their work; by default that of the study
    confidence: float = 0.9  # level of the intervals
    json: bool = False  # print JSON
    save: Path | None = None  # write the prediction into a file, to score it when the run
    # exists; that of a study is always recorded in STUDY/predictions.jsonl, and scored in its report


def run(argv: Sequence[str]) -> str:
    """What the verb prints."""
    (path,), chosen = options.with_files(Options, argv, ["STUDY|TABLE"])
    content, rates, kept = predicted(path, chosen)
    if chosen.json:
        return json.dumps(content, indent=1, ensure_ascii=False)
    return "\n".join([as_text(content, rates), *kept])


def predicted(path: Path, chosen: Options) -> tuple[dict[str, Any], Rates | None, list[str]]:
    """The prediction as a value, the basis for hours and energy of further runs, and where it is recorded."""
    if bool(chosen.nodes) == bool(chosen.workers):
        raise Refusal("predict needs --workers 64,256, or of a study --nodes 64,256: give one of the two")
    series, study = inputs.series(path, chosen.series, chosen.scaling, chosen.asked)
    if not series.kind:
        raise Refusal(
            f"{path} does not say whether {series.name} is of weak or strong scaling, which differ in their laws: say "
            "--kind weak (the work of a worker is held) or --kind strong (the work of all)"
        )
    workers, rates = chosen.workers, None
    if study:
        try:
            rates = run_estimate.rates(study, series.kind)
        except Refusal:  # its nodes differ, but the throughput of ranks can still be predicted
            if chosen.nodes:
                raise
    if chosen.nodes:
        if rates is None:
            raise Refusal(f"{path} is a plain table, which does not say how many workers a node has: give --workers")
        workers = tuple(nodes * rates.ranks_per_node for nodes in chosen.nodes)
    if chosen.save and chosen.save.exists():
        raise Refusal(f"{chosen.save} exists: a prediction that was written down is not changed; give another name")
    found = prediction.predict(series, workers, chosen.confidence)
    document = {
        "format": 1,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "table": str(path),
        "series": series.name,
        "kind": series.kind,
        "unit": series.unit,
        "base": {"workers": series.points[0].workers, "throughput": series.points[0].throughput},
        "measured": [
            {"workers": point.workers, "repeats": len(point.rates), "throughput": point.throughput}
            for point in series.points
        ],
        **fits.as_json(series, found),
        "notes": run_estimate.notes(rates) if rates else [] if study else list(series.notes),
    }
    if series.understood:
        document["understood"] = series.understood
    if rates:
        for row, forecast in zip(document["predictions"], found.forecasts, strict=True):
            row |= run_estimate.as_json(rates, forecast)
    if chosen.save:
        try:
            publish(chosen.save, json.dumps(document) + "\n")
        except OSError as error:
            raise Refusal(f"cannot write {chosen.save} ({error.strerror}): give a file in another folder") from None
    kept = [log.write_down(path, document)] if study else []
    return document, rates, kept


def as_text(document: dict[str, Any], rates: Rates | None) -> str:
    """The prediction in tables for the terminal."""
    forecasts, base, unit = document["predictions"], document["base"], document["unit"]
    tables = [text.table(prediction.columns(unit, document["confidence"]), forecasts)]
    if rates:
        tables.append(text.table(run_estimate.columns(rates, document["confidence"], forecasts), forecasts))
    header, rows, remark = fits.table(document)
    return "\n".join(
        [
            *([document["understood"], ""] if "understood" in document else []),
            f"{document['series']}: PREDICTION, not measured ({document['kind']} scaling, made {document['made']})",
            *(f"\n{table}" for table in tables),
            f"\n{aligned([header, *rows], '>>><')}",
            remark,
            "",
            f"base: {text.plural(base['workers'], 'worker')}, {text.number(base['throughput'])} {unit}; "
            "an interval is for one run",
            *document["notes"],
            *(
                f"{forecast['workers']} workers: {warning}"
                for forecast in forecasts
                for warning in forecast["warnings"]
            ),
            *document["problems"],
        ]
    )
