"""python -m profiling report STUDY|TABLE: the scaling table, with intervals; a report is written as well: for a study
into STUDY/report/, for a table into the folder that --out names.

For a study of several series, or of one number of nodes, it is the table of its points, as in `table`.
"""

import functools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from launch.errors import Refusal, command
from launch.plan import options
from launch.plan.figures import Scaling
from launch.record.study import is_study
from launch.record.table import aligned
from launch.record.writing import publish
from profiling import text
from profiling.cli import export, inputs, table
from profiling.cli.costed import Costed
from profiling.cli.inputs import OfTable
from profiling.prediction import prediction
from profiling.reporting import columns, document, latex, markdown, of_table, sweep_table
from profiling.reporting.columns import Column
from profiling.study import changes, cost, sweep, tables
from profiling.study.runs import Study


@dataclass(frozen=True)
class Options(OfTable, Costed):
    """The options of the verb."""

    series: str | None = None  # which series, if the table or study has several
    by: str | None = None  # for a sweep, the figure that its points are sorted by; by default all figures are shown
    scaling: Scaling | None = None  # for programs that do not report their work; by default that of the study
    format: Literal["text", "markdown"] = "text"  # of the table that is printed
    json: bool = False  # print JSON, and write nothing
    against: str | None = None  # another study: which points became faster or slower since
    fail_if_slower: str | None = None  # with --against: exit status 1 if a point is slower by this or more, as 5%
    remark: str = ""  # what else the reader of the report has to know
    out: Path | None = None  # folder of the report; of a study STUDY/report by default, of a table none


def main(argv: Sequence[str]) -> int:
    """Print what the verb says; return the exit status."""
    printed, failed = _reported(argv)
    print(printed)
    return int(failed)


def run(argv: Sequence[str]) -> str:
    """Return what the verb prints."""
    return _reported(argv)[0]


def _reported(argv: Sequence[str]) -> tuple[str, bool]:
    (path,), chosen = options.with_files(Options, argv, ["STUDY|TABLE"])
    if chosen.fail_if_slower and not chosen.against:
        raise Refusal("--fail-if-slower says by how much against what: give the other study with --against too")
    if not is_study(path):
        return _of_table(path, chosen), False
    inputs.refuse_for_study(path, chosen.asked)
    tariff = chosen.tariff
    if chosen.series is None and sweep.is_sweep(path):
        if chosen.against:
            raise Refusal(
                f"--against is for a scaling table: {command('compare', chosen.against, path)} compares all points"
            )
        return _of_sweep(path, chosen), False
    if chosen.by:
        raise Refusal(f"--by is for the points of a sweep, and this is one series of {path}: leave it out")
    whole = inputs.study(path, chosen.scaling)
    study = tables.choose(whole, chosen.series)
    content = document.document(study, tables.of_study(study), chosen.remark, tariff)
    failed: list[str] = []
    if chosen.against:
        slower = None if chosen.fail_if_slower is None else changes.part(chosen.fail_if_slower)
        found = changes.between(tables.choose(inputs.study(chosen.path(chosen.against)), chosen.series), study)
        content["against"] = changes.document(found)
        failed = changes.failed(found, slower)
        content["against"] |= {"failed": failed}
        content["notes"] += [f"against {found.first}: {line}" for line in changes.lines(found)]
    if chosen.json:
        return json.dumps(content, indent=1, ensure_ascii=False), bool(failed)
    folder = chosen.out or path / "report" / ("" if len(whole.series) == 1 else _name(whole, study))
    ahead = [_predicted(content)] if chosen.format == "text" else []
    written = write(folder, functools.partial(_spreadsheets, study), content)
    said = [printed(content, chosen.format), *ahead, written, *(f"FAILED: {why}" for why in failed)]
    return "\n".join(said), bool(failed)


def _of_table(path: Path, chosen: Options) -> str:
    """Return the table of one series or of all; with ``--out``, also write the whole report."""
    tables.refuse_run(path)
    if chosen.by or chosen.scaling or chosen.against or chosen.remark and not chosen.out:
        own = {"--scaling": chosen.scaling, "--by": chosen.by, "--against": chosen.against, "--remark": chosen.remark}
        option = next(name for name, value in own.items() if value)
        advice = {"--scaling": "say --kind", "--remark": "say --out FOLDER too"}.get(option, "leave it out")
        raise Refusal(f"{option} is for the report of a study, and {path} is a table: {advice}")
    chosen.refuse_for_table(path)
    found = tables.read_all(path, chosen.asked)
    if chosen.series:
        found = [tables.read(path, chosen.series, chosen.asked)]
    if chosen.json and not chosen.out:
        contents = [document.table(series) for series in found]
        return json.dumps(contents[0] if len(contents) == 1 else contents, indent=1, ensure_ascii=False)
    shown = [printed(document.table(series), chosen.format) for series in found]
    if len(shown) > 1:
        ahead = found[0].understood
        shown = [one.removeprefix(f"{ahead}\n\n") if place else one for place, one in enumerate(shown)]
    if chosen.out:
        shown.append(write(chosen.out, _of_series, document.of_table(path.stem, found, chosen.remark)))
    elif chosen.format == "text":
        shown.append(f"as a page, with figures and a prediction: {command('report', path, '--out')} FOLDER")
    return "\n\n".join(shown)


def _of_series(content: dict[str, Any]) -> dict[str, str]:
    return {
        "table.csv": export.as_csv([_flat(row) for row in of_table.flat(content)]),
        "runs.csv": export.as_csv(of_table.repeats(content)),
    }


def _of_sweep(path: Path, chosen: Options) -> str:
    content = document.of_sweep(inputs.sweep(path), chosen.by, chosen.remark)
    if chosen.json:
        return json.dumps(content, indent=1, ensure_ascii=False)
    points = content["sweep"]
    lines = [table.FORMS[chosen.format](points), write(chosen.out or path / "report", _of_points, content)]
    if len({point["nodes"] for point in points["points"]}) > 1:
        lines.append(f"the scaling table of one of its series: {command('report', path, '--series')} NAME")
    return "\n".join(lines)


def _spreadsheets(study: Study, content: dict[str, Any]) -> dict[str, str]:
    return {
        "table.csv": export.as_csv([_flat(row) for row in content["rows"]]),
        "runs.csv": export.as_csv(export.rows(study, content["kind"])),
    }


def _of_points(content: dict[str, Any]) -> dict[str, str]:
    points = content["sweep"]
    return {
        "table.csv": f"{table.FORMS['csv'](points)}\n",
        "runs.csv": export.as_csv(sweep_table.of_runs(points)),
    }


def write(folder: Path, spreadsheets: Callable[[dict[str, Any]], dict[str, str]], content: dict[str, Any]) -> str:
    """Write a report in all its forms, and return where it is; ``spreadsheets`` makes its CSV files.

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
        drawn = {}  # a site's own environment may lack it
    else:
        drawn = figures.draw(content)
    from profiling.reporting import page  # needs Jinja2, which tables do without

    files = {
        "report.json": json.dumps(content, indent=1, ensure_ascii=False) + "\n",
        **spreadsheets(content),
        "table.tex": latex.tables(content),
        "report.md": markdown.report(content, drawn),
        "index.html": page.page(content, drawn),
    }
    try:
        (folder / "figures" if drawn else folder).mkdir(parents=True, exist_ok=True)
        for name, plot in drawn.items():
            plot.save(folder / "figures", name)
        for name, written in files.items():
            publish(folder / name, written)
    except OSError as error:
        raise Refusal(f"cannot write the report {folder} ({error.strerror}): give a folder with --out") from None
    return f"report: {folder / 'index.html'}" + ("" if drawn else " (without figures: matplotlib is not installed)")


def _name(whole: Study, study: Study) -> str:
    """Return the folder name of a series of a study; if two names would be equal, number the later one."""
    names = [re.sub(r"[^A-Za-z0-9.+-]+", "_", series)[:160] for series in whole.series]
    place = whole.series.index(study.series[0])
    before = names[:place].count(names[place])
    return names[place] + f"-{before + 1}" * (before > 0)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without nested values: an interval becomes two columns."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if key.endswith("_interval"):
            flat |= {f"{key.removesuffix('interval')}{end}": value and value[end] for end in ("low", "high")}
        else:
            flat[key] = " ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return flat


def _predicted(content: dict[str, Any]) -> str:
    """Return the report's prediction for larger sizes, as a table for the terminal."""
    ahead = content["prediction"]
    asked = [forecast for forecast in ahead["predictions"] if forecast["workers"] in ahead["asked"]]
    shown = prediction.columns(content["unit"], ahead["confidence"], content["works"], ahead["holds"])
    why = "" if ahead["holds"] else "the fit does not hold, as said above: do not plan with it\n"
    return f"\nPREDICTION, not measured\n\n{text.table(shown, asked)}\n{why}"


def printed(content: dict[str, Any], form: str) -> str:
    """Return the table for the terminal ("text") or in Markdown ("markdown"), with the notes for its reader."""
    interval = f"{100 * content['confidence']:.0f} % CI"
    shown = (
        Column("workers", content["works"]),
        Column("repeats", "repeats"),
        Column("throughput", "throughput [{unit}]"),
        Column("throughput_interval", interval),
        Column("speedup", "speed-up"),
        Column("efficiency", "efficiency", "percent"),
        Column("efficiency_interval", interval, "percent"),
        Column("slowest", "slowest"),
        Column("fastest", "fastest"),
        *(Column(key, title) for key, title in cost.COLUMNS if content.get("cost")),
    )
    shown = columns.present(shown, content["rows"])
    currency = (content.get("cost") or {}).get("currency", "")
    header, rows = columns.cells(shown, content["rows"], content["unit"], currency=currency)
    head, table, mark = content["series"], aligned([header, *rows], ">"), ""
    if form == "markdown":
        head, table, mark = f"## {head}", text.markdown(header, rows), "- "
    notes = [*content["notes"], *content["problems"]]
    ahead = [content["understood"], ""] if "understood" in content else []
    return "\n".join([*ahead, head, "", table, "", *(f"{mark}{note}" for note in notes)])
