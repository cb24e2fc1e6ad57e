"""Signs of life of a program that need no records: how long it has run, the cores that it uses, what it printed
last."""

import contextlib
import os
import time
from pathlib import Path
from typing import Required, TypedDict

from launch.plan.walltime import clock
from launch.record.contents import Event
from launch.record.files import Unreadable, objects, read_end
from launch.record.performance import figures
from launch.record.rundir import RunDir

_NODES = 64  # most nodes that are looked at; in a larger run they stand for all
_TAIL = 16384  # bytes of each node's readings: some seconds


class _Reading(TypedDict, total=False):
    """The keys that are needed here of a line of readings/ about a rank."""

    time_ms: Required[int]
    rank: Required[int]
    cpu_ms: Required[int]


def activity(run: RunDir, nodes: int) -> str:
    """Return the signs of an attempt that is under way; empty before it has begun."""
    started: list[Event] = []
    with contextlib.suppress(Unreadable):
        started = run.events("started")
    if not started:
        return ""
    signs = [f"running for {clock(max(0, int(time.time() - started[-1]['time'])))}"]
    cores = _cores(run, min(nodes, _NODES), len(started))
    if cores is not None:
        part = f" on {_NODES} of {nodes} nodes" if nodes > _NODES else ""
        signs.append(f"{cores:.1f} cores busy{part}")
    with contextlib.suppress(Unreadable):
        if made := figures.so_far(run, run.record()):
            signs.append(f"{made.value:.4g} {made.unit}")
    if last := last_line(run, nodes):
        text, printed = last
        signs.append(f"{max(0, time.time() - printed):.0f} s since its last line: {text}")
    return ", ".join(signs)


def last_line(run: RunDir, nodes: int) -> tuple[str, float] | None:
    """Return the last line that any rank has printed, with its label and its time (Unix seconds); None before the
    first."""
    printed: dict[Path, float] = {}
    for node in range(min(nodes, _NODES)):
        with contextlib.suppress(OSError):
            status = os.stat(run.node_log(node))
            if status.st_size:
                printed[run.node_log(node)] = status.st_mtime
    for path in sorted(printed, key=printed.__getitem__, reverse=True):
        with contextlib.suppress(Unreadable):
            lines = read_end(path, _TAIL).decode(errors="replace").replace("\r", "\n").split("\n")
            if text := next((line.strip() for line in reversed(lines) if line.strip()), ""):
                return text, printed[path]
    return None


def _cores(run: RunDir, nodes: int, attempt: int) -> float | None:
    """Return the number of cores that the ranks and their children use together, over the last readings."""
    spans: list[float] = []
    for node in range(nodes):
        of_rank: dict[int, list[_Reading]] = {}
        with contextlib.suppress(Unreadable):
            for line in objects(read_end(run.node_readings(node, attempt), _TAIL).split(b"\n"), _Reading):
                of_rank.setdefault(line["rank"], []).append(line)
        for first, *_, last in (lines for lines in of_rank.values() if len(lines) > 1):
            if last["time_ms"] > first["time_ms"]:
                spans.append((last["cpu_ms"] - first["cpu_ms"]) / (last["time_ms"] - first["time_ms"]))
    return max(0.0, sum(spans)) if spans else None
