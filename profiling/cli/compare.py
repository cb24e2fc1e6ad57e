"""python -m profiling compare RUN RUN: two runs side by side, and the ratio of the second to the first.

Of two studies it says which points became faster or slower from the first to the second. With --fail-if-slower 5% its
exit status is 1 if a point is slower by so much or more, or has no run any more in the second study.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from launch.cli.names import Named
from launch.errors import Refusal, command
from launch.plan import options
from launch.record.rundir import RunDir
from launch.record.study import is_study
from profiling import text
from profiling.cli import overview
from profiling.study.confidence import Interval


@dataclass(frozen=True)
class Options(Named):
    """The options of the verb."""

    json: bool = False  # print JSON
    fail_if_slower: str | None = None  # of studies: exit status 1 if a point is slower by this or more, as 5%


def main(argv: Sequence[str]) -> int:
    """Print what the verb says; return the exit status."""
    printed, status = _compared(argv)
    print(printed)
    return status


def run(argv: Sequence[str]) -> str:
    """What the verb prints."""
    return _compared(argv)[0]


def _compared(argv: Sequence[str]) -> tuple[str, int]:
    paths, chosen = options.with_files(Options, argv, ["RUN|STUDY", "RUN|STUDY"])
    studies = [path for path in paths if is_study(path)]
    if len(studies) == 1:
        raise Refusal(f"{studies[0]} is a study and the other is none: give two runs or two studies")
    if studies:
        return _studies(paths[0], paths[1], chosen)
    if chosen.fail_if_slower is not None:
        raise Refusal("--fail-if-slower is for two studies: of two runs it is not known how much runs differ")
    return _runs(paths, chosen), 0


def _studies(first: Path, second: Path, chosen: Options) -> tuple[str, int]:
    from profiling.cli import inputs  # needs NumPy
    from profiling.study import changes

    part = None if chosen.fail_if_slower is None else _part(chosen.fail_if_slower)
    found = changes.between(inputs.study(first), inputs.study(second))
    heads = [f"first : {first}", f"second: {second}"]
    said = [*heads, "", changes.table(found), "", *changes.lines(found)]
    failed = []
    if part is not None:
        slower = [point for point in found.points if point.slower_by(part)]
        failed = [f"slower by {100 * part:g} % or more: {text.plural(len(slower), 'point')}"] if slower else []
        failed += [f"without a run to compare: {text.plural(len(found.only[0]), 'point')}"] if found.only[0] else []
    if chosen.json:
        return json.dumps(changes.document(found) | {"failed": failed}, indent=1), bool(failed)
    return "\n".join([*said, *(f"FAILED: {why}" for why in failed)]), bool(failed)


def _part(word: str) -> float:
    """A part, as 5% or 0.05."""
    if match := re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", word):
        part = float(match[1]) / (100 if match[2] else 1)
        if 0 < part < 1:
            return part
    raise Refusal(f"--fail-if-slower is {word!r}: give a part of the throughput between 0 and 100 %, as 5% or 0.05")


def _runs(paths: Sequence[Path], chosen: Options) -> str:
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
