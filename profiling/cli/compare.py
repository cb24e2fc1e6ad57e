"""python -m profiling compare RUN RUN: two runs side by side, and the second by the first."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from launch.errors import Refusal
from launch.record.rundir import RunDir
from profiling import text
from profiling.cli import arguments, overview
from profiling.study.confidence import Interval


@dataclass(frozen=True)
class Options:
    """The options of the verb."""

    json: bool = False  # the same, for programs


def run(argv: Sequence[str]) -> str:
    """What the verb prints; the words behind it are RUN, RUN and options.

    Raises
    ------
    Refusal
        Bad words, a folder that is no run, two runs that have nothing in common to compare.
    """
    paths, options = arguments.parse(Options, argv, ["RUN", "RUN"])
    first, second = (overview.document(RunDir.open(path)) for path in paths)
    made = document(first, second)
    return json.dumps(made, indent=1) if options.json else as_text(made)


# What is compared: title, place in the document, unit, by how much it is multiplied for the reader.
_COMPARED = (
    ("step, median", ("steps", "median_seconds"), "ms", 1e3),
    ("step, 1 of 100 above", ("steps", "worst_hundredth_seconds"), "ms", 1e3),
    ("throughput", ("steps", "throughput_examples_per_s"), "examples/s", 1),
    ("waiting for batches", ("steps", "input_share"), "% of time", 100),
    ("waiting for ranks, updating", ("steps", "waiting_share"), "% of time", 100),
    ("load balance", ("steps", "load_balance"), "", 1),
    ("GPU utilisation", ("gpus", "gpu_utilization", "mean"), "%", 100),
    ("GPU power, each", ("gpus", "power_w", "mean"), "W", 1),
    ("energy", ("gpus", "joules_per_example"), "J/example", 1),
    ("GPU memory, peak", ("gpus", "memory_peak_bytes", "greatest", "value"), "GiB", 2**-30),
    ("SM clock", ("gpus", "sm_clock_mhz", "mean"), "MHz", 1),
    ("CPU of a rank", ("processes", "cpu_cores", "mean"), "cores", 1),
    ("memory of a rank, peak", ("processes", "rss_peak_bytes", "greatest", "value"), "GiB", 2**-30),
)


def document(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The comparison of two documents of `profiling.cli.overview`; its keys are described in docs/readings.md."""
    rows = []
    for title, place, unit, factor in _COMPARED:
        values = [_at(one, place) for one in (first, second)]
        if None in values:
            continue
        interval = step_ratio(first["steps"], second["steps"]) if place == ("steps", "median_seconds") else None
        rows.append(
            {
                "what": title,
                "unit": unit,
                "first": values[0] * factor,
                "second": values[1] * factor,
                "ratio": values[1] / values[0] if values[0] else None,
                "ratio_interval": interval and asdict(interval),
            }
        )
    if not rows:
        raise Refusal(
            f"{first['run']} and {second['run']} have no number in common: see python -m profiling summary of each"
        )
    names = ("run", "workload", "state", "nodes", "ranks")
    return {
        "format": 1,
        "first": {name: first[name] for name in names},
        "second": {name: second[name] for name in names},
        "rows": rows,
    }


def step_ratio(first: dict[str, Any], second: dict[str, Any]) -> Interval | None:
    """Interval of the ratio of two median steps, from the intervals of both (MOVER: Zou & Donner 2008, on logarithms).

    It tells how sure the ratio of these two runs is, not how runs differ from each other: that takes repeats.
    """
    if not (first["median_interval"] and second["median_interval"]):
        return None
    (a, a_low, a_high), (b, b_low, b_high) = (
        [math.log(value) for value in (one["median_seconds"], *one["median_interval"].values())]
        for one in (first, second)
    )
    return Interval(
        math.exp(b - a - math.hypot(b - b_low, a_high - a)), math.exp(b - a + math.hypot(b_high - b, a - a_low))
    )


def as_text(made: dict[str, Any]) -> str:
    """The comparison as a table."""
    lines = []
    for row in made["rows"]:
        interval = row["ratio_interval"]
        lines.append(
            [
                f"{row['what']} [{row['unit']}]" if row["unit"] else row["what"],
                text.number(row["first"]),
                text.number(row["second"]),
                "" if row["ratio"] is None else f"{row['ratio']:.3f}",
                text.span(interval["low"], interval["high"], lambda value: f"{value:.3f}") if interval else "",
            ]
        )
    width = max(len(line[0]) for line in lines)
    heads = [
        f"{word}: {one['run']}: {one['workload']}, {one['state']}, {one['nodes']} nodes, {one['ranks']} ranks"
        for word, one in (("first ", made["first"]), ("second", made["second"]))
    ]
    table = text.aligned(
        ["".ljust(width), "first", "second", "second / first", "95 %"],
        [[line[0].ljust(width), *line[1:]] for line in lines],
    )
    note = "the interval is of these two runs; how much runs differ by themselves takes repeats: python -m profiling report STUDY"
    return "\n".join([*heads, "", table, "", note])


def _at(document: dict[str, Any], place: Sequence[str]) -> float | None:
    found: Any = document
    for key in place:
        found = found.get(key) if isinstance(found, dict) else None
    return found
