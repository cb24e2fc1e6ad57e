"""One live table for the runs of a study, on a terminal."""

import sys
import time
from collections.abc import Mapping, Sequence

from launch.plan.plan import Plan
from launch.plan.walltime import clock
from launch.record.activity import activity
from launch.record.performance.figures import of_result
from launch.record.performance.pace import pace
from launch.record.rundir import RunDir
from launch.record.table import aligned
from launch.screen import OF_STATES, Screen, bar

_EVERY_S = 0.5


class StudyScreen:
    """Draws how far the runs of a study are.

    Parameters
    ----------
    runs : sequence of RunDir and Plan
        All runs of the study that are watched.
    """

    def __init__(self, runs: Sequence[tuple[RunDir, Plan]]) -> None:
        self._runs, self._screen = runs, Screen(sys.stderr)
        self._drawn, self._ended = -_EVERY_S, {}

    def say(self, text: str) -> None:
        """Print lines above the table."""
        self._screen.clear()
        print(text, flush=True)
        self._drawn = -_EVERY_S

    def close(self) -> None:
        """Remove the table."""
        self._screen.clear()

    def draw(self, outcomes: Mapping[str, str], running: Sequence[RunDir], left: str) -> None:
        """Show the table, at most twice a second.

        Parameters
        ----------
        outcomes : mapping of str to str
            How runs ended, by name.
        running : sequence of RunDir
            The runs that have begun and not ended.
        left : str
            How long the study still takes, if that is known.
        """
        if time.monotonic() - self._drawn < _EVERY_S:
            return
        self._drawn = time.monotonic()
        under_way = {run.path for run in running}
        rows: list[list[str]] = []
        for run, plan in self._runs:
            outcome = outcomes.get(run.path.name)
            if outcome:
                rows.append([run.path.name, outcome, "", *self._result(run, outcome)])
            elif run.path in under_way:
                rows.append([run.path.name, "running", *_progress(run, plan)])
            else:
                rows.append([run.path.name, "waiting", "", "", "", "", ""])
        room = max(3, self._screen.size()[1] - 3)
        if len(rows) > room:  # those that have something to say
            rank = {"running": 0, "waiting": 2}
            rows = sorted(rows, key=lambda row: rank.get(row[1], 1))[:room]
        count = f"{len(outcomes)} of {len(self._runs)} runs have ended, {len(running)} running"
        head = f"{bar(len(outcomes) / len(self._runs))} {', '.join(filter(None, [count, left]))}"
        table = aligned([["run", "state", "", "step", "throughput", "left", ""], *rows]).split("\n")
        colours = [None, *(OF_STATES.get(row[1], "grey") for row in rows)]
        self._screen.draw([(head, None), *zip(table, colours)])

    def _result(self, run: RunDir, outcome: str) -> list[str]:
        """Return the cells of a run that has ended; its files do not change any more."""
        if run.path not in self._ended:
            made = of_result(run.result() or {}) if outcome == "done" else None
            self._ended[run.path] = ["", f"{made.value:.4g} {made.unit or ''}" if made and made.value else "", "", ""]
        return self._ended[run.path]


def _progress(run: RunDir, plan: Plan) -> list[str]:
    """Return the bar, step, throughput and time left of a run, or its signs of life."""
    now = pace(run)
    if now.step is None:
        return ["", "", "", "", activity(run, plan.nodes) if plan.kind != "workload" else "starting"]
    return [
        bar(now.step / now.steps, 12) if now.steps else "",
        f"{now.step}" + (f"/{now.steps}" if now.steps else ""),
        f"{now.throughput:.4g} {now.unit}" if now.throughput else "",
        clock(int(now.left_s)) if now.left_s is not None else "",
        "",
    ]
