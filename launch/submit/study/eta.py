"""Estimates how long a study still takes, from how long its finished runs took, point by point."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from launch.plan.walltime import clock
from launch.record.contents import Event
from launch.record.files import Unreadable
from launch.record.rundir import RunDir
from launch.record.study import entries_of
from launch.submit import places, states
from launch.submit.cutoff import point_of


class Estimate:
    """What is known about the times of the runs of a study.

    Parameters
    ----------
    folder : Path
        Folder of the study.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            entries = entries_of(folder)
        except Unreadable:
            entries = []
        self._point = {entry["run"]: (entry["nodes"], point_of(entry)) for entry in entries}
        self._took: dict[str, float] = {}

    def learn(self, name: str) -> None:
        """Find out how long a run took, if it is done."""
        run = RunDir(self._folder / name)
        if name in self._point and name not in self._took and run.result_json.exists():
            try:
                self._took[name] = ran_s(run.events())
            except Unreadable:
                pass

    def learn_all(self) -> None:
        """Find out how long all runs took."""
        for name in self._point:
            self.learn(name)

    def seconds(self, names: Iterable[str]) -> list[float | None]:
        """Return the expected time of each of some runs: the mean over the done runs of its point, else over those on
        as many nodes, else over all."""
        lists: dict[object, list[float]] = {}
        for name, took in self._took.items():
            for key in (self._point[name], self._point[name][0], None):
                lists.setdefault(key, []).append(took)
        means = {key: statistics.fmean(values) for key, values in lists.items()}
        points = (self._point.get(name, (0, ())) for name in names)
        return [means.get(point, means.get(point[0], means.get(None))) for point in points]

    def left_s(self, running: Mapping[str, float], waiting: Iterable[str]) -> float | None:
        """Return the seconds until the last of some runs ends, if the number of runs at a time stays as it is now; None
        if unknown.

        Parameters
        ----------
        running : mapping of str to float
            Seconds since each of the running runs began, by its name.
        waiting : iterable of str
            Runs that will follow.
        """
        of_waiting = self.seconds(waiting)
        whole = zip(self.seconds(running), running.values())
        of_running = [None if each is None else max(0.0, each - ran) for each, ran in whole]
        every = [each for each in (*of_running, *of_waiting) if each is not None]
        if not of_running or len(every) < len(of_running) + len(of_waiting):
            return None
        return max(*every, sum(every) / len(of_running))


def text(left_s: float | None) -> str:
    """Return the estimate as text; empty if unknown."""
    return "" if left_s is None else f"about {clock(int(left_s))} left"


def ran_s(events: Sequence[Event], now: float | None = None) -> float:
    """Return the seconds that the attempts of a run took; one that has not ended counts up to now."""
    total, began = 0.0, None
    for event in events:
        if event["event"] == "started":
            began = event["time"]
        elif event["event"] == "ended" and began is not None:
            total += max(0.0, event["time"] - began)
            began = None
    return total + (max(0.0, now - began) if now is not None and began is not None else 0.0)


def of_studies(known: Sequence[states.Known]) -> dict[Path, float]:
    """Return the seconds that each study among some runs still takes, for studies that have both running and done
    runs."""
    if all(one.running_s is None for one in known):
        return {}
    by_path = {one.path: one for one in known}
    found = {}
    for folder, paths in places.grouped(by_path).items():
        members = [by_path[path] for path in paths]
        running = {one.path.name: one.running_s for one in members if one.running_s is not None}
        if not running or paths == [folder]:
            continue
        estimate = Estimate(folder)
        for one in members:
            if one.state == "done":
                estimate.learn(one.path.name)
        waiting = [one.path.name for one in members if one.state in ("queued", "planned")]
        if (left := estimate.left_s(running, waiting)) is not None:
            found[folder] = left
    return found
