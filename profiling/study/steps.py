"""The records of a run's steps -> arrays over ranks and steps; what cannot be timed is left out and counted."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from launch.record.files import Unreadable, open_file
from launch.record.rundir import RunDir
from profiling import text
from profiling.study import confidence

WARM_UP = 0.1
"""Part of a run's steps, the first ones, that is not timed: caches fill, clocks rise, allocators grow."""
CLOCK_S = 1.0
"""By how much wall clocks may disagree with each other, or with the steps' lengths, before it is said."""

_DEFAULTS = {
    **dict.fromkeys(("rank", "attempt", "step", "start", "seconds", "input_seconds", "own_seconds", "examples")),
    "compiled": False,
    "traced": False,
}
"""The keys of a record that are read here, and what they are where they are left out; None: each record needs them."""
_RANK, _ATTEMPT, _STEP, _START, _SECONDS, _INPUT, _OWN, _EXAMPLES, _COMPILED, _TRACED = range(len(_DEFAULTS))


class Unusable(Exception):
    """The records of a run cannot be timed: the run is left out of the table. The message says why."""


@dataclass(frozen=True)
class Steps:
    """The timed steps of a run, by rising number."""

    number: np.ndarray  # (steps,)
    seconds: np.ndarray  # (ranks, steps), from the wait for the batch to the update of the weights
    input_seconds: np.ndarray  # (ranks, steps), of these the wait for the batch
    own_seconds: np.ndarray  # (ranks, steps), of these until the rank's own gradients were ready; the rest is waiting
    start: np.ndarray  # (ranks, steps), Unix seconds, by the clock of each rank's node
    examples: int  # per step, all ranks together
    left_out: dict[str, int]  # reason -> steps that are not timed
    doubts: tuple[str, ...]  # what is odd about the records, and what was done about it

    @property
    def rank0_seconds(self) -> np.ndarray:
        """Length of each step on rank 0 (steps,): a step ends on all ranks when the gradients of all have met."""
        return self.seconds[0]

    @property
    def span(self) -> tuple[float, float]:
        """Begin of the first step and end of the last, Unix seconds."""
        return float(self.start.min()), float((self.start + self.seconds).max())


def read(run: RunDir, ranks: int) -> Steps:
    """The steps of a finished run of some ranks. Of a step that was rerun after a kill, the last attempt counts.

    Raises
    ------
    Unusable
        Records of a rank are missing or double, the batch changes, or there are too few steps to time.
    """
    try:
        lines, cut = _lines(run.steps)
    except Unreadable as error:
        raise Unusable(error.reason) from None
    if not len(lines):
        raise Unusable("it has no records of steps")
    _refuse_wrong_ranks(lines, ranks)
    doubts = [f"{cut} lines of its records are cut short or damaged and are passed over"] if cut else []
    lines = lines[np.lexsort((lines[:, _ATTEMPT], lines[:, _RANK], lines[:, _STEP]))]
    later = (lines[1:, _STEP] == lines[:-1, _STEP]) & (lines[1:, _RANK] == lines[:-1, _RANK])
    lines = lines[~np.append(later, False)]

    numbers, of_step = np.unique(lines[:, _STEP], return_counts=True)
    complete = numbers[of_step == ranks]
    left_out = Counter({"not recorded by every rank": len(numbers) - len(complete)})
    table = lines[np.isin(lines[:, _STEP], complete)].reshape(len(complete), ranks, len(_DEFAULTS)).transpose(2, 1, 0)
    examples = _batch(table)
    doubts += _clocks(table)

    seconds, waits = table[_SECONDS], table[_INPUT]
    wrong = ~(np.isfinite(seconds) & (seconds > 0) & (waits >= 0) & (waits <= seconds)).all(0)
    usable = np.ones(len(complete), bool)
    for reason, bad in (
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
    return Steps(
        complete[timed].astype(int),
        seconds[:, timed],
        waits[:, timed],
        np.clip(table[_OWN][:, timed], waits[:, timed], seconds[:, timed]),
        table[_START][:, timed],
        examples,
        dict(+left_out),
        tuple(doubts),
    )


def _lines(folder: Path) -> tuple[np.ndarray, int]:
    """All records (lines, keys) of the files of a folder, and how many lines are not a record."""
    cut = 0
    values: list[list[float]] = []
    for path in sorted(folder.glob("*.jsonl")):
        with open_file(path) as file:
            for line in filter(bytes.strip, file):
                try:
                    record = json.loads(line)
                    row = [float(record.get(key, default)) for key, default in _DEFAULTS.items()]
                    if not all(0 <= row[key] < 2**53 for key in range(len(row)) if key != _SECONDS):
                        raise ValueError
                    values.append(row)
                # A kill within a write, a full disk, or another program.
                except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
                    cut += 1
    return np.array(values).reshape(-1, len(_DEFAULTS)), cut


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


def _batch(table: np.ndarray) -> int:
    """Examples per step, all ranks together: the same in all steps."""
    batches = np.unique(table[_EXAMPLES].sum(0))
    if len(batches) != 1 or not 0 < batches[0] < math.inf:
        some = ", ".join(f"{batch:.0f}" for batch in batches[:4]) or "no"
        raise Unusable(f"its steps are not of one batch: {some} examples")
    return int(batches[0])


def _clocks(table: np.ndarray) -> list[str]:
    """What the wall clocks did. No number rests on them: lengths are of a monotonic clock."""
    start, seconds, attempt, number = table[_START], table[_SECONDS], table[_ATTEMPT], table[_STEP, 0]
    doubts, seconds = [], np.where(np.isfinite(seconds), seconds, 0)
    back = np.where(np.diff(attempt) == 0, start[:, :-1] + seconds[:, :-1] - start[:, 1:], 0)
    if back.size and (most := back.max()) > CLOCK_S:
        rank, place = np.unravel_index(back.argmax(), back.shape)
        doubts.append(f"the clock of rank {rank} went back by {text.number(most, 3)} s after step {number[place]:.0f}")
    apart = start.max(0) - start.min(0) - seconds.max(0)
    if (most := apart.max()) > CLOCK_S:
        step = number[apart.argmax()]
        doubts.append(f"the clocks of its ranks are {text.number(most, 3)} s apart at step {step:.0f}")
    return [f"{doubt}: harmless here, as steps are timed by another clock" for doubt in doubts]


def _some(ranks: Iterable[int], count: int) -> str:
    return ", ".join(map(str, itertools.islice(ranks, 8))) + (f" and {count - 8} more" if count > 8 else "")


def summary(timed: Steps) -> dict[str, Any]:
    """What the timed steps of a run say, as `python -m profiling summary --json` has it."""
    seconds = timed.rank0_seconds
    interval, every = median_interval(seconds)
    own = timed.own_seconds.mean(axis=1)  # of each rank
    return {
        "timed": len(seconds),
        "left_out": timed.left_out,
        "doubts": list(timed.doubts),
        "median_seconds": float(np.median(seconds)),
        "median_interval": interval and asdict(interval),
        "interval_of_every": every,
        "worst_hundredth_seconds": float(np.quantile(seconds, 0.99)),
        "throughput_examples_per_s": timed.examples * len(seconds) / float(seconds.sum()),
        "input_share": float(timed.input_seconds.mean() / timed.seconds.mean()),
        "waiting_share": float(1 - timed.own_seconds.mean() / timed.seconds.mean()),
        # POP's load balance: the mean over the ranks of their own work, over that of the slowest.
        "load_balance": float(own.mean() / own.max()),
        "slowest_rank": int(own.argmax()),
    }


def median_interval(seconds: np.ndarray) -> tuple[confidence.Interval | None, int]:
    """95 % interval of the median step, and every how many steps one is taken for it.

    Steps that follow each other are alike, and an interval needs independent ones: so it takes them as far apart as the
    lag at which the autocorrelation of their order has fallen below 0.1, or a tenth of the run.
    """
    # Of their places in order: a few long steps must not hide how alike the others are.
    places = seconds.argsort().argsort().astype(float)
    places -= places.mean()
    variance = float(places @ places)
    most = max(1, len(seconds) // 10)
    lags = range(1, most + 1)
    every = next((lag for lag in lags if variance == 0 or places[:-lag] @ places[lag:] < 0.1 * variance), most)
    return confidence.median(tuple(seconds[::every])), every
