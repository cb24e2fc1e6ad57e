"""What the wall clocks of a run's steps show. No throughput rests on them: lengths come from a monotonic clock."""

from collections.abc import Sequence

import numpy as np

from launch.record.contents import Event
from profiling import text

CLOCK_S = 1.0
"""Seconds by which wall clocks may disagree with each other, or with the steps' lengths, without a note."""
OUTSIDE_S = 600.0
"""Seconds by which steps may begin before or after their run without a note."""


def doubts(
    start: np.ndarray,
    seconds: np.ndarray,
    attempt: np.ndarray,
    number: np.ndarray,
    independent: bool,
    events: Sequence[Event],
) -> list[str]:
    """Return notes on clocks that went back, that differ between ranks, or that are not those of the run.

    Parameters
    ----------
    start, seconds, attempt : ndarray, (ranks, steps)
        When each step began, in Unix seconds by the clock of the rank's node, its length, and its attempt.
    number : ndarray, (steps,)
        Numbers of the steps.
    independent : bool
        Whether the ranks work on their own. They may be at the same step at any time, so only those that meet show
        clocks that differ.
    events : sequence of Event
        The events of the run.
    """
    notes, seconds = [], np.where(np.isfinite(seconds), seconds, 0)
    back = np.where(np.diff(attempt) == 0, start[:, :-1] + seconds[:, :-1] - start[:, 1:], 0)
    if back.size and (most := back.max()) > CLOCK_S:
        rank, place = np.unravel_index(back.argmax(), back.shape)
        notes.append(f"the clock of rank {rank} went back by {text.number(most, 3)} s after step {number[place]:.0f}")
    apart = start.max(0) - start.min(0) - seconds.max(0)
    if not independent and (most := apart.max()) > CLOCK_S:
        step = number[apart.argmax()]
        notes.append(f"the clocks of its ranks are {text.number(most, 3)} s apart at step {step:.0f}")
    return [
        *(f"{note}: harmless here, as steps are timed by another clock" for note in notes),
        *_outside(start, events),
    ]


def _outside(start: np.ndarray, events: Sequence[Event]) -> list[str]:
    """Return a note if the steps began long before or after the run, so that no reading was taken during them."""
    times = [event["time"] for event in events if event["event"] in ("started", "ended")]
    usual = float(np.median(start)) if start.size else 0.0
    if not times or not start.size or min(times) - OUTSIDE_S <= usual <= max(times) + OUTSIDE_S:
        return []
    before, after = min(times) - usual, usual - max(times)
    when = f"{text.number(before, 3)} s before it began" if before > 0 else f"{text.number(after, 3)} s after its end"
    return [
        f"the `start` of its steps lies outside the run ({when}), so no reading of GPUs, power and memory is theirs: "
        "record Unix seconds"
    ]
