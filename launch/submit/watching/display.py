"""What is shown while jobs are watched: progress of one run or of several, a table of a study, or counts."""

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from launch.backends.scheduler import ENDED, QUEUED, Answer, Status
from launch.plan.plan import Plan
from launch.record import cooperation, network
from launch.record.job import Job
from launch.record.progress import Progress, closing
from launch.record.rundir import RunDir
from launch.screen import is_live
from launch.submit import jobs as submission
from launch.submit.study import eta
from launch.submit.watching.ends import has_begun
from launch.submit.watching.study_screen import StudyScreen

_COUNTS_S = 60.0  # pause between two lines of counts, if they do not stay in their place
_LOOK_S = 5.0  # pause between two estimates of how long the study still takes


class Display:
    """Shows how far the runs of some jobs of the same shape are.

    Parameters
    ----------
    left : mapping of Path to Job, RunDir and Plan
        The runs that have not ended, in their order: at first all. The caller removes those that have ended.
    outcomes : mapping of str to str
        How the others ended, by name; the caller keeps it up to date too.
    follow : bool
        Whether to show progress.
    beside : bool
        Whether the runs of a packed job go side by side.
    """

    def __init__(
        self,
        left: Mapping[Path, tuple[Job, RunDir, Plan]],
        outcomes: Mapping[str, str],
        follow: bool,
        beside: bool,
    ) -> None:
        self._left, self._outcomes, self._follow, self._beside = left, outcomes, follow, beside
        self._all = list(left)
        self._job = next(iter(left.values()))[0]
        self._progress: dict[Path, Progress] = {}
        self._counts, self._counted = "", -_COUNTS_S
        runs = [(run, plan) for _, run, plan in left.values()]
        live = follow and len(runs) > 1 and is_live(sys.stderr)
        self._screen = StudyScreen(runs) if live else None
        self._estimate: eta.Estimate | None = None
        self._looked, self._more = -_LOOK_S, ""
        self._said_of_ranks: set[str] = set()
        self._said_of_network: set[object] = set()

    def close(self) -> None:
        """Remove the live line."""
        for progress in self._progress.values():
            progress.close()
        self._progress = {}
        if self._screen:
            self._screen.close()

    def show(self, answer: Answer) -> None:
        """Show how far the runs are, by what their scheduler has reported."""
        now = time.monotonic()
        if self._screen and self._left:
            if now - self._looked > _LOOK_S:
                self._looked, self._more = now, self._left_for_all()
            begun = self._begun(answer)
            job, run, _ = next(iter(self._left.values()))
            self._screen.draw(self._outcomes, begun, self._more if begun else _waiting(job, answer.of(job, run)))
            return
        if not self._follow or not self._left or self._job.shape == "array":
            return
        if self._progress and now - self._looked > _LOOK_S:
            self._looked, left = now, self._left_for_all()
            self._more = f"study: {left}" if left else ""
        more = self._more
        for job, run, plan in self._under_way():
            if run.path not in self._progress:
                if job.shape == "pack" and not self._beside:
                    print(f"\n[{self._all.index(run.path) + 1}/{len(self._all)}] {run.path.name}", flush=True)
                self._progress[run.path] = Progress(run, plan, label=run.path.name if self._beside else "")
            self._progress[run.path](_waiting(job, answer.of(job, run)), more)
            more = ""

    def ended(self, job: Job, run: RunDir, plan: Plan, outcome: str) -> None:
        """Say how a run has ended."""
        if self._estimate and outcome == "done":
            self._estimate.learn(run.path.name)
        if job.shape == "array":
            if self._follow and not self._screen:
                print(f"{run.path.name}: {outcome}", flush=True)
            if outcome == "done" and (ranks := cooperation.seen(run, plan)) and ranks not in self._said_of_ranks:
                self._said_of_ranks.add(ranks)
                self.print(f"ranks: {ranks}")
            return
        if progress := self._progress.pop(run.path, None):
            progress.close()
        if not self._screen or outcome != "done":  # the table has those that are done
            self.print(closing(run, plan, outcome))

    def count(self, answer: Answer) -> None:
        """Say how many runs have ended, of those that have no lines of their own."""
        running = len(self._begun(answer))
        counts = f"{len(self._all) - len(self._left)} of {len(self._all)} runs have ended, {running} running"
        due = not self._left or running and time.monotonic() - self._counted >= _COUNTS_S
        if (self._beside or self._job.shape == "array") and counts != self._counts and due and not self._screen:
            self.say(", ".join(filter(None, [counts, self._left_for_all()])))
            self._counts, self._counted = counts, time.monotonic()

    def look_at_network(self, run: RunDir, plan: Plan) -> None:
        """Say at once that ranks use the wrong network, because each of their hours is expensive."""
        if run.path in self._said_of_network or not network.is_looked_for(plan) or not (said := network.said(run)):
            return
        self._said_of_network.add(run.path)
        line = f"{run.path.name}: network: {said}"
        if progress := self._progress.get(run.path):
            progress.say(line)
        else:
            self.print(line)

    def print(self, text: str) -> None:
        """Print text that stays on the terminal, above the table if there is one."""
        if self._screen:
            self._screen.say(text)
        else:
            print(text, flush=True)

    def say(self, line: str) -> None:
        """Print a line about the progress, if progress is shown."""
        if self._screen:
            self._screen.say(line)
        elif self._follow:
            print(line, file=sys.stderr, flush=True)

    def _left_for_all(self) -> str:
        """Return about how long the runs that have not ended, and those after them, still take."""
        if not self._follow or len(self._all) == 1:
            return ""
        if self._estimate is None:
            self._estimate = eta.Estimate(self._job.holder)
            self._estimate.learn_all()
        running, waiting = {}, []
        for job, run, _ in self._left.values():
            last = submission.last_event(run, job)
            if last.get("event") == "started":
                running[run.path.name] = time.time() - last["time"]
            else:
                waiting.append(run.path.name)
        return eta.text(self._estimate.left_s(running, waiting))

    def _under_way(self) -> Iterator[tuple[Job, RunDir, Plan]]:
        """Yield the runs of a job that have begun and not ended; those of a packed job begin in order."""
        for job, run, plan in self._left.values():
            if job.shape == "pack" and not has_begun(job, run):
                return
            yield job, run, plan
            if not self._beside:
                return

    def _begun(self, answer: Answer) -> list[RunDir]:
        """Return the runs that have begun and not ended, whatever the shape of their jobs."""
        if self._job.shape == "pack":
            return [run for _, run, _ in self._under_way()]
        return [
            run
            for job, run, _ in self._left.values()
            if (status := answer.of(job, run)) is not None and status.phase not in (QUEUED, ENDED)
        ]


def _waiting(job: Job, status: Status | None) -> str:
    """Return what keeps a job from starting."""
    if status is None or not status.word or status.word == "RUNNING":
        return ""
    return f"job {job.id} is {status.word.lower()}{f': {status.reason}' if status.reason else ''}"
