"""Whether a series of a table scales weakly or strongly."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from launch.errors import Refusal

HELD = 0.02  # relative difference up to which work counts as constant
ABOUT = 1.6  # factor by which the work of a worker may differ in weak scaling: meshes cannot be cut anywhere
CLEARLY = 1.25  # factor by which times must fall to rule out weak scaling
HARDLY = 1.05  # factor by which they must fall where the work is that of strong scaling
_SAY = "say --kind weak (the work of a worker is held) or --kind strong (the work of all)"


@dataclass(frozen=True)
class Evidence:
    """What is known about the points of a series; None if it is unknown."""

    workers: Sequence[int]
    seconds: Sequence[float] | None = None
    pace: Sequence[float] | None = None  # seconds of a step, from a rate of steps
    rates: Sequence[float] | None = None
    work: Sequence[float] | None = None  # work of all workers, in a unit that is proportional to it
    size: Sequence[float] | None = None  # size of the problem, such as the side of a mesh
    models: bool = False  # whether the size is that of a model, with which the work of an example grows
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
    said, by_size = _by_words(known.words), _by_size(known)
    found = [_by_work(known.workers, known.work), _by_both(known), said, by_size, _by_given(known)]
    doubts = {each: doubt for each in found[:4] if (doubt := _against(known, each[0], each is said))}
    likely = [each for each in found if each[0] and each not in doubts]
    if said[0] and likely and likely[0][0] != said[0]:
        raise Refusal(f"is of {said[0]} scaling, as {said[1]}, but {likely[0][1]}: {_SAY}")
    if likely:
        kind, why = likely[0]
        return kind, why + ("" if said[0] else _slowly(known, kind))
    for (kind, why), doubt in doubts.items():
        raise Refusal(f"is of {kind} scaling, as {why}, but {doubt}: {_SAY}")
    if by_size[1] and (known.seconds or known.pace or known.models):
        raise Refusal(f"has a problem that grows with the workers, but not as they do: {_SAY}")
    return _by_times(known)


def _against(known: Evidence, kind: str, said: bool) -> str:
    """Return how the times contradict a kind. They cannot fall nearly as 1/workers in weak scaling; and if they do not
    fall, scaling is strong only where that is said."""
    times = known.seconds or known.pace
    if not kind or not times:
        return ""
    workers, points = _points(known.workers, times)
    growth = math.sqrt(workers[-1] / workers[0])
    if kind == "weak" and points[0] > max(CLEARLY, growth) * points[-1] and (known.seconds or not said):
        return "the times fall with the workers" if known.seconds else "the rate of steps grows with the workers"
    if kind == "strong" and not _fall(workers, points, HARDLY) and not said:
        return "the times do not fall" if known.seconds else "the rate of steps does not grow"
    return ""


def _slowly(known: Evidence, kind: str) -> str:
    """Return a remark on strong scaling that saturates from the start, which weak scaling may look like."""
    times = known.seconds or known.pace
    if kind != "strong" or not times or _fall(*_points(known.workers, times), CLEARLY):
        return ""
    return f" ({'the times hardly fall' if known.seconds else 'the rate hardly grows'}: if it is weak, say --kind weak)"


def _points(workers: Sequence[int], times: Sequence[float]) -> tuple[list[int], list[float]]:
    """Return the numbers of workers in rising order, and the shortest time of each."""
    points: dict[int, float] = {}
    for n, seconds in zip(workers, times):
        points[n] = min(seconds, points.get(n, math.inf))
    return sorted(points), [points[n] for n in sorted(points)]


def _fall(workers: Sequence[int], points: Sequence[float], by: float) -> bool:
    """Return whether times by rising workers fall by a factor, or by what is much for as few more workers."""
    return points[0] >= min(by, math.sqrt(workers[-1] / workers[0])) * min(points)


def _spread(values: Sequence[float]) -> float:
    return max(values) / min(values) if values and min(values) > 0 else math.inf


def _by_work(workers: Sequence[int], work: Sequence[float] | None) -> tuple[str, str]:
    if work and min(work) > 0:
        of_one = _spread([each / n for each, n in zip(work, workers)])
        of_all = _spread(work)
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
    """Decide by time x throughput, which is the work. Time x a rate of steps is only their number, so the times have
    to fall as they cannot in weak scaling."""
    if not known.seconds or not known.rates:
        return "", ""
    if known.pace:
        return ("strong", "the times fall") if _against(known, "weak", False) else ("", "")
    work = [seconds * rate for seconds, rate in zip(known.seconds, known.rates)]
    of_one, of_all = _spread([each / n for each, n in zip(work, known.workers)]), _spread(work)
    if of_all <= 1.15 and of_one > 1.3:
        return "strong", "time x throughput, the work, stays the same"
    if of_one <= 1.15 and of_all > 1.3:
        return "weak", "time x throughput, the work, grows with the workers"
    return "", ""


def _by_words(words: Sequence[str]) -> tuple[str, str]:
    """Decide by weak or strong before scaling ("weak parallel scaling"), and in a name also before no other word
    ("amg_weak"): weak lensing says nothing."""
    for text in words:
        name = r"|[\s_-]*(?![\s_-]|[^\W\d_])" if len(re.findall(r"[^\W\d_]+", text)) <= 5 else ""
        after = rf"(?:[\s_/,-]+[^\W\d_]+){{0,2}}?[\s_/,-]*(?:scal|speed|effic){name}"
        said = {kind for kind in ("weak", "strong") if re.search(rf"(?<![^\W_]){kind}(?={after})", text.lower())}
        if len(said) == 1:
            return said.pop(), "the words around it say"
    return "", ""


def _by_given(known: Evidence) -> tuple[str, str]:
    """Decide by the speed-up or efficiency that stands beside times, from which it follows for one kind only."""
    if not (times := known.seconds or known.pace):
        return "", ""
    base = known.workers.index(min(known.workers))
    share = [n / known.workers[base] for n in known.workers]
    gain = [times[base] / seconds for seconds in times]
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
    if known.pace and len(set(known.workers)) > 1 and not _fall(*_points(known.workers, known.pace), CLEARLY):
        raise Refusal(f"has a rate of steps that falls or stays the same: {_SAY}")
    if not known.seconds or known.rates or len(set(known.workers)) < 2:
        return "", ""
    _, points = _points(known.workers, known.seconds)
    if points[0] >= CLEARLY * min(points):
        return "strong", "the times fall"
    raise Refusal(f"has times that do not fall: {_SAY}")


def follows(workers: Sequence[int], work: Sequence[float]) -> bool:
    """Return whether some work is exactly that of weak or of strong scaling, so that the kind says all of it."""
    why = _by_work(workers, work)[1]
    return bool(why) and "about" not in why


def grows(workers: Sequence[int], rates: Sequence[float]) -> bool:
    """Return whether a throughput clearly grows with the workers."""
    _, points = _points(workers, [1 / rate for rate in rates])
    return points[0] >= CLEARLY * points[-1]


def fallen(workers: Sequence[int], rates: Sequence[float]) -> str:
    """Return what a throughput by rising workers looks like instead: "times", "rate of one", or "" if it may be one."""
    growth, gain = workers[-1] / workers[0], rates[-1] / rates[0]
    if growth < 3 or len(workers) < 3:
        return ""
    falls = all(later < before for before, later in zip(rates, rates[1:]))
    if falls and 0.4 <= gain * growth <= 2.2:
        return "times"
    return "rate of one" if _spread(rates) <= 1.25 and growth >= 4 else ""
