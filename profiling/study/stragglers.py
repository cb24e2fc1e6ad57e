"""Ranks that the others wait for: which, since when, by how much they slow the job, and what of the readings explains it."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from launch.record.rundir import RunDir
from profiling import text
from profiling.study.steps import Steps
from profiling.telemetry.usage import Usage, usage

LATE = 0.05
"""A rank is late in a step when its own part takes longer than the median rank's by this part of the median step."""
FEWEST = 10
"""In how many more steps than not, within the span that is named, a rank must be late to be called a straggler."""


_REASONS = ("power", "thermal", "sync_boost", "board_limit", "reliability")
_EXPLAINING = ("sm_clock_mhz", "throttled_share", *(f"throttled_{reason}_s" for reason in _REASONS))


@dataclass(frozen=True)
class Straggler:
    """A rank that others waited for."""

    rank: int
    node: int | None  # None without readings
    device: str | None
    first_step: int  # of the span in which it is late
    last_step: int
    since: float  # Unix seconds, start of the first step
    late_seconds: float  # a step, against the median rank, mean over the span
    slows: (
        float  # that as a part of the steps' length: how much longer they take than with this rank like the median one
    )
    because: tuple[str, ...]  # what explains it; empty where nothing of the records does


def find(run: RunDir, timed: Steps) -> list[Straggler]:
    """The stragglers of a run, the worst first.

    Parameters
    ----------
    run : RunDir
        Its readings explain.
    timed : Steps
        Its timed steps, of at least 3 ranks: of two that differ neither is late by itself. None is found where the ranks do
        not record when their own gradients were ready.

    Notes
    -----
    A rank's own part of a step (its wait for the batch, and the computation until its gradients are ready) is late or not
    against the median rank. The span is the stretch of steps with the largest surplus of late ones over others (Bentley 1984,
    Programming Pearls: maximum-sum subarray), so that a few good steps do not end it.
    """
    ranks, steps = timed.seconds.shape
    if ranks < 3 or steps < FEWEST or timed.own_seconds is None:
        return []
    lateness = timed.own_seconds - np.median(timed.own_seconds, axis=0)
    sums = np.cumsum(np.where(lateness > LATE * np.median(timed.of_chief), 1, -1), axis=1)
    before = np.concatenate([np.zeros((ranks, 1), int), sums[:, :-1]], axis=1)
    surplus = sums - np.minimum.accumulate(before, axis=1)
    found = []
    for rank in np.flatnonzero(surplus.max(axis=1) >= FEWEST):
        last = int(surplus[rank].argmax())
        first = int(before[rank, : last + 1].argmin())
        found.append(_describe(run, timed, lateness, int(rank), slice(first, last + 1)))
    return sorted(found, key=lambda one: -one.late_seconds)


def as_text(one: Straggler, clock: Any) -> str:
    """One line on it; ``clock`` writes a time."""
    where = (
        f"rank {one.rank}"
        + ("" if one.node is None else f" on node {one.node}")
        + (f" ({one.device})" if one.device else "")
    )
    why = f": {'; '.join(one.because)}" if one.because else ": neither input, clocks nor throttling explain it"
    return (
        f"{where} makes the others wait {text.number(1e3 * one.late_seconds, 3)} ms a step ({one.slows:.1%} of it) in steps "
        f"{one.first_step} to {one.last_step}, since {clock(one.since)}{why}"
    )


def as_json(one: Straggler) -> dict[str, Any]:
    """Its fields."""
    return asdict(one)


def _describe(run: RunDir, timed: Steps, lateness: np.ndarray, rank: int, span: slice) -> Straggler:
    late = float(lateness[rank, span].mean())
    begin = float(timed.start[rank, span][0])
    end = float(timed.start[rank, span][-1] + timed.seconds[rank, span][-1])
    found = usage(run.readings, begin, end, _EXPLAINING)
    own = next((one for one in found if one.rank == rank), None)
    because = []
    if timed.input_seconds is not None:
        waits = timed.input_seconds[:, span].mean(axis=1)
        longer = float(waits[rank] - np.median(waits))
        if longer > late / 2:
            because.append(
                f"it waits {text.number(1e3 * longer, 3)} ms per step longer for its batch than the median rank"
            )
    if own:
        because += _of_the_gpu(own, [one for one in found if one.rank is not None and one.rank != rank])
    return Straggler(
        rank=rank,
        node=own.node if own else None,
        device=own.device if own else None,
        first_step=int(timed.number[span][0]),
        last_step=int(timed.number[span][-1]),
        since=begin,
        late_seconds=late,
        slows=late / float(timed.of_chief[span].mean()),
        because=tuple(because),
    )


def _of_the_gpu(own: Usage, others: Sequence[Usage]) -> list[str]:
    """What its GPU does that those of the median rank do not."""
    said = []

    def against(name: str) -> tuple[float, float] | None:
        peers = [one.numbers[name] for one in others if name in one.numbers]
        return (own.numbers[name], statistics.median(peers)) if peers and name in own.numbers else None

    clocks = against("sm_clock_mhz")
    if clocks and clocks[0] < 0.97 * clocks[1]:
        said.append(f"its GPU runs at {clocks[0]:.0f} MHz, others at {clocks[1]:.0f}")
    for reason in _REASONS:
        seconds = against(f"throttled_{reason}_s")
        if seconds and seconds[0] - seconds[1] > LATE * own.seconds:
            said.append(
                f"throttled for {reason.replace('_', ' ')} {seconds[0] / own.seconds:.0%} of the time, others {seconds[1] / own.seconds:.0%}"
            )
    share = against("throttled_share")
    if share and not any("throttled" in word for word in said) and share[0] - share[1] > LATE:
        said.append(f"its clocks are held down in {share[0]:.0%} of the readings, those of others in {share[1]:.0%}")
    return said
