"""The records of a run's steps -> arrays over ranks and steps; what cannot be timed is left out and counted."""

import itertools
import math
import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from launch.record.contents import Event, PlanRecord, Result, StepRecord
from launch.record.files import Unreadable
from launch.record.performance.figures import UNCOUNTED, UNIT, Throughput, of_time
from launch.record.performance.steps import StepReader
from launch.record.performance.times import APART, WARM_UP
from launch.record.rundir import RunDir
from profiling import text
from profiling.study import clocks

_KEYS = (
    "rank",
    "attempt",
    "step",
    "start",
    "seconds",
    "input_seconds",
    "own_seconds",
    "examples",
    "compiled",
    "traced",
)
_RANK, _ATTEMPT, _STEP, _START, _SECONDS, _INPUT, _OWN, _EXAMPLES, _COMPILED, _TRACED = range(len(_KEYS))
_OF_STEP = operator.itemgetter(*_KEYS)
_ABSENT = {"input_seconds": math.nan, "own_seconds": math.nan, "examples": math.nan, "compiled": False, "traced": False}

_RECORDING = (
    "have it record them: `import rankloop`, `for batch in rankloop.steps(loader, examples=N)`, or append lines with "
    "step, start, seconds and examples to the file that LAUNCH_STEPS names"
)


class Unusable(Exception):
    """The records of a run cannot be timed: the run is left out of the table. The message says why."""


class Unrecorded(Unusable):
    """There are no records of steps."""


@dataclass(frozen=True)
class Steps:
    """The timed steps of a run, by rising number."""

    number: np.ndarray  # (steps,)
    seconds: np.ndarray  # (ranks, steps), from the wait for the batch to the update of the weights
    input_seconds: np.ndarray | None  # (ranks, steps), the wait for the batch in these; None if not recorded
    own_seconds: np.ndarray | None  # (ranks, steps), the part until the rank's own gradients were ready; the rest
    # is waiting; None if not recorded
    start: np.ndarray  # (ranks, steps), Unix seconds, by the clock of each rank's node
    examples: float  # per step, all ranks together; or the work in another unit
    left_out: dict[str, int]  # reason -> steps that are not timed
    doubts: tuple[str, ...]  # oddities of the records, and what was done about them
    unit: str = UNIT  # unit of the throughput
    rank: int = 0  # whose time counts
    whole: bool = False  # whether the only step is the run itself, including its start-up

    @property
    def lengths(self) -> np.ndarray:
        """Length of each step (steps,) on the rank whose time counts. Ranks that wait for each other end a step at the
        same time, so rank 0 stands for all; otherwise the work is done when the slowest rank is."""
        return self.seconds[self.rank]

    @property
    def throughput(self) -> float:
        """Work over time, of all ranks, as rates demand (Hoefler & Belli, SC15, rule 3)."""
        return self.examples * len(self.number) / float(self.lengths.sum())

    @property
    def input_share(self) -> float | None:
        """Share of the time of all ranks spent waiting for batches."""
        return None if self.input_seconds is None else float(self.input_seconds.sum() / self.seconds.sum())

    @property
    def span(self) -> tuple[float, float]:
        """Beginning of the first step and end of the last, Unix seconds."""
        return float(self.start.min()), float((self.start + self.seconds).max())


def read(
    run: RunDir,
    ranks: int,
    scaling: str = "strong",
    plan: PlanRecord | None = None,
    events: Sequence[Event] | None = None,
) -> Steps:
    """Return the timed steps of a finished run; if a step was rerun after a kill, its last attempt counts.

    If the program counts no examples, ``scaling`` says whether a step is the work of one rank (weak) or of all
    (strong). ``plan`` and ``events`` are those of the run, if they have been read already.

    Raises
    ------
    Unusable
        If records of a rank are missing or double, the batch changes, or there are too few steps to time.
    """
    try:
        plan = plan or run.record()
        lines, cut = _lines(StepReader(run, plan, events))
    except Unreadable as error:
        raise Unusable(error.reason) from None
    workload, independent = plan.get("kind", "workload") == "workload", bool(plan.get("independent"))
    if not len(lines):
        raise Unrecorded("it has no records of steps" + ("" if workload else f": {_RECORDING}"))
    doubts = [f"{cut} lines of its records are cut short or damaged and are passed over"] if cut else []
    size, recording = ranks, np.unique(lines[:, _RANK])
    if not workload and size > 1 and len(recording) == 1:
        doubts.append(f"rank {recording[0]:.0f} alone has recorded steps: they are taken as the work of all ranks")
        lines[:, _RANK], ranks = 0, 1
    _refuse_wrong_ranks(lines, ranks)
    lines = lines[np.lexsort((lines[:, _ATTEMPT], lines[:, _RANK], lines[:, _STEP]))]
    later = (lines[1:, _STEP] == lines[:-1, _STEP]) & (lines[1:, _RANK] == lines[:-1, _RANK])
    lines = lines[~np.append(later, False)]

    numbers, of_step = np.unique(lines[:, _STEP], return_counts=True)
    complete = numbers[of_step == ranks]
    left_out = Counter({"not recorded by every rank": len(numbers) - len(complete)})
    table = lines[np.isin(lines[:, _STEP], complete)].reshape(len(complete), ranks, len(_KEYS)).transpose(2, 1, 0)
    batches = table[_EXAMPLES].sum(0)
    counted = bool(np.isfinite(batches).any())
    examples = _batch(batches) if counted else size if scaling == "weak" else 1
    times = table[_START], table[_SECONDS], table[_ATTEMPT], table[_STEP, 0]
    doubts += clocks.doubts(*times, independent, run.events() if events is None else events)

    seconds, waits = table[_SECONDS], table[_INPUT]
    wrong = ~(np.isfinite(seconds) & (seconds > 0) & ~(waits > seconds)).all(0)
    usable = np.ones(len(complete), bool)
    for reason, bad in (
        ("of another batch", ~np.isclose(batches, examples, rtol=1e-9, atol=0) & counted),
        ("compiled within", table[_COMPILED].any(0)),
        ("traced", table[_TRACED].any(0)),
        ("of impossible length (zero, negative, or shorter than their wait for the batch)", wrong),
    ):
        left_out[reason] += int((usable & bad).sum())
        usable &= ~bad
    warm_up = max(1, round(WARM_UP * usable.sum()))
    timed = np.flatnonzero(usable)[warm_up:]
    left_out[f"warm-up (first {WARM_UP:.0%} of a run)"] += int(usable.sum()) - len(timed)
    if not len(timed):
        raise Unusable(f"of its {len(numbers)} steps none is left to time: train for longer")
    seconds, waits, own = seconds[:, timed], waits[:, timed], table[_OWN][:, timed]
    spent, rank = seconds.sum(1), 0
    if not workload and spent.max() > (1 + APART) * spent.min():
        rank = int(spent.argmax())
        why = "as they work on their own" if independent else "so they do not wait for each other"
        doubts.append(
            f"the slowest rank takes {text.number(spent.max() / spent.min(), 2)} times as long as the fastest for the "
            f"same steps, {why}: its time counts, because all the work is done only then"
        )
    return Steps(
        complete[timed].astype(int),
        seconds,
        None if np.isnan(waits).any() else waits,
        None if np.isnan(own).any() else np.clip(own, np.nan_to_num(waits), seconds),
        table[_START][:, timed],
        examples,
        dict(+left_out),
        tuple(doubts),
        UNIT if counted else UNCOUNTED[scaling],
        rank,
    )


def of_run(result: Result, events: Sequence[Event], ranks: int, scaling: str, work: Throughput | None = None) -> Steps:
    """Return a finished run as a single step: its last attempt, from the start of the ranks to the end of the last one.

    If its ``work`` is unknown, ``scaling`` says whether each rank did the same work (weak) or shared it (strong).

    Raises
    ------
    Unusable
        If the run has not recorded when it began and ended.
    """
    times = {event["event"]: event["time"] for event in events if event["event"] in ("started", "ended")}
    started = times.get("started", math.nan)
    noted = (result.get("phases_s") or {}).get("run")
    seconds = times.get("ended", math.nan) - started if noted is None else noted
    if not (math.isfinite(started) and 0 < seconds < math.inf):
        raise Unusable("it has neither records of steps nor noted when it began and ended")
    _, unit = of_time(1, "s", scaling, ranks)
    return Steps(
        number=np.ones(1, int),
        seconds=np.full((1, 1), seconds),
        input_seconds=None,
        own_seconds=None,
        start=np.full((1, 1), started),
        examples=work.value if work else 1 if scaling == "strong" else ranks,
        left_out={},
        doubts=(),
        unit=f"{work.unit}/s" if work else unit,
        whole=True,
    )


def _lines(reader: StepReader) -> tuple[np.ndarray, int]:
    """Return all records (lines, keys) of a run, and the number of lines that are not records."""
    tables = [np.empty((0, len(_KEYS)))]
    for path in reader.files():
        rows = [_values(step) for step in reader.read(path)]
        tables.append(np.array(rows, float).reshape(-1, len(_KEYS)))
    return np.concatenate(tables), reader.damaged


def _values(step: StepRecord) -> tuple[Any, ...]:
    try:
        return _OF_STEP(step)
    except KeyError:
        return _OF_STEP(_ABSENT | step)


def _refuse_wrong_ranks(lines: np.ndarray, ranks: int) -> None:
    recorded = set(lines[:, _RANK].astype(int))
    if strange := sorted(rank for rank in recorded if rank >= ranks):
        raise Unusable(f"it has {ranks} ranks, but there are records of rank {_some(strange, len(strange))}")
    if len(recorded) < ranks:
        missing = (rank for rank in range(ranks) if rank not in recorded)
        raise Unusable(f"there are no records of rank {_some(missing, ranks - len(recorded))}")
    keys, times = np.unique(lines[:, [_RANK, _STEP, _ATTEMPT]], axis=0, return_counts=True)
    if (times > 1).any():
        double = keys[times > 1].astype(int)
        which = np.unique(double[:, 0])
        raise Unusable(
            f"rank {_some(which, len(which))} is there twice (step {double[0, 1]} recorded {times.max()} times "
            f"in attempt {double[0, 2]})"
        )


def _batch(batches: np.ndarray) -> float:
    """Return the examples per step of all ranks together, which are the same in most steps."""
    different, times = np.unique(batches[np.isfinite(batches)], return_counts=True)
    usual = different[times.argmax()]
    if 2 * times.max() <= len(batches) or usual <= 0:
        some = ", ".join(f"{batch:.0f}" for batch in different[:4])
        uncounted = ", and some count none" if not np.isfinite(batches).all() else ""
        raise Unusable(f"its steps are not of one batch: {some} examples{uncounted}")
    return int(usual) if usual == int(usual) else float(usual)


def _some(ranks: Iterable[int], count: int) -> str:
    return ", ".join(map(str, itertools.islice(ranks, 8))) + (f" and {count - 8} more" if count > 8 else "")
