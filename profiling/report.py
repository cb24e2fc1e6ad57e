"""python -m profiling report STUDY|TABLE: the scaling table, with confidence intervals and whether the laws hold."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from profiling import arguments, prediction, scaling, tables, text


@dataclass(frozen=True)
class Options:
    """The options of the verb."""

    series: str | None = None  # which series, where the table holds several
    format: Literal["text", "markdown"] = "text"  # of the table
    json: bool = False  # the same as JSON


def run(argv: Sequence[str]) -> str:
    """What the verb prints; the words behind it are TABLE and options.

    Raises
    ------
    Refusal
        Bad words, a bad table.
    """
    (path,), options = arguments.parse(Options, argv, ["TABLE"])
    series = tables.read(path, options.series)
    rows = scaling.table(series)
    notes = [*series.notes, *scaling.notes(series, rows)]
    problems = prediction.problems(series)
    if options.json:
        return json.dumps(as_json(series, rows, notes, problems), indent=1, ensure_ascii=False)
    header = [
        "workers",
        "repeats",
        f"throughput [{series.unit}]",
        "95 % CI",
        "speed-up",
        "efficiency",
        "95 % CI",
        "slowest",
        "fastest",
    ]
    lines = [
        [
            str(row.workers),
            str(row.repeats),
            text.number(row.throughput),
            text.span(row.throughput_interval.low, row.throughput_interval.high)
            if row.throughput_interval
            else "n too small",
            text.number(row.speedup),
            text.percent(row.efficiency),
            text.span(row.efficiency_interval.low, row.efficiency_interval.high, text.percent)
            if row.efficiency_interval
            else _why(row, rows[0]),
            text.number(row.slowest),
            text.number(row.fastest),
        ]
        for row in rows
    ]
    if options.format == "markdown":
        body = [
            f"## {series.name}",
            "",
            text.markdown(header, lines),
            "",
            *(f"- {note}" for note in [*notes, *problems]),
        ]
    else:
        body = [series.name, "", text.aligned(header, lines), "", *notes, *problems]
    return "\n".join(body)


def _why(row: scaling.Row, base: scaling.Row) -> str:
    return "base" if row is base else "n too small"


def as_json(series: tables.Series, rows: list[scaling.Row], notes: list[str], problems: list[str]) -> dict:
    """The table for other programs; its keys are described in docs/prediction.md."""
    return {
        "format": 1,
        "series": series.name,
        "kind": series.kind,
        "unit": series.unit,
        "base": {"workers": rows[0].workers, "throughput": rows[0].throughput},
        "confidence": scaling.LEVEL,
        "rows": [asdict(row) for row in rows],
        "notes": notes,
        "holds": not problems,
        "problems": problems,
    }
