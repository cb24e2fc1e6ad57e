"""Whether a series of a table scales weakly or strongly, and its times as throughput."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from launch.errors import Refusal

HELD = 0.02  # relative difference up to which work counts as constant
ABOUT = 1.6  # factor by which the work of a worker may differ in weak scaling: meshes cannot be cut anywhere
CLEARLY = 1.25  # factor by which times must fall to rule out weak scaling


@dataclass(frozen=True)
class Evidence:
    """What is known about the points of a series; None if it is unknown."""

    workers: Sequence[int]
    seconds: Sequence[float] | None = None
    rates: Sequence[float] | None = None
    work: Sequence[float] | None = None  # work of all workers, in a unit that is proportional to it
    size: Sequence[float] | None = None  # size of the problem, such as the side of a mesh
    speedup: Sequence[float | None] | None = None
    efficiency: Sequence[float | None] | None = None
    words: Sequence[str] = ()  # texts around the table, those that say most first


def kind(known: Evidence) -> tuple[str, str]:
    """Return "weak", "strong", or empty if nothing tells them apart; and the reason.

    Raises
    ------
    Refusal
        If two pieces of evidence contradict each other, or the times show neither.
    """
    found = [each for each in (_by_work(known), _by_both(known)) if each[0]]
    said, size = _by_words(known.words), _by_size(known)
    if said[0] and found and found[0][0] != said[0]:
        raise Refusal(f"is of {said[0]} scaling, as {said[1]}, but {found[0][1]}: say --kind weak or --kind strong")
    for each in (*found[:1], said, size, _by_given(known)):
        if each[0]:
            return each
    if size[1] and known.seconds:
        raise Refusal(
            "has a problem that grows with the workers, but not as they do: say --kind weak (the work of a worker is "
            "about the same) or --kind strong"
        )
    return _by_times(known)


def _spread(values: Sequence[float]) -> float:
    return max(values) / min(values) if values and min(values) > 0 else math.inf


def _by_work(known: Evidence) -> tuple[str, str]:
    workers = known.workers
    if known.work and min(known.work) > 0:
        of_one = _spread([work / n for work, n in zip(known.work, workers)])
        of_all = _spread(known.work)
        if of_all <= 1 + HELD:
            return "strong", "the work of all is the same in all rows"
        if of_one <= 1 + HELD:
            return "weak", "the work of a worker is the same in all rows"
        if of_one <= ABOUT and of_all > 2 * of_one:
            return "weak", "the work of a worker is about the same in all rows"
    return "", ""


def _by_size(known: Evidence) -> tuple[str, str]:
    """Decide by the size of the problem, which does not say how much work that is."""
    if known.size and min(known.size) > 0:
        if _spread(known.size) == 1:
            return "strong", "the problem is the same in all rows"
        for power in (1, 2, 3):
            if _spread([size**power / n for size, n in zip(known.size, known.workers)]) <= 1 + HELD:
                return "weak", "the problem grows with the workers"
        order = sorted(zip(known.workers, known.size))
        if len(order) == len(set(known.workers)) > 1 and all(a[1] < b[1] for a, b in zip(order, order[1:])):
            return "", "grows"
    return "", ""


def _by_both(known: Evidence) -> tuple[str, str]:
    """Decide by time x throughput, which is the work."""
    if not known.seconds or not known.rates:
        return "", ""
    work = [seconds * rate for seconds, rate in zip(known.seconds, known.rates)]
    of_one, of_all = _spread([each / n for each, n in zip(work, known.workers)]), _spread(work)
    if of_all <= 1.15 and of_one > 1.3:
        return "strong", "time x throughput, the work, stays the same"
    if of_one <= 1.15 and of_all > 1.3:
        return "weak", "time x throughput, the work, grows with the workers"
    return "", ""


def _by_words(words: Sequence[str]) -> tuple[str, str]:
    for text in words:
        said = {kind for kind in ("weak", "strong") if re.search(rf"(?<![a-z]){kind}(?![a-z])", text.lower())}
        if len(said) == 1:
            return said.pop(), "the words around it say"
    return "", ""


def _by_given(known: Evidence) -> tuple[str, str]:
    """Decide by the speed-up or efficiency that stands beside times, from which it follows for one kind only."""
    if not known.seconds:
        return "", ""
    base = known.workers.index(min(known.workers))
    share = [n / known.workers[base] for n in known.workers]
    gain = [known.seconds[base] / seconds for seconds in known.seconds]
    for values, strong, weak, what in (
        (known.efficiency, [g / s for g, s in zip(gain, share)], gain, "efficiency"),
        (known.speedup, gain, [g * s for g, s in zip(gain, share)], "speed-up"),
    ):
        if not values:
            continue
        first = values[base] or 1.0
        pairs = [
            (value / first, one, other)
            for value, one, other, s in zip(values, strong, weak, share)
            if value and 0 < value / first < math.inf and s > 1
        ]
        errors = [
            max(
                (abs(math.log(value / model)) for value, *models in pairs for model in [models[which]]),
                default=math.inf,
            )
            for which in (0, 1)
        ]
        if min(errors) <= 0.1 < max(errors):
            return ("strong", "weak")[errors[1] < errors[0]], f"its {what} follows so from the times"
    return "", ""


def _by_times(known: Evidence) -> tuple[str, str]:
    if not known.seconds or known.rates or len(set(known.workers)) < 2:
        return "", ""
    points: dict[int, float] = {}
    for n, seconds in zip(known.workers, known.seconds):
        points[n] = min(seconds, points.get(n, math.inf))
    first, best = points[min(points)], min(points.values())
    if first >= CLEARLY * best:
        return "strong", "the times fall"
    raise Refusal("has times that do not fall: say --kind weak (the work of a worker is held) or --kind strong")


def rate(kind: str, workers: int, seconds: float, work: float | None) -> float:
    """Return the work per second: of ``work`` if given, else in units of all the work (strong) or a worker's (weak)."""
    return (work if work is not None else workers if kind == "weak" else 1.0) / seconds


def fallen(workers: Sequence[int], rates: Sequence[float]) -> str:
    """Return what a throughput by rising workers looks like instead: "times", "rate of one", or "" if it may be one."""
    growth, gain = workers[-1] / workers[0], rates[-1] / rates[0]
    if growth < 3 or len(workers) < 3:
        return ""
    falls = all(later < before for before, later in zip(rates, rates[1:]))
    if falls and 0.4 <= gain * growth <= 2.2:
        return "times"
    return "rate of one" if _spread(rates) <= 1.25 and growth >= 4 else ""
