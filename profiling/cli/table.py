"""python -m profiling table STUDY [--by FIGURE]: the results of each point of a study: repeats, mean, spread, best.

A figure is a metric of the runs, throughput, or time; without --by all figures are shown. The study may still run.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from launch.cli.names import Named
from launch.errors import Refusal
from launch.plan import options
from launch.record.table import aligned
from launch.record.writing import publish
from profiling import text
from profiling.cli import inputs
from profiling.reporting import markdown, sweep_table


@dataclass(frozen=True)
class Options(Named):
    """The options of the verb."""

    by: str | None = None  # the figure to show; the points are sorted by its mean
    smallest: bool = False  # the smallest first, as for an error; by default the workload's target or the name decides
    largest: bool = False  # the largest first
    format: Literal["text", "markdown", "csv", "json"] = "text"  # of the table
    out: Path | None = None  # the file to write it to; by default it is printed


def run(argv: Sequence[str]) -> str:
    """Return what the verb prints."""
    (path,), chosen = options.with_files(Options, argv, ["STUDY"])
    if chosen.smallest and chosen.largest:
        raise Refusal("--smallest and --largest contradict each other: give one of them")
    if chosen.by is None and (chosen.smallest or chosen.largest):
        raise Refusal("--smallest and --largest say how to sort by a figure: give it with --by")
    content = document(path, chosen.by, True if chosen.smallest else False if chosen.largest else None)
    written = FORMS[chosen.format](content)
    if not chosen.out:
        return written
    try:
        publish(chosen.out, written + "\n")
    except OSError as error:
        raise Refusal(f"cannot write {chosen.out} ({error.strerror}): give another file with --out") from None
    return f"{text.plural(len(content['points']), 'point')}: {chosen.out}"


def document(path: Path, by: str | None = None, smallest: bool | None = None) -> dict[str, Any]:
    """Return the table of a study as a value; it takes and refuses what `sweep_table.document` does."""
    return sweep_table.document(inputs.sweep(path), by, smallest)


def as_text(content: dict[str, Any]) -> str:
    """Return the table for the terminal."""
    header, rows = sweep_table.cells(content)
    sides = "<" * len(sweep_table.axes(content)) + ">"
    return "\n".join([_title(content), "", aligned([header, *rows], sides), "", *sweep_table.notes(content)]).rstrip(
        "\n"
    )


def as_markdown(content: dict[str, Any]) -> str:
    """Return the table in Markdown."""
    header, rows = sweep_table.cells(content)
    table = text.markdown([*map(markdown.safe, header)], [[*map(markdown.safe, row)] for row in rows])
    return "\n".join([f"## {_title(content)}", "", table, "", *(f"- {note}" for note in sweep_table.notes(content))])


def _as_csv(content: dict[str, Any]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(sweep_table.flat(content))
    return file.getvalue().rstrip("\n")


def _as_json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False)


def _title(content: dict[str, Any]) -> str:
    return f"{content['study']}: {text.plural(len(content['points']), 'point')} of {Path(content['workload']).name}"


FORMS = {"text": as_text, "markdown": as_markdown, "csv": _as_csv, "json": _as_json}
