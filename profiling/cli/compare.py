"""python -m profiling compare RUN RUN: two runs side by side, and the ratio of the second to the first.

Of two studies it says which points became faster or slower from the first to the second, of more from the first to the
last, and their history: compare MONDAY TUESDAY WEDNESDAY --out FOLDER draws it; one that cannot be compared is named.
With --fail-if-slower 5% its exit status is 1 if a point is slower by so much or more, or has no run any more in the
last study.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.cli.names import Named
from launch.errors import Refusal, command
from launch.plan import options
from launch.record.rundir import RunDir
from launch.record.study import is_study
from profiling import text
from profiling.cli import overview
from profiling.study.confidence import Interval

if TYPE_CHECKING:
    from profiling.study.runs import Study


@dataclass(frozen=True)
class Options(Named):
    """The options of the verb."""

    json: bool = False  # print JSON
    fail_if_slower: str | None = None  # of studies: exit status 1 if a point is slower by this or more, as 5%
    out: Path | None = None  # of studies: folder for the figure of their history, history.svg, .pdf and .png


def main(argv: Sequence[str]) -> int:
    """Print what the verb says; return the exit status."""
    printed, status = _compared(argv)
    print(printed)
    return status


def run(argv: Sequence[str]) -> str:
    """Return what the verb prints."""
    return _compared(argv)[0]


def _compared(argv: Sequence[str]) -> tuple[str, int]:
    chosen, words = options.with_words(Options, argv, "compare")
    if len(words) < 2:
        given = " ".join(words) or "nothing"
        raise Refusal(f"compare needs two runs, or two studies or more, and was given {given}: give it that")
    paths = [chosen.path(word) for word in words]
    studies = [path for path in paths if is_study(path)]
    if studies and len(studies) < len(paths):
        other = next(path for path in paths if path not in studies)
        raise Refusal(f"{studies[0]} is a study and {other} is none: give two runs, or two studies or more")
    if studies:
        return _studies(paths, chosen)
    if len(paths) > 2:
        raise Refusal(f"compare takes two runs, and was given {len(paths)}: a study has many")
    if chosen.fail_if_slower is not None or chosen.out:
        option = "--out" if chosen.out else "--fail-if-slower"
        raise Refusal(f"{option} is for studies: of two runs it is not known how much runs differ")
    return _runs(paths, chosen), 0


def _studies(paths: Sequence[Path], chosen: Options) -> tuple[str, int]:
    """Compare the last study with the first; with more than two studies, also show their history.

    Raises
    ------
    Refusal
        If no study can be compared with the first. A study that may not be slower fails then.
    """
    from profiling.cli import inputs  # needs NumPy
    from profiling.study import changes

    def read(path: Path) -> "Study | Refusal":
        try:
            return inputs.study(path)
        except Refusal as refusal:
            return refusal

    slower = None if chosen.fail_if_slower is None else changes.part(chosen.fail_if_slower)
    all_changes = changes.history(inputs.study(paths[0]), [(path, read(path)) for path in paths[1:]])
    *between, last = all_changes
    compared = any(each.points for each in all_changes)
    if last.why and not compared and slower is None:
        raise Refusal(last.why)
    failed = changes.failed(last, slower)
    content = changes.document(last) | {"failed": failed}
    if between:
        content["studies"] = [changes.document(each) for each in all_changes]
    drawn = content | {"studies": content.get("studies", [content])}
    written = _history(chosen.out, drawn) if chosen.out and compared else []
    if chosen.json:
        return json.dumps(content, indent=1), bool(failed)
    heads = [f"first : {paths[0]}", f"{'second' if len(paths) == 2 else 'last  '}: {paths[-1]}"]
    table = [changes.table(last), ""] if last.points else []
    said = [*heads, "", *table, *(line for each in between if each.why for line in changes.lines(each))]
    said += changes.lines(last)
    if between and compared:
        from profiling.reporting import history_table

        said += ["", f"throughput over that in {paths[0].name}", "", history_table.table(content), ""]
    return "\n".join([*said, *written, *(f"FAILED: {why}" for why in failed)]), bool(failed)


def _history(folder: Path, content: dict[str, Any]) -> list[str]:
    try:
        from profiling.reporting import history
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise Refusal("--out needs matplotlib, which draws the figure: install it, or leave --out out") from None
    return [f"figure: {history.write(folder, content)}"]


def _runs(paths: Sequence[Path], chosen: Options) -> str:
    first, second = (overview.document(run, overview.state(run)) for run in map(RunDir.open, paths))
    comparison = document(first, second)
    return json.dumps(comparison, indent=1) if chosen.json else as_text(comparison)


_OF_THE_RUNS = "of the runs"  # stands for the unit of their throughput

# What is compared: title, keys in the document, unit, factor from the document's unit to this one.
_COMPARED = (
    ("step, median", ("steps", "median_seconds"), "ms", 1e3),
    ("step, 99th percentile", ("steps", "worst_hundredth_seconds"), "ms", 1e3),
    ("throughput", ("throughput",), _OF_THE_RUNS, 1),
    ("waiting for batches", ("steps", "input_share"), "% of time", 100),
    ("waiting for ranks, updating", ("steps", "waiting_share"), "% of time", 100),
    ("load balance", ("steps", "load_balance"), "", 1),
    ("GPU utilisation", ("gpus", "gpu_utilization", "mean"), "%", 100),
    ("SM activity", ("gpus", "sm_activity", "mean"), "%", 100),
    ("tensor activity", ("gpus", "tensor_activity", "mean"), "%", 100),
    ("GPU power, each", ("gpus", "power_w", "mean"), "W", 1),
    ("energy", ("gpus", "joules_per_example"), "J/example", 1),
    ("GPU memory, peak", ("gpus", "memory_peak_bytes", "greatest", "value"), "GiB", 2**-30),
    ("SM clock", ("gpus", "sm_clock_mhz", "mean"), "MHz", 1),
    ("CPU per rank", ("processes", "cpu_cores", "mean"), "cores", 1),
    ("memory per rank, peak", ("processes", "rss_peak_bytes", "greatest", "value"), "GiB", 2**-30),
)


def document(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Compare two documents of `profiling.cli.overview`; docs/readings.md describes the keys."""
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
    """Return the interval of the ratio of two median steps from those of both (MOVER on logs: Zou & Donner 2008).

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
    """Return the comparison as a table."""
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
