"""A report's document as words and tables of text, in reading order: the source of Markdown, LaTeX and HTML."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from profiling import text
from profiling.prediction import fits, log, prediction
from profiling.reporting import columns, of_table, sweep_table
from profiling.traces.parts import PARTS
from profiling.traces.timeline import PHASES

PREDICTED = "Prediction, not measured"


class Block(NamedTuple):
    """A table with its title above and its notes below; without a header it is the notes alone."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]


def title(document: dict[str, Any]) -> str:
    """Return the title of the report."""
    what = "Sweep" if "sweep" in document else "Scaling of" if "tables" in document else "Scaling study"
    return f"{what} {document['study']}"


def summary(document: dict[str, Any]) -> str:
    """Return the result in one sentence."""
    if "sweep" in document:
        return sweep_table.summary(document["sweep"])
    if "tables" in document:
        return of_table.summary(document)
    first, last, unit = document["rows"][0], document["rows"][-1], document["unit"]
    held = {"weak": "the batch per rank held", "strong": "the global batch held"}[document["kind"]]
    if document["whole"]:
        held = {"weak": "the work per rank held", "strong": "the work of all ranks held"}[document["kind"]]
    span = "; one repeat, so without an interval"
    if interval := last["efficiency_interval"]:
        span = text.span(interval["low"], interval["high"], text.within(interval["low"], interval["high"], 100, "%"))
        span = f", {document['confidence']:.0%} interval {span}"
    shown = [column for column in columns.SCALING if column.key in ("throughput", "efficiency")]
    throughput, efficiency = columns.cells(shown, [first, last], unit)[1][1]
    return (
        f"{document['kind'].capitalize()} scaling ({held}) from {first['workers']} to {last['workers']} ranks: "
        f"{throughput} {unit} on {last['workers']} ranks, {efficiency} of "
        f"what {text.number(last['workers'] / first['workers'])} times the base would give{span}."
    )


def blocks(document: dict[str, Any]) -> list[Block]:
    """Return the tables of a report."""
    if "sweep" in document:
        return [Block("Points", *sweep_table.cells(document["sweep"]), [])]
    if "tables" in document:
        return [Block(*table) for table in of_table.tables(document)]
    base, whole = document["base"], document["whole"]
    absolute = (
        f"Base: {text.plural(base['workers'], 'rank')}, {text.number(base['throughput'])} {document['unit']} in "
        "absolute terms."
    )
    return [
        _block("Scaling", columns.SCALING, document, after=[absolute]),
        *([] if whole else [_block("Where the time goes", columns.TIME, document, columns.MEANING_OF_TIME)]),
        *_traced(document["traced"]),
        _block(
            "Use and memory" if whole else "Use, energy, memory and quality",
            columns.COST,
            document,
            columns.MEANING_OF_COST_OF_RUNS if whole else columns.MEANING_OF_COST,
            after=_quality(document),
        ),
        *_predicted(document),
        *(Block(form["title"], form["header"], form["rows"], [form["note"]]) for form in document["committees"]),
    ]


def _block(
    title: str,
    shown: Sequence[columns.Column],
    document: dict[str, Any],
    meaning: tuple[str, ...] = (),
    after: list[str] | None = None,
) -> Block:
    """Return a table of the columns that have values; notes say why the others are left out."""
    shown = columns.shown(shown, document["whole"])
    having = columns.present(shown, document["rows"])
    currency = (document["cost"] or {}).get("currency", "")
    header, rows = columns.cells(having, document["rows"], document["unit"], document["work_unit"], currency)
    empty: dict[str, list[str]] = {}
    for column in shown:
        if column.key in document["absent"]:
            empty.setdefault(document["absent"][column.key], []).append(
                column.title.partition(" [")[0].partition("{")[0]
            )
    left_out = [f"Left out, as {reason}: {', '.join(titles).removesuffix('.')}." for reason, titles in empty.items()]
    if len(having) == 1:  # of the ranks, which alone say nothing
        return Block(title, [], [], [*left_out, *(after or [])])
    return Block(title, header, rows, [*meaning, *left_out, *(after or [])])


def _quality(document: dict[str, Any]) -> list[str]:
    if document["target"] is None:
        return []
    reached = ", ".join(f"{row['target_reached']} of {row['repeats']} on {row['workers']}" for row in document["rows"])
    return [
        "Time to quality: from the start of a run, its wait in the queue left out, until an evaluation reached "
        f"{document['target']}; mean over the repeats, and N/A where one did not reach it. Reached by {reached} ranks."
    ]


def _traced(points: list[dict[str, Any]]) -> list[Block]:
    """Return tables of the parts of the traced steps and of Horovod's phases, as far as there are any."""
    parts = [
        ("ranks", text.value("workers", str)),
        ("runs", text.value("runs", str)),
        ("traced steps", text.value("steps", str)),
        ("mean step [ms]", text.value("step_seconds", text.milliseconds)),
        *((part, lambda point, part=part: text.percent(point["shares"][part])) for part in (*PARTS, "hidden")),
    ]
    phases = [
        ("ranks", text.value("workers", str)),
        ("steps", lambda point: str(point["timeline"]["steps"])),
        *(
            (f"{phase} [ms]", lambda point, phase=phase: text.milliseconds(point["timeline"]["seconds"][phase]))
            for phase in PHASES
        ),
    ]
    tables = (
        ("Traced steps", parts, "shares", columns.MEANING_OF_TRACED),
        ("Horovod's collectives in traced steps", phases, "timeline", columns.MEANING_OF_TIMELINE),
    )
    return [
        Block(title, *text.cells(shown, present), list(meaning))
        for title, shown, key, meaning in tables
        if (present := [point for point in points if point[key]])
    ]


def _predicted(document: dict[str, Any]) -> list[Block]:
    ahead, unit = document["prediction"], document["unit"]
    asked = [forecast for forecast in ahead["predictions"] if forecast["workers"] in ahead["asked"]]
    notes = [warning[0].upper() + warning[1:] + "." for warning in asked[-1]["warnings"]]
    shown = text.cells(prediction.columns(unit, ahead["confidence"], "ranks", ahead["holds"]), asked)
    if ahead["holds"]:
        header, rows, note = fits.table(ahead)
        found = [Block(PREDICTED, *shown, notes), Block("Laws of the prediction", header, rows, [note])]
    else:
        found = [Block(PREDICTED, *shown, [f"The {ahead['problems'][0]}: do not plan with it."])]
    if document["earlier_predictions"]:
        cells = text.cells(log.columns(unit, "ranks"), document["earlier_predictions"])
        note = "Written down, with their date (UTC), before these points were measured."
        found.append(Block("Earlier predictions and measurements", *cells, [note]))
    return found
