"""python -m profiling compare RUN RUN: two runs side by side, and the ratio of the second to the first."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from launch.cli.names import Named
from launch.errors import Refusal, command
from launch.plan import options
from launch.record.rundir import RunDir
from profiling import text
from profiling.cli import overview
from profiling.study.confidence import Interval


@dataclass(frozen=True)
class Options(Named):
    """The options of the verb."""

    json: bool = False  # print JSON


def run(argv: Sequence[str]) -> str:
    """What the verb prints."""
    paths, chosen = options.with_files(Options, argv, ["RUN", "RUN"])
    first, second = (overview.document(run, overview.state(run)) for run in map(RunDir.open, paths))
    comparison = document(first, second)
    return json.dumps(comparison, indent=1) if chosen.json else as_text(comparison)


_OF_THE_RUNS = "of the runs"  # a unit

# What is compared: title, keys in the document, unit, factor from the document's unit to this one.
_COMPARED = (
    ("step, median", ("steps", "median_seconds"), "ms", 1e3),
    ("step, 99th percentile", ("steps", "worst_hundredth_seconds"), "ms", 1e3),
    ("throughput", ("throughput",), _OF_THE_RUNS, 1),
    ("waiting for batches", ("steps", "input_share"), "% of time", 100),
    ("waiting for ranks, updating", ("steps", "waiting_share"), "% of time", 100),
    ("load balance", ("steps", "load_balance"), "", 1),
    ("GPU utilisation", ("gpus", "gpu_utilization", "mean"), "%", 100),
    ("GPU power, each", ("gpus", "power_w", "mean"), "W", 1),
    ("energy", ("gpus", "joules_per_example"), "J/example", 1),
    ("GPU memory, peak", ("gpus", "memory_peak_bytes", "greatest", "value"), "GiB", 2**-30),
    ("SM clock", ("gpus", "sm_clock_mhz", "mean"), "MHz", 1),
    ("CPU per rank", ("processes", "cpu_cores", "mean"), "cores", 1),
    ("memory per rank, peak", ("processes", "rss_peak_bytes", "greatest", "value"), "GiB", 2**-30),
)


def document(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The comparison of two documents of `profiling.cli.overview`; its keys are described in docs/readings.md."""
    rows = []
    for title, keys, unit, factor in _COMPARED:
        one, other = _at(first, keys), _at(second, keys)
        if unit == _OF_THE_RUNS:
            unit = first["unit"]
            other = other if unit == second["unit"] else None
        if one is None or other is None:
            continue
        interval = step_ratio(first["steps"], second["steps"]) if title == _COMPARED[0][0] else None
        rows.append(
            {
                "what": title,
                "unit": unit,
                "first": one * factor,
                "second": other * factor,
                "ratio": other / one if one else None,
                "ratio_interval": interval and asdict(interval),
            }
        )
    if not rows:
        raise Refusal(f"{first['run']} and {second['run']} have no number in common: see the summary of each")
    names = ("run", "workload", "state", "nodes", "ranks")
    described = {which: {name: run[name] for name in names} for which, run in (("first", first), ("second", second))}
    return {"format": 1, **described, "rows": rows}


def step_ratio(first: dict[str, Any], second: dict[str, Any]) -> Interval | None:
    """Interval of the ratio of two median steps, from the intervals of both (MOVER: Zou & Donner 2008, on logarithms).

    It says how certain the ratio of these two runs is, not how much runs vary: that takes repeats.
    """
    if not (first["median_interval"] and second["median_interval"]):
        return None
    (a, a_low, a_high), (b, b_low, b_high) = (
        [math.log(value) for value in (steps["median_seconds"], *steps["median_interval"].values())]
        for steps in (first, second)
    )
    return Interval(
        math.exp(b - a - math.hypot(b - b_low, a_high - a)), math.exp(b - a + math.hypot(b_high - b, a - a_low))
    )


def as_text(comparison: dict[str, Any]) -> str:
    """The comparison as a table."""
    columns = [
        ("", lambda row: f"{row['what']} [{row['unit']}]" if row["unit"] else row["what"]),
        ("first", text.value("first")),
        ("second", text.value("second")),
        ("second / first", text.value("ratio", "{:.3f}".format)),
        (
            "95 %",
            text.value("ratio_interval", lambda bounds: text.span(bounds["low"], bounds["high"], "{:.3f}".format)),
        ),
    ]
    heads = [
        f"{which:<6}: {run['run']}: {run['workload']}, {run['state']}, {text.plural(run['nodes'], 'node')}, "
        f"{text.plural(run['ranks'], 'rank')}"
        for which, run in (("first", comparison["first"]), ("second", comparison["second"]))
    ]
    note = (
        "the interval is of these two runs; how much runs differ by themselves takes repeats: "
        f"{command('report STUDY')}"
    )
    return "\n".join([*heads, "", text.table(columns, comparison["rows"], "<>"), "", note])


def _at(document: dict[str, Any], keys: Sequence[str]) -> float | None:
    value: Any = document
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
