"""How far a run is, from its files: the live line, and the summary at the end."""

import os
import re
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from launch.errors import command
from launch.plan.plan import Plan
from launch.plan.walltime import clock
from launch.record import cooperation, network
from launch.record.activity import activity
from launch.record.code import snapshot
from launch.record.failures import bad_nodes, paragraph
from launch.record.files import Unreadable, open_file, size_of
from launch.record.performance import figures
from launch.record.performance.pace import pace
from launch.record.performance.printed import NO_UNIT
from launch.record.performance.steps import of_rank0
from launch.record.rundir import RunDir
from launch.record.table import aligned
from launch.screen import bar, is_live

_LIVE_S = 0.25  # seconds between two states of the live line
_FIRST_S, _EVERY_S = 10.0, 60.0  # time to the first line if it cannot stay in its place, and between further ones
_LOOK_S = 1.0  # seconds between two looks at the signs of life of a program

_LABEL = re.compile(r"\s*(\d+): ?(.*)", re.DOTALL)
# What TensorFlow's libraries print about themselves whatever TF_CPP_MIN_LOG_LEVEL is. It stays in the logs.
_NOISE = re.compile(r"WARNING: All log messages before absl|[IW]\d{4} [\d:.]+\s+\d+ \S+\.(?:cc|h):\d+\]")


class Tail:
    """The new lines of a growing file.

    Parameters
    ----------
    path : Path
        The file; it need not be there yet.
    from_end : bool
        Whether to skip its present content.
    """

    def __init__(self, path: Path, from_end: bool = False) -> None:
        self._path, self._rest = path, b""
        self._place = size_of(path) if from_end else 0

    def lines(self) -> list[str]:
        """Return the complete lines since the last call; none if the file cannot be read, which must not end the
        launcher."""
        try:
            with open_file(self._path) as file:
                file.seek(self._place)
                data = file.read()
        except (OSError, Unreadable):
            return []
        self._place += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [line.decode(errors="replace") for line in whole]


class Progress:
    """Shows the progress of a run: what its ranks print, and one line on how far it is.

    Parameters
    ----------
    run : RunDir
        The run.
    plan : Plan
        Its plan.
    stream : text file
        The output, by default standard error. On a terminal the line stays in its place; elsewhere it is written again
        once a minute.
    label : str
        The prefix for each line of a run that runs beside others; it then has no line on how far it is.
    """

    def __init__(self, run: RunDir, plan: Plan, stream: TextIO | None = None, label: str = "") -> None:
        self._run, self._plan, self._stream = run, plan, stream or sys.stderr
        self._label = f"{label}  " if label else ""
        self._live = is_live(self._stream) and not label
        self._width = 0
        self._drawn = self._began = time.monotonic()
        self._text = ""
        self._looked, self._signs = -_LOOK_S, ""
        # In a workload the chief prints for all. In any other program this is not known, so all ranks are shown.
        nodes = [0] if plan.kind == "workload" else range(min(plan.nodes, 64))
        self._logs = [Tail(run.node_log(node), from_end=True) for node in nodes]
        self._before = [size_of(path) for path in of_rank0(run)]  # bytes of earlier attempts

    def __call__(self, waiting_for: str = "", more: str = "") -> None:
        """Show what is new. ``waiting_for`` says what keeps the run from starting; ``more`` is appended to how far it
        is."""
        for log in self._logs:
            for line in log.lines():
                self._heard(line)
        now = time.monotonic()
        if self._label or now - self._drawn < (_LIVE_S if self._live else _EVERY_S if self._text else _FIRST_S):
            return
        self._drawn = now
        line = (
            self.line(with_bar=self._live)
            or waiting_for
            or self._activity(now)
            or f"starting, {now - self._began:.0f} s"
        )
        self._draw(f"{line}  {more}".rstrip())

    def close(self) -> None:
        """Show the last lines, and remove the live line."""
        for log in self._logs:
            for line in log.lines():
                self._heard(line)
        self._draw("")

    def line(self, with_bar: bool = False) -> str:
        """Return what is known about epoch, step, loss and throughput over all ranks; empty before the first step."""
        now = pace(self._run, self._before)
        if now.step is None or self._plan.kind == "workload" and now.epoch is None:
            return ""
        shown = [
            with_bar and now.steps and bar(now.step / now.steps, 12),
            now.epoch is not None and f"epoch {now.epoch:.2f}/{now.epochs:g}",
            f"step {now.step}" + (f"/{now.steps}" if now.steps is not None else ""),
            now.loss is not None and f"loss {now.loss:.4g}",
            now.throughput and f"{_with_unit(now.throughput, now.unit)} on {_ranks(self._plan.size)}",
            now.left_s is not None and f"{clock(int(now.left_s))} left",
        ]
        return "  ".join(part for part in shown if part)

    def _activity(self, now: float) -> str:
        """Return signs of life of a program that has recorded no step, updated once in a while."""
        if self._plan.kind == "workload":
            return ""
        if now - self._looked >= _LOOK_S:
            self._looked, self._signs = now, activity(self._run, self._plan.nodes)
        return self._signs

    def _heard(self, line: str) -> None:
        label = _LABEL.match(line)
        if label is None or "slurmstepd-" in line:
            return
        states = [part for part in label[2].split("\r") if part.strip()]  # the states of a bar that is redrawn
        if self._plan.kind != "workload":
            self.say(line[: label.start(2)] + "".join(states[-1:]))
        elif label[1] == "0" and states and not _NOISE.match(label[2]):
            self.say(states[-1])

    def say(self, line: str) -> None:
        """Show a separate line."""
        if self._live:
            self._draw("")
        else:  # a program that prints is alive: no other sign is needed for a while
            self._drawn = time.monotonic()
        print(f"{self._label}{line}", file=self._stream, flush=True)

    def _draw(self, text: str) -> None:
        if self._live:
            try:
                room = os.get_terminal_size(self._stream.fileno()).columns - 1
            except OSError:  # the terminal was closed
                room = 79
            text = text[:room]  # a wrapped line could not be redrawn
            self._stream.write(f"\r{text:<{self._width}}" + ("" if text else "\r"))
            self._width = len(text)
            self._stream.flush()
        elif text and text != self._text:
            print(f"{self._label}{text}", file=self._stream, flush=True)
        self._text = text


def closing(run: RunDir, plan: Plan, outcome: str) -> str:
    """Return the closing lines about an attempt."""
    if outcome == "done":
        ranks = cooperation.seen(run, plan)
        over = network.said(run)
        notes = [ranks and f"ranks: {ranks}", over and f"network: {over}"]
        return "\n".join(filter(None, [f"done: {run.path}", summary(run, plan), *notes]))
    again = f"continue it: {command('resume', run.path)}"
    if outcome == "failed":
        bad = bad_nodes.said(bad_nodes.among([run]))
        if bad and plan.scheduler == "slurm":
            again += " --new-job" * (plan.backend == "allocation") + " --exclude-bad-nodes"
        elif not bad and (snapshot.record_of(run) or {}).get("snapshot"):
            bad = ["resume runs the code as it was submitted; with --code current, as you have changed it since"]
        return "\n".join([f"failed: {run.path}", paragraph.paragraph(run), *bad, again])
    return f"{outcome} before the end: {run.path}\n{again}"


def summary(run: RunDir, plan: Plan) -> str:
    """Return the results of a finished run."""
    result = run.result() or {}
    rows = []
    units, made = result.get("units", {}), figures.of_result(result)
    for name, value in result.get("metrics", {}).items():
        if name != "throughput" or made is None or made.value != value:  # the throughput comes below
            unit = units.get(name, "")
            rows.append(
                (name.replace("_", " "), f"{_rounded(value)} {unit}" if unit not in ("", name) else _rounded(value))
            )
    if made and made.value:
        shared = not made.work and plan.size > 1 and not figures.is_of_one_rank(plan.fom, result)
        each = f" ({made.value / plan.size:.4g} each)" if shared else ""
        if made.unit.startswith("rank-"):
            each = f" ({made.unit.removeprefix('rank-')} of each rank, added up)"
        rows.append(("throughput", f"{_with_unit(made.value, made.unit)} on {_ranks(plan.size)}{each}"))
    rows += [("note", line) for line in figures.of_ranks(plan.fom, result)]
    if apart := result.get("slowest_to_fastest_rank"):
        rows.append(("ranks", f"the slowest takes {apart:.2g} times as long as the fastest: its time counts"))
    rows += [("not known", trouble) for trouble in result.get("troubles", [])]
    seconds = [f"{name} {value:.1f}" for name, value in result.get("phases_s", {}).items() if value is not None]
    if seconds:
        rows.append(("seconds", ", ".join(seconds)))
    if os.path.isdir(run.figures):
        rows += [("figure", str(path)) for path in sorted(run.figures.iterdir()) if not path.name.startswith(".")]
    return aligned([("", name, value) for name, value in rows])


def _with_unit(value: float, unit: str | None) -> str:
    return f"{value:.4g}" if unit in (None, NO_UNIT) else f"{value:.4g} {unit}"


def _ranks(size: int) -> str:
    return f"{size} rank{'s' * (size > 1)}"


def _rounded(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
