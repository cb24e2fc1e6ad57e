"""python -m profiling watch [RUN|FOLDER ...]: a run as it goes: throughput, GPUs, power, imbalance, in the terminal; or
the states of all runs in folders, by default of those in the folder runs."""

import contextlib
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Annotated, Any

from launch.cli import status
from launch.cli.names import Named
from launch.plan import options
from launch.plan.typed import Bounds
from launch.plan.walltime import clock
from launch.record.activity import activity
from launch.record.contents import PlanRecord
from launch.record.files import Unreadable, objects, read_end
from launch.record.performance.pace import pace
from launch.record.performance.steps import StepReader
from launch.record.rundir import RunDir
from launch.record.table import aligned
from launch.screen import Screen, is_live
from launch.submit.states import Known
from profiling import text
from profiling.cli import overview

_NODES = 64  # nodes that are read at each look; in a larger run they stand for all nodes
_TAIL = 16384  # bytes read at the end of each node's files: a few seconds of records


@dataclass(frozen=True)
class Options(Named):
    """The options of the verb."""

    # seconds between looks; by default 2 on a terminal, else 60
    every: Annotated[float, Bounds(0.1, 3600)] | None = None
    once: bool = False  # look once and end


def run(argv: Sequence[str]) -> str:
    """Show a run, or all runs of folders, until they end or Ctrl-C; return the last look.

    Raises
    ------
    Refusal
        If something named is neither a run nor a folder with runs.
    """
    chosen, words = options.with_words(Options, argv, "watch")
    paths = chosen.paths(words)
    alone = RunDir(paths[0]) if len(paths) == 1 and RunDir(paths[0]).run_json.exists() else None
    screen = Screen(sys.stdout) if is_live(sys.stdout) else None
    try:
        while True:
            if alone:
                known = [overview.state(alone)]
                lines: list[tuple[str, str | None]] = [(line, None) for line in look(alone, known[0]).split("\n")]
            else:
                known, efficiencies, bad, _ = status.look(paths)
                table = "\n".join(status.lines(known, efficiencies, bad)).split("\n")
                lines = list(zip(table, chain(status.colours(known), repeat(None))))
            shown = "\n".join(line for line, _ in lines)
            if chosen.once or not any(one.under_way for one in known):
                if screen:
                    screen.clear()
                return shown
            if screen:
                screen.draw(lines)
            else:
                print(f"{shown}\n", flush=True)
            time.sleep(chosen.every or (2.0 if screen else 60.0))
    except KeyboardInterrupt:  # how the user ends `watch`; the run is not touched
        return ""


def look(run: RunDir, known: Known) -> str:
    """Return the current state of a run in a few lines."""
    plan = run.record()
    now = pace(run)
    shape = f"{text.plural(plan['nodes'], 'node')}, {text.plural(plan['nodes'] * plan['ranks_per_node'], 'rank')}"
    rows = [("run", f"{run.path}: {known.state}, {shape}")]
    if now.step is not None:
        epoch = f"epoch {now.epoch:.2f}/{now.epochs:g}, " if now.epoch is not None else ""
        loss = f", loss {now.loss:.4g}" if now.loss is not None else ""
        steps = f"/{now.steps}" if now.steps is not None else ""
        rows.append(("step", f"{epoch}step {now.step}{steps}{loss}"))
    elif known.under_way and plan.get("kind") != "workload" and (signs := activity(run, plan["nodes"])):
        rows.append(("activity", signs))
    elif known.throughput is not None:  # printed by the program
        rows.append(("throughput", f"{text.number(known.throughput)} {known.unit}"))
    if now.throughput is not None:
        left = f", {clock(int(now.left_s))} left" if known.under_way and now.left_s is not None else ""
        rows.append(("throughput", f"{text.number(now.throughput)} {now.unit}{left}"))
    return aligned([*rows, *_imbalance(run, plan), *_readings(run, plan, known.attempts)])


def _imbalance(run: RunDir, plan: PlanRecord) -> Iterator[tuple[str, str]]:
    """Yield the rank whose own part of the last steps took longest, relative to the median rank."""
    own: dict[int, list[float]] = {}
    lengths = []
    reader = StepReader(run)
    for path in (run.node_steps(node) for node in range(min(plan["nodes"], _NODES))):
        with contextlib.suppress(Unreadable):
            for step in reader.steps(path, read_end(path, _TAIL).split(b"\n")):
                if "own_seconds" in step and not (step.get("compiled") or step.get("traced")):
                    own.setdefault(step["rank"], []).append(step["own_seconds"])
                    lengths.append(step["seconds"])
    if len(own) < 2 or not sum(lengths):
        return
    means = {rank: statistics.fmean(values) for rank, values in own.items()}
    slowest = max(means, key=means.__getitem__)
    late = means[slowest] - statistics.median(means.values())
    waiting = 1 - statistics.fmean(means.values()) / statistics.fmean(lengths)
    yield (
        "imbalance",
        f"{text.percent(waiting)} of the time is waiting for other ranks and the update; rank {slowest} takes "
        f"{text.number(1e3 * late, 3)} ms per step longer than the median rank",
    )


_SHOWN: dict[str, tuple[str, text.Form]] = {
    "gpu_utilization": ("GPU", "{:.0f}%".format),
    "sm_activity": ("SMs", lambda value: f"{value / 10:.0f}%"),
    "power_average_mw": ("power", lambda value: f"{value / 1000:.0f} W"),
    "temperature_c": ("temperature", "{:.0f} C".format),
    "sm_clock_mhz": ("SM clock", "{:.0f} MHz".format),
    "memory_bytes": ("GPU memory", lambda value: f"{value / 2**30:.1f} GiB"),
    "rss_bytes": ("rank memory", lambda value: f"{value / 2**30:.2f} GiB"),
}
_READING = {"time_ms": int, "node": int, "rank": int, "device": str, **dict.fromkeys(_SHOWN, float)}


def _readings(run: RunDir, plan: PlanRecord, attempt: int) -> Iterator[tuple[str, str]]:
    """Yield a line per kind of reading, from the last reading of each rank and node."""
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for node in range(min(plan["nodes"], _NODES)):
        for line in _newest_first(run.node_readings(node, attempt), _READING):
            newest.setdefault((node, line.get("rank"), line.get("device")), line)
    for name, (title, form) in _SHOWN.items():
        present = sorted((line for line in newest.values() if name in line), key=lambda line: line[name])
        if present:
            values = [line[name] for line in present]
            least, greatest = (f"{form(line[name])} ({_place(line)})" for line in (present[0], present[-1]))
            together = f", {form(sum(values))} together" if title == "power" else ""
            yield title, f"{form(statistics.fmean(values))} mean of {len(values)}, {least} to {greatest}{together}"
    if newest:
        age = time.time() - max(line.get("time_ms", 0) for line in newest.values()) / 1000
        part = f", of {_NODES} of {plan['nodes']} nodes" if plan["nodes"] > _NODES else ""
        yield "read", f"{age:.0f} s ago{part}"


def _newest_first(path: Path, kind: Any) -> Iterator[Any]:
    """Yield the last lines of a node's file, the newest first; none if it cannot be read."""
    with contextlib.suppress(Unreadable):
        yield from objects(reversed(read_end(path, _TAIL).split(b"\n")), kind)


def _place(line: dict[str, Any]) -> str:
    return f"rank {line['rank']}" if "rank" in line else line.get("device") or f"node {line.get('node')}"
