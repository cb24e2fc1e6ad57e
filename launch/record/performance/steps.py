"""Reads the records of steps in the files of steps/, fills in the keys that a program leaves out, and computes what a
run reports.

A line needs `step`, `start` and `seconds`. A line without `rank` belongs to the rank in its file's name (rank<r>.jsonl)
or, in the file of a node, to the node's ranks in turn, step by step. A line without `attempt` belongs to the last
attempt that had begun at its `start`. A line with `metrics` holds figures of the run.
"""

import bisect
import contextlib
import json
import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from launch.record.contents import Event, PlanRecord, Result, StepRecord
from launch.record.files import Unreadable, decoded, open_file, read_end
from launch.record.performance.times import Apart, LowestRank
from launch.record.rundir import RunDir

_NEEDED = {"step", "start", "seconds"}
_COUNTED = ("rank", "attempt", "examples")  # may be left out, but must be numbers if present
_NUMBER = (int, float)
_CLOCK_S = 1.0  # tolerance for coarse or late clocks; attempts are farther apart
_MOST = 2.0**53  # largest number that a float holds exactly
# Least value of each number. A duration may be impossible; the step then does not count as timed.
_LEAST = {
    key: 0.0 for key in (*_COUNTED, "step", "start", "input_seconds", "own_seconds", "epoch", "compiled", "traced")
}
_LEAST |= {"loss": -_MOST}
_TAIL = 65536  # bytes that are read of the files of ranks other than the lowest
_FILE = re.compile(r"(node|rank)([0-9]{1,9})")


class StepReader:
    """Reads the files of steps/ of a run.

    Parameters
    ----------
    run : RunDir
        The run; its attempts and shape give what a line leaves out.
    plan, events : optional
        Plan and events of the run, if they have been read already.

    Attributes
    ----------
    ranks_per_node : int
        Number of ranks on each node.
    damaged : int
        Number of lines so far that are neither a step nor metrics.
    strange : list of bytes
        The damaged lines that are not merely cut short by a kill.
    metrics : dict
        The last figure of each name so far, by rank.
    no_figures : dict
        The last value of each name that is not a figure.

    Raises
    ------
    Unreadable
        If run.json or events.jsonl cannot be read.
    """

    def __init__(self, run: RunDir, plan: PlanRecord | None = None, events: Sequence[Event] | None = None) -> None:
        self._run, self.ranks_per_node = run, (plan or run.record())["ranks_per_node"]
        events = run.events() if events is None else events
        self._starts = [event["time"] for event in events if event["event"] == "started"]
        self.damaged = 0
        self.strange: list[bytes] = []
        self.metrics: dict[int, dict[str, Any]] = {}
        self.no_figures: dict[str, Any] = {}

    def files(self) -> list[Path]:
        """Return all files of steps/, in the order of their nodes and ranks."""
        return sorted(self._run.steps.glob("*.jsonl"), key=lambda path: (len(path.name), path.name))

    def read(self, path: Path) -> Iterator[StepRecord]:
        """Yield the steps in a file, each with a rank and an attempt; none if there is no such file.

        Raises
        ------
        Unreadable
            If it cannot be read.
        """
        try:
            with open_file(path) as file:
                yield from self.steps(path, file)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Unreadable(path, error) from None

    def steps(self, path: Path, lines: Iterable[bytes]) -> Iterator[StepRecord]:
        """Yield the steps in lines of a file."""
        named = _FILE.fullmatch(path.stem)
        first = int(named[2]) * (self.ranks_per_node if named[1] == "node" else 1) if named else None
        seen: Counter[tuple[int, float]] = Counter()  # lines without a rank, by attempt and step
        for line, record in decoded(lines, json.loads):  # whole numbers of any size: `_usable` looks at each
            if not isinstance(record, dict) or not (_plain(record) or _repaired(record)):
                # a write cut short by a kill, a full disk, another program
                self.damaged += 1
                if line.rstrip().endswith(b"}"):
                    self.strange.append(line.strip()[:200])
                continue
            step = "metrics" not in record
            if record.get("attempt") is None:
                record["attempt"] = max(1, bisect.bisect_right(self._starts, record.get("start", math.inf) + _CLOCK_S))
            if record.get("rank") is None:
                if first is None:
                    self.damaged += 1
                    continue
                record["rank"] = first
                if step and named and named[1] == "node":
                    record["rank"] += seen[record["attempt"], record["step"]]
                    seen[record["attempt"], record["step"]] += 1
            if step:
                yield cast(StepRecord, record)
            elif isinstance(record["metrics"], dict):
                figures = {name: value for name, value in record["metrics"].items() if _usable(value, -_MOST)}
                self.metrics.setdefault(int(record["rank"]), {}).update(figures)
                self.no_figures |= {name: value for name, value in record["metrics"].items() if name not in figures}


def _plain(record: dict[str, Any]) -> bool:
    """Return whether a record is a step that holds only numbers that all its keys can have, as most are."""
    values = record.values()
    try:
        return record.keys() >= _NEEDED and min(values) >= 0 and sum(values) < _MOST  # false where one is not a number
    except (TypeError, OverflowError):
        return False


def _repaired(record: dict[str, Any]) -> bool:
    """Return whether a record is a step or metrics, once values that cannot be are removed from it."""
    for key in [key for key, value in record.items() if key in _LEAST and not _usable(value, _LEAST[key])]:
        if key in _COUNTED and record[key] is not None:
            return False
        del record[key]
    return "metrics" in record or record.keys() >= _NEEDED and isinstance(record["seconds"], _NUMBER)


def _usable(value: Any, least: float) -> bool:
    """Return whether a value is a number that a record can hold."""
    return isinstance(value, _NUMBER) and least <= value < _MOST


def of_rank0(run: RunDir) -> tuple[Path, Path]:
    """Return the files in which rank 0 may have recorded its steps."""
    return run.node_steps(0), run.rank_steps(0)


def reported(run: RunDir, size: int) -> Result:
    """Return the steps, throughput, metrics and phases that the program of a finished run has recorded.

    The throughput is taken over the steps of the lowest rank that has recorded any, without the first tenth of them,
    with the examples of all ranks. If ranks do not wait for each other, the time is that of the slowest one. If only
    one of several ranks has recorded steps, its examples count as those of all.

    Parameters
    ----------
    run : RunDir
        The run; files that cannot be read are skipped.
    size : int
        Number of ranks of the run.
    """
    ended = time.time()
    lowest, apart = LowestRank(), Apart()
    known: dict[float, float] = {}  # the timed steps of the lowest rank
    examples: dict[int, Counter[float | None]] = defaultdict(Counter)  # by rank, how many steps had each number
    try:
        reader = StepReader(run)
        files = list(dict.fromkeys([*of_rank0(run), *reader.files()]))
    except (Unreadable, OSError):
        return {}
    for path in files:
        with contextlib.suppress(Unreadable):
            whole = not lowest.seconds
            for record in reader.read(path) if whole else reader.steps(path, _last_lines(path)):
                examples[int(record["rank"])][record.get("examples")] += 1
                apart.add(record)
                if whole:
                    lowest.add(record)
            if whole:
                known = lowest.timed()
            apart.end_file(known)
    found: Result = {}
    metrics: dict[str, Any] = {}
    for rank in sorted(reader.metrics, reverse=True):
        metrics |= reader.metrics[rank]
    if metrics:
        found["metrics"] = metrics
    troubles = [
        f"{name}: {value!r:.40} is not a finite number"
        for name, value in reader.no_figures.items()
        if name not in metrics
    ]
    if strange := reader.strange:
        troubles.append(
            f"{len(strange)} recorded line{'s' * (len(strange) > 1)}: neither a step nor figures in JSON, such as "
            + strange[0].decode(errors="replace")
        )
    if troubles:
        found["troubles"] = troubles
    started = next((event["time"] for event in reversed(run.events("started"))), ended)
    if not lowest.seconds:
        return found | {"phases_s": {"run": round(ended - started, 3)}}
    batches = [each.most_common(1)[0][0] for each in examples.values()]
    found["steps"] = len(lowest.seconds)
    timed = known.values()
    if timed and len(batches) in (1, size) and (batch := sum(each or math.nan for each in batches)) > 0:
        found["throughput_examples_per_s"] = round(batch * len(timed) / (apart.slowest * sum(timed)), 6)
        if apart.ratio > 1:
            found["slowest_to_fastest_rank"] = round(apart.ratio, 6)
    return found | {"phases_s": lowest.phases(started, ended)}


def _last_lines(path: Path) -> list[bytes]:
    """Return the last complete lines of a file."""
    tail = read_end(path, _TAIL)
    return tail.split(b"\n")[len(tail) == _TAIL :]
