"""The times of the steps of a run's ranks: those of the lowest rank, and how far the others are apart from them."""

import math
from collections import defaultdict, deque
from collections.abc import Mapping

from launch.record.contents import StepRecord

WARM_UP = 0.1
"""The fraction of a run's steps, from the first one, that is not timed: caches fill, clocks rise, allocators grow."""
APART = 0.1
"""Share by which the ranks' times for the same steps may differ if they wait for each other. Beyond it the time of the
slowest rank counts, because the work is done when that rank is."""

_LAST, _LEAST = 1000, 10  # most and least steps of a rank that are compared


class LowestRank:
    """The steps of the lowest rank so far.

    Attributes
    ----------
    seconds : dict
        By step, the seconds in its last attempt; 0 if it is not timed.
    """

    def __init__(self) -> None:
        self._rank = math.inf
        self._clear()

    def _clear(self) -> None:
        self.seconds: dict[float, float] = {}
        self._attempt, self._first, self._stepping = 0.0, math.inf, 0.0  # the last attempt: see `phases`

    def add(self, record: StepRecord) -> None:
        """Add a step of any rank."""
        if record["rank"] > self._rank:
            return
        if record["rank"] < self._rank:
            self._rank = record["rank"]
            self._clear()
        if record["attempt"] > self._attempt:
            self._attempt, self._first, self._stepping = record["attempt"], math.inf, 0.0
        self.seconds[record["step"]] = _timed(record)
        self._first = min(self._first, record["start"])
        self._stepping += max(0.0, record["seconds"]) if record["seconds"] < math.inf else 0.0

    def timed(self) -> dict[float, float]:
        """Return the seconds of the steps that are timed, by step: those of the warm-up are not."""
        timed = [step for step in sorted(self.seconds) if self.seconds[step] > 0]
        return {step: self.seconds[step] for step in timed[max(1, round(WARM_UP * len(timed))) :]}

    def phases(self, started: float, ended: float) -> dict[str, float | None]:
        """Return the seconds of the last attempt: before its first step, in steps, and the rest."""
        start = max(0.0, self._first - started)
        other = max(0.0, ended - started - start - self._stepping)
        return {"start": round(start, 3), "train": round(self._stepping, 3), "other": round(other, 3)}


class Apart:
    """The times of all ranks for the same steps, each relative to that of the lowest rank. They are added file by file,
    and of each rank only the last steps are compared, as there may be thousands of ranks."""

    def __init__(self) -> None:
        self._relative: dict[int, float] = {}
        self._file: defaultdict[int, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=_LAST))

    def add(self, record: StepRecord) -> None:
        """Add a step of the file that is being read."""
        self._file[int(record["rank"])].append((record["step"], _timed(record)))

    def end_file(self, lowest: Mapping[float, float]) -> None:
        """Compare the ranks of the file with the timed steps of the lowest rank."""
        for rank, steps in self._file.items():
            last = dict(steps)  # if a step was rerun after a kill, its last attempt counts
            both = [(seconds, lowest[step]) for step, seconds in last.items() if seconds and step in lowest]
            if both and len(both) >= min(_LEAST, len(lowest)):  # of fewer steps, one slow one would decide
                self._relative[rank] = sum(own for own, _ in both) / sum(other for _, other in both)
        self._file.clear()

    @property
    def ratio(self) -> float:
        """The time of the slowest rank over that of the fastest; 1 if the ranks wait for each other."""
        times = self._relative.values()
        return max(times) / min(times) if times and max(times) > (1 + APART) * min(times) else 1.0

    @property
    def slowest(self) -> float:
        """The time that counts, relative to that of the lowest rank; 1 if the ranks wait for each other."""
        return max(self._relative.values()) if self.ratio > 1 else 1.0


def _timed(record: StepRecord) -> float:
    """Return the seconds of a step; 0 if it is not timed."""
    timed = 0 < record["seconds"] < math.inf and not record.get("compiled") and not record.get("traced")
    return record["seconds"] if timed else 0.0
