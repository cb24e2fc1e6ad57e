"""A report's document as words and tables of text, in the order in which it is read: what Markdown, LaTeX and HTML are made of."""

from typing import Any, NamedTuple

from profiling import text
from profiling.prediction import fits
from profiling.reporting import columns
from profiling.traces.parts import PARTS
from profiling.traces.timeline import PHASES

PREDICTED = "Prediction, not measured"
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Block(NamedTuple):
    """A table with its title above and its notes below."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]


def summary(document: dict[str, Any]) -> str:
    """The result in one sentence."""
    first, last, unit = document["rows"][0], document["rows"][-1], document["unit"]
    kind = {"weak": "the batch of a rank held", "strong": "the batch of all ranks held"}[document["kind"]]
    interval = last["efficiency_interval"]
    span = (
        f", {document['confidence']:.0%} interval {text.span(interval['low'], interval['high'], text.percent)}"
        if interval
        else ""
    )
    return (
        f"{document['kind'].capitalize()} scaling ({kind}) from {first['workers']} to {last['workers']} ranks: "
        f"{text.number(last['throughput'])} {unit} on {last['workers']} ranks, {text.percent(last['efficiency'])} of what "
        f"{text.number(last['workers'] / first['workers'])} times the base would give{span or '; too few repeats for an interval'}."
    )


def blocks(document: dict[str, Any]) -> list[Block]:
    """The tables of a report."""
    base = document["base"]
    scaled = _block("Scaling", columns.SCALING, document, document["absent"])
    scaled.notes.append(
        f"Base: {base['workers']} rank{'s' * (base['workers'] > 1)}, {text.number(base['throughput'])} {document['unit']} in absolute terms."
    )
    time = _block("Where the time goes", columns.TIME, document, document["absent"])
    time.notes[:0] = columns.MEANING_OF_TIME
    cost = _block("Use, energy, memory and quality", columns.COST, document, document["absent"])
    cost.notes[:0] = columns.MEANING_OF_COST
    cost.notes.extend(_quality(document))
    return [
        scaled,
        time,
        *_traced(document["traced"]),
        cost,
        *_predicted(document),
        *(Block(each["title"], each["header"], each["rows"], [each["note"]]) for each in document["committees"]),
    ]


def _block(title: str, shown: tuple[columns.Column, ...], document: dict[str, Any], absent: dict[str, str]) -> Block:
    why = {column.key: absent[column.key] for column in shown if column.key in absent}
    reasons = list(dict.fromkeys(why.values()))
    marks = {key: str(reasons.index(reason) + 1).translate(RAISED) for key, reason in why.items()}
    rows = document["rows"]
    return Block(
        title,
        [column.title.format(unit=document["unit"]) + marks.get(column.key, "") for column in shown],
        [[columns.cell(column, row, rows[0]) for column in shown] for row in rows],
        [f"{str(number).translate(RAISED)} N/A: {reason}." for number, reason in enumerate(reasons, 1)],
    )


def _quality(document: dict[str, Any]) -> list[str]:
    if document["target"] is None:
        return []
    reached = ", ".join(f"{row['target_reached']} of {row['repeats']} on {row['workers']}" for row in document["rows"])
    return [
        f"Time to quality: from the start of a run, its wait in the queue left out, until an evaluation had {document['target']}; "
        f"mean over the repeats, and N/A where one did not reach it. Reached by {reached} ranks."
    ]


def _traced(points: list[dict[str, Any]]) -> list[Block]:
    """The parts of the traced steps, and Horovod's phases, each where there are some."""
    parts = [
        [str(p["workers"]), str(p["runs"]), str(p["steps"]), text.number(1000 * p['step_seconds'], 4), *(text.percent(p["shares"][part]) for part in (*PARTS, "hidden"))]
        for p in points
        if p["shares"]
    ]  # fmt: skip
    phases = [
        [str(p["workers"]), str(p["timeline"]["steps"]), *(text.number(1000 * p['timeline']['seconds'][phase], 4) for phase in PHASES)]
        for p in points
        if p["timeline"]
    ]  # fmt: skip
    found = []
    if parts:
        header = ["ranks", "runs", "traced steps", "mean step [ms]", *PARTS, "hidden"]
        found.append(Block("Traced steps", header, parts, list(columns.MEANING_OF_TRACED)))
    if phases:
        header = ["ranks", "steps", *(f"{phase} [ms]" for phase in PHASES)]
        found.append(Block("Horovod's collectives in traced steps", header, phases, [columns.MEANING_OF_TIMELINE]))
    return found


def _predicted(document: dict[str, Any]) -> list[Block]:
    ahead, unit = document["prediction"], document["unit"]
    level = f"{ahead['confidence']:.0%} interval"
    new = [
        [str(f["workers"]), text.number(f["throughput"]), text.span(f["low"], f["high"]), text.percent(f["efficiency"]),
         text.span(f["efficiency_low"], f["efficiency_high"], text.percent)]
        for f in ahead["curve"]
        if f["workers"] in ahead["asked"]
    ]  # fmt: skip
    header = ["ranks", f"throughput [{unit}]", level, "efficiency", level]
    notes = [
        *(warning[0].upper() + warning[1:] + "." for warning in ahead["warnings"]),
    ]
    found = [Block(PREDICTED, header, new, notes), Block("Laws of the prediction", *fits.table(ahead))]
    if document["foretold"]:
        header = ["made", "knew ranks", "ranks", f"predicted [{unit}]", "interval", "measured since", "error", "inside"]
        old = [
            [f["made"][:16].replace("T", " "), ", ".join(map(str, f["knew"])), str(f["workers"]), text.number(f["predicted"]),
             text.span(f["low"], f["high"]), *_outcome(f)]
            for f in document["foretold"]
        ]  # fmt: skip
        found.append(
            Block(
                "Predictions of the past",
                header,
                old,
                ["Written down, with their date (UTC), before these points were measured."],
            )
        )
    return found


def _outcome(forecast: dict[str, Any]) -> list[str]:
    if forecast["measured"] is None:
        return ["not yet", "", ""]
    inside = "yes" if forecast["inside"] else "no"
    return [text.number(forecast["measured"]), f"{forecast['relative_error']:+.1%}", inside]
