"""python -m profiling export STUDY --to csv|parquet|json: a row per run, for other programs."""

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

from launch.cli.names import Named
from launch.errors import Refusal, command
from launch.plan import options
from launch.plan.figures import Scaling
from launch.record.study import is_study
from profiling.cli import inputs
from profiling.study import runs, tables
from profiling.study.run import Run
from profiling.study.runs import Study


@dataclass(frozen=True)
class Options(Named):
    """The options of the verb."""

    to: Literal["csv", "parquet", "json"]  # the format
    out: Path | None = None  # the file to write; csv and json are printed by default, parquet needs a file
    series: str | None = None  # which series, if the study has several; all by default
    scaling: Scaling | None = None  # for programs that do not report their work; by default that of the study


def run(argv: Sequence[str]) -> str:
    """Return what the verb prints; name the runs that are left out on standard error."""
    (path,), chosen = options.with_files(Options, argv, ["STUDY"])
    if chosen.to == "parquet" and not chosen.out:
        raise Refusal("--to parquet is not text that can be printed: give a file with --out")
    if not is_study(path):
        raise Refusal(f"{path} is not the folder of a study: make one with {command('--nodes 1,2,4 WORKLOAD')}")
    study = inputs.study(path, chosen.scaling)
    parts = [tables.choose(study, name) for name in ([chosen.series] if chosen.series else study.series)]
    for name, why in (left for part in parts for left in part.left_out.items()):
        print(f"left out: {name}: {why}", file=sys.stderr)
    table = [row for part in parts for row in rows(part, runs.kind(part))]
    if chosen.to == "parquet":
        content = as_parquet(table)
    else:
        content = (json.dumps(table, indent=1) + "\n" if chosen.to == "json" else as_csv(table)).encode()
    if not chosen.out:
        return content.decode().rstrip("\n")
    try:
        chosen.out.write_bytes(content)
    except OSError as error:
        raise Refusal(f"cannot write {chosen.out} ({error.strerror}): give another file with --out") from None
    return f"{len(table)} runs: {chosen.out}"


def rows(study: Study, kind: str) -> list[dict[str, Any]]:
    """Return a row per run of a series, in a form that `tables.read` can read too."""
    return [
        {
            "name": run.series,
            "kind": kind,
            "workers": run.ranks,
            "throughput": run.throughput,
            "unit": run.unit,
            "run": run.name,
            "repeat": run.repeat,
            "nodes": run.nodes,
            "gpus": run.gpus,
            **({"work": run.work, "run_s": run.seconds} if run.steps.whole else _steps(run)),
            "attempts": run.result.get("attempts"),
            "started_unix_s": run.started,
            "ended_unix_s": run.ended,
            **{f"phase_{name}_s": seconds for name, seconds in run.phases.items()},
            **{f"metric_{name}": value for name, value in (run.result.get("metrics") or {}).items()},
        }
        for run in study.runs
    ]


def _steps(run: Run) -> dict[str, Any]:
    seconds = run.steps.lengths
    return {
        "global_batch": run.steps.examples,
        "steps_timed": len(run.steps.number),
        "steps_left_out": sum(run.steps.left_out.values()),
        "step_median_s": float(np.median(seconds)),
        "step_mean_s": float(seconds.mean()),
        "step_fastest_s": float(seconds.min()),
        "step_slowest_s": float(seconds.max()),
        "input_share": run.steps.input_share,
    }


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as CSV whose header has all keys, in the order in which they first appear."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, keys, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def as_parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return rows as Parquet with the columns and types of their JSON; numbers that are not finite become null."""
    import duckdb

    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as database:
        lines, file = Path(folder) / "rows.jsonl", Path(folder) / "rows.parquet"
        finite = (
            {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()} for row in rows
        )
        lines.write_text("".join(json.dumps(row) + "\n" for row in finite), encoding="utf-8")
        database.execute(f"COPY (SELECT * FROM read_json('{lines}', sample_size=-1)) TO '{file}' (FORMAT parquet)")
        return file.read_bytes()
