"""python -m profiling export STUDY --to csv|parquet|json: what was measured of each run, as a table that other programs read."""

import csv
import io
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from launch.errors import Refusal
from profiling.cli import arguments
from profiling.study import runs, tables
from profiling.study.runs import Run, Study


@dataclass(frozen=True)
class Options:
    """The options of the verb."""

    to: Literal["csv", "parquet", "json"]  # the form
    out: Path | None = None  # file to write; parquet needs one, the others are printed without
    series: str | None = None  # which series, where the study holds several; all by default


def run(argv: Sequence[str]) -> str:
    """What the verb prints; the words behind it are STUDY and options. What was left out is told on standard error.

    Raises
    ------
    Refusal
        Bad words, no study, no run that can be timed, a file that cannot be written.
    """
    (path,), options = arguments.parse(Options, argv, ["STUDY"])
    if options.to == "parquet" and not options.out:
        raise Refusal("--to parquet makes no text that can be printed: give a file with --out")
    if not runs.is_study(path):
        raise Refusal(f"{path} is not the folder of a study: give one that python -m launch --nodes 1,2,4 has made")
    whole = runs.read(path)
    chosen = [tables.choose(whole, name) for name in ([options.series] if options.series else whole.series)]
    for name, why in (left for study in chosen for left in study.left_out):
        print(f"profiling: left out: {name}: {why}", file=sys.stderr)
    table = [row for study in chosen for row in rows(study, runs.kind(study))]
    if options.to == "parquet":
        content = as_parquet(table)
    else:
        content = (json.dumps(table, indent=1) + "\n" if options.to == "json" else as_csv(table)).encode()
    if not options.out:
        return content.decode().rstrip("\n")
    try:
        options.out.write_bytes(content)
    except OSError as error:
        raise Refusal(f"cannot write {options.out} ({error.strerror}): give another file with --out") from None
    return f"{len(table)} runs: {options.out}"


def rows(study: Study, kind: str) -> list[dict[str, Any]]:
    """A row for each run of a series; `tables.read` understands them too."""
    return [_row(run, kind) for run in study.runs]


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as CSV with a header: all keys, in the order in which they first appear."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, keys, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def as_parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as Parquet, with the columns and types that their JSON has; what is no finite number is null."""
    import duckdb

    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as database:
        lines, file = Path(folder) / "rows.jsonl", Path(folder) / "rows.parquet"
        finite = (
            {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()} for row in rows
        )
        lines.write_text("".join(json.dumps(row) + "\n" for row in finite), encoding="utf-8")
        database.execute(f"COPY (SELECT * FROM read_json('{lines}', sample_size=-1)) TO '{file}' (FORMAT parquet)")
        return file.read_bytes()


def _row(run: Run, kind: str) -> dict[str, Any]:
    steps = run.steps
    return {
        "name": run.series,
        "kind": kind,
        "workers": run.ranks,
        "throughput": run.throughput,
        "unit": steps.unit,
        "run": run.name,
        "repeat": run.repeat,
        "nodes": run.nodes,
        "gpus": run.gpus,
        "global_batch": steps.examples,
        "steps_timed": len(steps.number),
        "steps_left_out": sum(steps.left_out.values()),
        "step_median_s": float(np.median(steps.of_chief)),
        "step_mean_s": float(steps.of_chief.mean()),
        "step_fastest_s": float(steps.of_chief.min()),
        "step_slowest_s": float(steps.of_chief.max()),
        "input_share": steps.input_share,
        "attempts": run.result.get("attempts"),
        "started_unix_s": run.started,
        "ended_unix_s": run.ended,
        **{f"phase_{name}_s": seconds for name, seconds in run.result.get("phases_s", {}).items()},
        **{f"metric_{name}": value for name, value in run.result.get("metrics", {}).items()},
    }
