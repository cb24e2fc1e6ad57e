"""Ranks that the others wait for: which, since when, by how much they slow the job, and which readings explain it."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from launch.record.rundir import RunDir
from profiling import text
from profiling.study.steps import Steps
from profiling.telemetry.usage import Usage, usage

LATE = 0.05
"""A rank is late in a step if its own part takes longer than the median rank's by this share of the median step."""
FEWEST = 10
"""Surplus of late over other steps, within the named span, from which on a rank is called a straggler."""

_REASONS = ("power", "thermal", "sync_boost", "board_limit", "reliability")
_EXPLAINING = ("sm_clock_mhz", "throttled_share", *(f"throttled_{reason}_s" for reason in _REASONS))


@dataclass(frozen=True)
class Straggler:
    """A rank that others waited for."""

    rank: int
    node: int | None  # None without readings
    device: str | None
    first_step: int  # first step of the span in which it is late
    last_step: int
    since: float  # Unix seconds, start of the first step
    late_seconds: float  # per step, relative to the median rank, mean over the span
    slows: float  # the same as a share of the steps' length: how much longer they take because of this rank
    because: tuple[str, ...]  # what explains it; empty if nothing in the records does


def find(run: RunDir, timed: Steps) -> list[Straggler]:
    """Find the stragglers of a run of at least 3 ranks, the worst first. With two ranks, neither is late by itself.

    A rank's own part of a step (its wait for the batch, and the computation until its gradients are ready) is compared
    with the median rank's. The span is the stretch of steps with the largest surplus of late ones over others
    (Bentley 1984, Programming Pearls: maximum-sum subarray), so that a few good steps do not end it.
    """
    ranks, steps = timed.seconds.shape
    if ranks < 3 or steps < FEWEST or timed.own_seconds is None:
        return []
    lateness = timed.own_seconds - np.median(timed.own_seconds, axis=0)
    sums = np.cumsum(np.where(lateness > LATE * np.median(timed.lengths), 1, -1), axis=1)
    before = np.concatenate([np.zeros((ranks, 1), int), sums[:, :-1]], axis=1)
    surplus = sums - np.minimum.accumulate(before, axis=1)
    stragglers = []
    for rank in map(int, np.flatnonzero(surplus.max(axis=1) >= FEWEST)):
        last = int(surplus[rank].argmax())
        first = int(before[rank, : last + 1].argmin())
        stragglers.append(_describe(run, timed, lateness, rank, slice(first, last + 1)))
    return sorted(stragglers, key=lambda straggler: -straggler.late_seconds)


def as_text(straggler: Straggler, since: str) -> str:
    """Return a line about a straggler; ``since`` is the time in words."""
    node = "" if straggler.node is None else f" on node {straggler.node}"
    device = f" ({straggler.device})" if straggler.device else ""
    why = "; ".join(straggler.because) or "neither input, clocks nor throttling explain it"
    return (
        f"rank {straggler.rank}{node}{device} makes the others wait {text.number(1e3 * straggler.late_seconds, 3)} ms "
        f"per step ({straggler.slows:.1%} of it) in steps {straggler.first_step} to {straggler.last_step}, since "
        f"{since}: {why}"
    )


def _describe(run: RunDir, timed: Steps, lateness: np.ndarray, rank: int, span: slice) -> Straggler:
    late = float(lateness[rank, span].mean())
    begin = float(timed.start[rank, span][0])
    end = float(timed.start[rank, span][-1] + timed.seconds[rank, span][-1])
    of_ranks = {used.rank: used for used in usage(run.readings, begin, end, _EXPLAINING) if used.rank is not None}
    own = of_ranks.pop(rank, None)
    because = []
    waits = np.zeros(len(lateness)) if timed.input_seconds is None else timed.input_seconds[:, span].mean(axis=1)
    longer = float(waits[rank] - np.median(waits))
    if longer > late / 2:
        because.append(f"it waits {text.number(1e3 * longer, 3)} ms per step longer for its batch than the median rank")
    if own:
        because += _of_the_gpu(own, list(of_ranks.values()))
    return Straggler(
        rank=rank,
        node=own.node if own else None,
        device=own.device if own else None,
        first_step=int(timed.number[span][0]),
        last_step=int(timed.number[span][-1]),
        since=begin,
        late_seconds=late,
        slows=late / float(timed.lengths[span].mean()),
        because=tuple(because),
    )


def _of_the_gpu(own: Usage, others: Sequence[Usage]) -> list[str]:
    """Return lines on how the rank's GPU differs from the median of the other ranks' GPUs."""

    def against(name: str) -> tuple[float, float] | None:
        peers = [used.numbers[name] for used in others if name in used.numbers]
        return (own.numbers[name], statistics.median(peers)) if peers and name in own.numbers else None

    because = []
    clocks = against("sm_clock_mhz")
    if clocks and clocks[0] < 0.97 * clocks[1]:
        because.append(f"its GPU runs at {clocks[0]:.0f} MHz, others at {clocks[1]:.0f}")
    throttled = []
    for reason in _REASONS:
        seconds = against(f"throttled_{reason}_s")
        if seconds and seconds[0] - seconds[1] > LATE * own.seconds:
            mine, theirs = (f"{each / own.seconds:.0%}" for each in seconds)
            throttled.append(f"throttled for {reason.replace('_', ' ')} {mine} of the time, others {theirs}")
    share = against("throttled_share")
    if share and not throttled and share[0] - share[1] > LATE:
        throttled.append(
            f"its clocks are held down in {share[0]:.0%} of the readings, those of others in {share[1]:.0%}"
        )
    return because + throttled
