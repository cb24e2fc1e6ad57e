"""python -m profiling report STUDY|TABLE: the scaling table, with confidence intervals; of a study also STUDY/report/."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from launch.errors import Refusal
from launch.record.files import publish
from profiling import text
from profiling.cli import arguments, export
from profiling.reporting import document, latex, markdown, page
from profiling.study import runs, tables
from profiling.study.runs import Study


@dataclass(frozen=True)
class Options:
    """The options of the verb."""

    series: str | None = None  # which series, where the table or study holds several
    format: Literal["text", "markdown"] = "text"  # of the table that is printed
    json: bool = False  # print JSON, and write nothing
    remark: str = ""  # what the reader of a study's report has to know besides
    out: Path | None = None  # folder of a study's report; STUDY/report by default


def run(argv: Sequence[str]) -> str:
    """What the verb prints; the words behind it are STUDY or TABLE, and options.

    Raises
    ------
    Refusal
        Bad words, a bad table or study, a folder that cannot be written to.
    """
    (path,), options = arguments.parse(Options, argv, ["TABLE"])
    folder = None
    if runs.is_study(path):
        whole = runs.read(path)
        study = tables.choose(whole, options.series)
        made = document.document(study, tables.of_study(study), options.remark)
        folder = options.out or path / "report" / ("" if len(whole.series) == 1 else _name(study))
    elif options.out or options.remark:
        raise Refusal(f"--out and --remark are for the report of a study, and {path} is a plain table: leave them out")
    else:
        made = document.table(tables.read(path, options.series))
    if options.json:
        return json.dumps(made, indent=1, ensure_ascii=False)
    printed = _printed(made, options.format)
    return "\n".join([*printed, write(folder, study, made)] if folder else printed)


def write(folder: Path, study: Study, made: dict[str, Any]) -> str:
    """Write the report of a study in all its forms; return where it is.

    Raises
    ------
    Refusal
        If the folder cannot be made or written to.
    """
    try:
        from profiling.reporting import figures
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        drawn = {}  # a site's own environment may be without
    else:
        drawn = figures.draw(made)
    files = {
        "report.json": json.dumps(made, indent=1, ensure_ascii=False) + "\n",
        "table.csv": export.as_csv([_flat(row) for row in made["rows"]]),
        "runs.csv": export.as_csv(export.rows(study, made["kind"])),
        "table.tex": latex.tables(made),
        "report.md": markdown.report(made, drawn),
        "index.html": page.page(made, drawn),
    }
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for name, plot in drawn.items():
            figures.save(plot, folder / "figures", name)
        for name, content in files.items():
            publish(folder / name, content)
    except OSError as error:
        raise Refusal(f"cannot write the report {folder} ({error.strerror}): give a folder with --out") from None
    return f"report: {folder / 'index.html'}" + ("" if drawn else " (without figures: matplotlib is not installed)")


def _name(study: Study) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", study.series[0])


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row without values in values: an interval becomes two columns."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if key.endswith("_interval"):
            flat |= {f"{key.removesuffix('interval')}{end}": value and value[end] for end in ("low", "high")}
        else:
            flat[key] = " ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return flat


def _printed(made: dict[str, Any], form: str) -> list[str]:
    interval = f"{made['confidence']:.0%} CI".replace("%", " %")
    header = ["workers", "repeats", f"throughput [{made['unit']}]", interval, "speed-up", "efficiency", interval, "slowest", "fastest"]  # fmt: skip
    lines = [
        [
            str(row["workers"]),
            str(row["repeats"]),
            text.number(row["throughput"]),
            _interval(row["throughput_interval"], text.number),
            text.number(row["speedup"]),
            text.percent(row["efficiency"]),
            "base" if row is made["rows"][0] else _interval(row["efficiency_interval"], text.percent),
            text.number(row["slowest"]),
            text.number(row["fastest"]),
        ]
        for row in made["rows"]
    ]
    said = [*made["notes"], *made["problems"]]
    if form == "markdown":
        return [f"## {made['series']}", "", text.markdown(header, lines), "", *(f"- {note}" for note in said)]
    return [made["series"], "", text.aligned(header, lines), "", *said]


def _interval(value: dict[str, float] | None, form: text.Form) -> str:
    return text.span(value["low"], value["high"], form) if value else "n too small"
