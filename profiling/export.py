"""python -m profiling export STUDY --to csv|json: what was measured of each run, as a table that other programs read."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from launch.errors import Refusal
from profiling import arguments, runs, tables
from profiling.runs import Run, Study


@dataclass(frozen=True)
class Options:
    """The options of the verb."""

    to: Literal["csv", "json"]  # the form
    series: str | None = None  # which series, where the study holds several; all by default


def run(argv: Sequence[str]) -> str:
    """What the verb prints; the words behind it are STUDY and options. What was left out is told on standard error.

    Raises
    ------
    Refusal
        Bad words, no study, no run that can be timed.
    """
    (path,), options = arguments.parse(Options, argv, ["STUDY"])
    if not runs.is_study(path):
        raise Refusal(f"{path} is not the folder of a study: give one that python -m launch --nodes 1,2,4 has made")
    whole = runs.read(path)
    chosen = [tables.choose(whole, name) for name in ([options.series] if options.series else whole.series)]
    for name, why in (left for study in chosen for left in study.left_out):
        print(f"profiling: left out: {name}: {why}", file=sys.stderr)
    table = [row for study in chosen for row in rows(study, runs.kind(study))]
    return json.dumps(table, indent=1) if options.to == "json" else as_csv(table).rstrip("\n")


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


def _row(run: Run, kind: str) -> dict[str, Any]:
    steps = run.steps
    return {
        "name": run.series,
        "kind": kind,
        "workers": run.ranks,
        "throughput": run.throughput,
        "unit": "examples/s",
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
        "input_share": float(steps.input_seconds.sum() / steps.seconds.sum()),
        "attempts": run.result.get("attempts"),
        "started_unix_s": run.started,
        "ended_unix_s": run.ended,
        **{f"phase_{name}_s": seconds for name, seconds in run.result.get("phases_s", {}).items()},
        **{f"metric_{name}": value for name, value in run.result.get("metrics", {}).items()},
    }
