"""python -m profiling watch RUN: a run as it goes: examples/s, GPUs, power, imbalance, in the terminal."""

import contextlib
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Required, TypedDict

from launch.plan.typed import Bounds
from launch.plan.walltime import clock
from launch.record.activity import activity
from launch.record.contents import PlanRecord
from launch.record.files import Unreadable, objects, read_end
from launch.record.pace import pace
from launch.record.rundir import RunDir
from launch.record.steps import StepReader
from launch.submit import states
from profiling import text
from profiling.cli import arguments

_NODES = 64  # that are looked at each time; of a larger run these stand for all
_TAIL = 16384  # bytes of each node's files: some seconds of it


class _Reading(TypedDict, total=False):
    """A line of readings/, as far as it is shown."""

    time_ms: Required[int]
    node: Required[int]
    rank: int
    device: str
    gpu_utilization: float
    power_average_mw: float
    temperature_c: float
    sm_clock_mhz: float
    memory_bytes: float
    rss_bytes: float


@dataclass(frozen=True)
class Options:
    """The options of the verb."""

    every: Annotated[float, Bounds(0.1, 3600)] = 2.0  # seconds between looks
    once: bool = False  # look once and end


def run(argv: Sequence[str]) -> str:
    """Show a run until it ends or Ctrl-C; what is returned is the last look. The words behind the verb are RUN and options.

    Raises
    ------
    Refusal
        Bad words, or a folder that is no run.
    """
    (path,), options = arguments.parse(Options, argv, ["RUN"])
    here = RunDir.open(path)
    try:
        while True:
            (known,), _ = states.look([here.path])
            shown = look(here, known)
            if options.once or not known.under_way:
                return shown
            _draw(shown)
            time.sleep(options.every)
    except KeyboardInterrupt:  # the way to end it; the run is not touched
        return ""


def look(run: RunDir, known: states.Known) -> str:
    """What can be seen now, in some lines."""
    plan = run.record()
    now = pace(run)
    rows = [
        ("run", f"{run.path}: {known.state}, {plan['nodes']} nodes, {plan['nodes'] * plan['ranks_per_node']} ranks")
    ]
    if now["step"] is not None:
        epoch = f"epoch {now['epoch']:.2f}/{now['epochs']:g}, " if now["epoch"] is not None else ""
        loss = f", loss {now['loss']:.4g}" if now["loss"] is not None else ""
        of = f"/{now['steps']}" if now["steps"] is not None else ""
        rows.append(("step", f"{epoch}step {now['step']}{of}{loss}"))
    elif known.under_way and plan.get("kind") != "workload" and (signs := activity(run, plan["nodes"])):
        rows.append(("activity", signs))
    if now["examples_per_s"] is not None:
        left = f", {clock(int(now['left_s']))} left" if known.under_way and now["left_s"] is not None else ""
        rows.append(("throughput", f"{text.number(now['examples_per_s'])} examples/s{left}"))
    rows += [row for row in (_imbalance(run, plan), *_readings(run, plan, known.attempts)) if row]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _imbalance(run: RunDir, plan: PlanRecord) -> tuple[str, str] | None:
    """Over the last steps: whose own part takes longest, against the median rank."""
    own: dict[int, list[float]] = {}
    length = []
    reader = StepReader(run)
    for node in range(min(plan["nodes"], _NODES)):
        path = run.node_steps(node)
        with contextlib.suppress(Unreadable):
            for step in reader.steps(path, read_end(path, _TAIL).split(b"\n")):
                if "own_seconds" in step and not (step.get("compiled") or step.get("traced")):
                    own.setdefault(step["rank"], []).append(step["own_seconds"])
                    length.append(step["seconds"])
    if len(own) < 2 or not sum(length):
        return None
    means = {rank: statistics.fmean(values) for rank, values in own.items()}
    slowest = max(means, key=means.__getitem__)
    late = means[slowest] - statistics.median(means.values())
    waiting = 1 - statistics.fmean(means.values()) / statistics.fmean(length)
    return (
        "imbalance",
        f"{text.percent(waiting)} of the time is waiting for other ranks and the update; rank {slowest} takes {text.number(1e3 * late, 3)} ms a step "
        "longer than the median rank",
    )


def _readings(run: RunDir, plan: PlanRecord, attempt: int) -> Iterator[tuple[str, str]]:
    """The last reading of each rank and node."""
    newest: dict[tuple[int, Any, Any], _Reading] = {}
    for node in range(min(plan["nodes"], _NODES)):
        for line in _last(run.node_readings(node, attempt), _Reading):
            newest[line["node"], line.get("rank"), line.get("device")] = line
    lines = list(newest.values())
    for name, title, form in (
        ("gpu_utilization", "GPU", lambda value: f"{value:.0f}%"),
        ("power_average_mw", "power", lambda value: f"{value / 1000:.0f} W"),
        ("temperature_c", "temperature", lambda value: f"{value:.0f} C"),
        ("sm_clock_mhz", "SM clock", lambda value: f"{value:.0f} MHz"),
        ("memory_bytes", "GPU memory", lambda value: f"{value / 2**30:.1f} GiB"),
        ("rss_bytes", "rank memory", lambda value: f"{value / 2**30:.2f} GiB"),
    ):
        having = [line for line in lines if line.get(name) is not None]
        if having:
            least, greatest = (pick(having, key=lambda line: line[name]) for pick in (min, max))
            together = f", {sum(line[name] for line in having) / 1000:.0f} W together" if title == "power" else ""
            yield (
                title,
                f"{form(statistics.fmean(line[name] for line in having))} mean of {len(having)}, {form(least[name])} ({_place(least)}) "
                f"to {form(greatest[name])} ({_place(greatest)}){together}",
            )
    if lines:
        age = time.time() - max(line["time_ms"] for line in lines) / 1000
        part = f", of {_NODES} of {plan['nodes']} nodes" if plan["nodes"] > _NODES else ""
        yield "read", f"{age:.0f} s ago{part}"


def _last(path: Path, kind: Any) -> Iterator[Any]:
    """The last lines of a file, in their order; none of one that cannot be read."""
    with contextlib.suppress(Unreadable):
        yield from objects(read_end(path, _TAIL).split(b"\n"), kind)


def _place(line: dict[str, Any]) -> str:
    return f"rank {line['rank']}" if "rank" in line else line.get("device") or f"node {line['node']}"


def _draw(shown: str) -> None:
    if sys.stdout.isatty():
        print("\x1b[H\x1b[2J" + shown, flush=True)  # home, and clear the screen
    else:
        print(shown + "\n", flush=True)
