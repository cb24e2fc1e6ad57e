"""python -m profiling predict STUDY|TABLE --nodes 64,256: throughput, time, hours and energy there, with intervals.

With --deadline 6h or --budget 500 it names the number of nodes of a study to use, and how probably a run on it meets
them.
"""

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from launch.errors import Refusal
from launch.plan import options
from launch.plan.figures import Scaling
from launch.plan.typed import Bounds, Count, Positive
from launch.plan.walltime import duration
from launch.record.table import aligned
from launch.record.writing import publish
from profiling import text
from profiling.cli import inputs
from profiling.cli.costed import Costed
from profiling.cli.inputs import OfTable
from profiling.prediction import decision, fits, log, prediction, run_estimate
from profiling.prediction.run_estimate import Rates
from profiling.study.cost import NO_TARIFF, Tariff

Workers = Annotated[int, Bounds(1, 10**12)]


@dataclass(frozen=True)
class Options(OfTable, Costed):
    """The options of the verb."""

    nodes: tuple[Count, ...] = field(default=(), metadata={"separator": ","})  # node counts, for a study: 64,256
    workers: tuple[Workers, ...] = field(default=(), metadata={"separator": ","})  # the same in workers of a table, or
    # in ranks of a study
    series: str | None = None  # which series, if there are several
    scaling: Scaling | None = None  # for programs that do not report their work; by default that of the study
    confidence: float = 0.9  # level of the intervals
    deadline: str | None = None  # name the number of nodes whose runs take no longer, as 6h, 90m or 12:00:00
    budget: Positive | None = None  # the same, of what a run may cost: in --price, or without one in GPU-hours
    # (node-hours without GPUs)
    json: bool = False  # print JSON
    save: Path | None = None  # write the prediction into a file, to score it when the run
    # exists; that of a study is always recorded in STUDY/predictions.jsonl, and scored in its report


def run(argv: Sequence[str]) -> str:
    """Return what the verb prints."""
    (path,), chosen = options.with_files(Options, argv, ["STUDY|TABLE"])
    content, rates, kept = predicted(path, chosen)
    if chosen.json:
        return json.dumps(content, indent=1, ensure_ascii=False)
    return "\n".join([as_text(content, rates, chosen.tariff), *kept])


def predicted(path: Path, chosen: Options) -> tuple[dict[str, Any], Rates | None, list[str]]:
    """Return the prediction as a value, the rates behind hours and energy of further runs, and where it is recorded."""
    deciding = chosen.deadline is not None or chosen.budget is not None
    if chosen.nodes and chosen.workers or not (chosen.nodes or chosen.workers or deciding):
        raise Refusal("predict needs --workers 64,256, or of a study --nodes 64,256: give one of the two")
    if deciding and chosen.workers:
        raise Refusal(
            "--deadline and --budget name a number of nodes of a study, and --workers is given: leave it out, or give "
            "--nodes"
        )
    limits = decision.Limits(chosen.deadline and duration(chosen.deadline, "--deadline") or None, chosen.budget)
    tariff = chosen.tariff
    series, study = inputs.series(path, chosen.series, chosen.scaling, chosen.asked)
    if not series.kind:
        raise Refusal(
            f"{path} does not say whether {series.name} is of weak or strong scaling, which differ in their laws: say "
            "--kind weak (the work of a worker is held) or --kind strong (the work of all)"
        )
    workers, rates = chosen.workers, None
    if not study:
        chosen.refuse_for_table(path)
        if deciding:
            raise Refusal(
                f"--deadline and --budget are for studies: {path} is a table, of which only throughput is predicted"
            )
    if study:
        try:
            rates = run_estimate.rates(study, series.kind)
        except Refusal:  # its nodes differ, but the throughput of ranks can still be predicted
            if chosen.nodes or deciding:
                raise
    nodes = chosen.nodes
    if deciding and rates and not nodes:
        nodes = tuple(decision.tried(series, rates))
    if nodes:
        if rates is None and series.works != "nodes":
            raise Refusal(f"{path} is a plain table, which does not say how many workers a node has: give --workers")
        workers = tuple(count * rates.ranks_per_node for count in nodes) if rates else nodes
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
        "works": series.works,
        "base": {"workers": series.points[0].workers, "throughput": series.points[0].throughput},
        "measured": [
            {"workers": point.workers, "repeats": len(point.rates), "throughput": point.throughput}
            for point in series.points
        ],
        **fits.as_json(series, found),
        "notes": [] if study else list(series.notes),
    }
    if series.understood:
        document["understood"] = series.understood
    if rates:
        document["notes"] = [*run_estimate.notes(rates), *tariff.notes(rates.gpus_per_node)]
        for row, forecast in zip(document["predictions"], found.forecasts, strict=True):
            row |= run_estimate.as_json(rates, forecast, tariff)
    if deciding and rates:
        made = decision.choices(series, rates, tariff, limits, nodes, chosen.confidence)
        document["decision"] = decision.as_json(made, limits)
    if chosen.save:
        try:
            publish(chosen.save, json.dumps(document) + "\n")
        except OSError as error:
            raise Refusal(f"cannot write {chosen.save} ({error.strerror}): give a file in another folder") from None
    kept = [log.write_down(path, document)] if study else []
    return document, rates, kept


def as_text(document: dict[str, Any], rates: Rates | None, tariff: Tariff = NO_TARIFF) -> str:
    """Return the prediction as tables for the terminal; if the fit does not hold, only the interval and the reason."""
    forecasts, base, works = document["predictions"], document["base"], document["works"]
    unit, level = document["unit"], document["confidence"]
    tables = [text.table(prediction.columns(unit, level, works, document["holds"]), forecasts)]
    ahead = [document["understood"], ""] if "understood" in document else []
    ahead.append(
        f"{document['series']}: PREDICTION, not measured ({document['kind']} scaling, made {document['made']})"
    )
    based = f"base: {text.counted(base['workers'], works)}, {text.number(base['throughput'])} {unit}; "
    based += "an interval is for one run"
    if not document["holds"]:
        return "\n".join([*ahead, f"\n{tables[0]}", "", f"{document['problems'][0]}: do not plan with it", based])
    if "decision" in document and rates:
        ahead += ["", decision.as_text(document["decision"], rates, tariff, level)]
    if rates:
        tables.append(text.table(run_estimate.columns(rates, level, forecasts, tariff), forecasts))
    header, rows, remark = fits.table(document)
    return "\n".join(
        [
            *ahead,
            *(f"\n{table}" for table in tables),
            f"\n{aligned([header, *rows], '>>><')}",
            remark,
            "",
            based,
            *document["notes"],
            *_warnings(forecasts, works),
        ]
    )


def _warnings(forecasts: Sequence[dict[str, Any]], works: str) -> list[str]:
    """Return the warnings of all sizes, each once, with the sizes that it concerns."""
    about: dict[str, list[int]] = {}
    for forecast in forecasts:
        for warning in forecast["warnings"]:
            about.setdefault(warning, []).append(forecast["workers"])
    return [
        f"{', '.join(map(str, [*sizes[:-1], text.counted(sizes[-1], works)]))}: {warning}"
        for warning, sizes in about.items()
    ]
