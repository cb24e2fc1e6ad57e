"""Waits for jobs until their runs have ended, shows progress meanwhile, and finds out how each run ended."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from launch.backends.scheduler import ENDED, QUEUED, Answer, Status, scheduler
from launch.plan.plan import Plan
from launch.record import cooperation, network
from launch.record.failures import diagnose
from launch.record.job import Job
from launch.record.progress import Progress, closing
from launch.record.rundir import RunDir
from launch.screen import is_live
from launch.submit import jobs as submission
from launch.submit.cutoff import cut
from launch.submit.ends import Ends, has_begun, no_room
from launch.submit.interrupts import ended_by_signals, told_how_to_end_at_once
from launch.submit.study import eta
from launch.submit.study_screen import StudyScreen

_ENDS = {"slurm": "scancel", "pbs": "qdel", "flux": "flux cancel", "allocation": "scancel", "local": "kill"}
_SHOWN_S = 0.2
_ALL_FAIL = 3  # failed runs after which the user is told
_COUNTS_S = 60.0  # between two lines of counts, where they do not stay in their place
_LOOK_S = 5.0  # between two estimates of how long the study still takes


def watch(jobs: Sequence[Job], follow: bool) -> dict[str, str]:
    """Wait until the last run of some jobs has ended.

    Parameters
    ----------
    jobs : sequence of Job
        Submitted jobs, with their plans.
    follow : bool
        Whether to show progress.

    Returns
    -------
    dict of str to str
        For each run by name: done, stopped, failed, refused (bad input, found by a rank), cancelled or timeout. Does
        not hold runs that were skipped as too inefficient.

    Raises
    ------
    KeyboardInterrupt
        If the user asked for the end; the jobs have then ended.
    """
    watched = _Watch(jobs, follow)
    try:
        with ended_by_signals(not scheduler(jobs[0].backend).remote):
            watched.to_the_end()
    except KeyboardInterrupt:
        watched.close()
        with told_how_to_end_at_once():
            submission.end([(job, None) for job in jobs])
        for run, plan in watched.left():
            if len(jobs) == len(jobs[0].runs) == 1:
                print(closing(run, plan, "interrupted"), flush=True)
        raise
    watched.close()
    return watched.outcomes


class _Watch:
    def __init__(self, jobs: Sequence[Job], follow: bool) -> None:
        self._jobs, self._follow = jobs, follow
        self._scheduler = scheduler(jobs[0].backend)
        self._left = {run.path: (job, run, plan) for job in jobs for run, plan in zip(job.run_dirs, job.plans)}
        self._poll_s = max(self._scheduler.poll_s, *(float(plan.poll_s) for _, _, plan in self._left.values()))
        self._all = list(self._left)
        self._ends = Ends()
        self._beside = jobs[0].shape == "pack" and not self._scheduler.remote and jobs[0].throttle != 1
        self._progress: dict[Path, Progress] = {}
        self._counts, self._counted = "", -_COUNTS_S
        runs = [(run, plan) for _, run, plan in self._left.values()]
        live = follow and len(runs) > 1 and is_live(sys.stderr)
        self._screen = StudyScreen(runs) if live else None
        self._estimate: eta.Estimate | None = None
        self._looked, self._more = -_LOOK_S, ""
        self._said_of_ranks: set[str] = set()
        self._said_of_network: set[object] = set()
        self._errors: list[str] = []  # errors of the runs that have failed
        self.outcomes: dict[str, str] = {}

    def left(self) -> list[tuple[RunDir, Plan]]:
        """The runs that have not ended."""
        return [(run, plan) for _, run, plan in self._left.values()]

    def close(self) -> None:
        """Remove the live line."""
        for progress in self._progress.values():
            progress.close()
        self._progress = {}
        if self._screen:
            self._screen.close()

    def to_the_end(self) -> None:
        """Ask for states and show progress until no run is left."""
        answer, next_question = Answer({}), 0.0
        while self._left:
            if time.monotonic() >= next_question:
                answer = self._scheduler.poll(self._jobs)
                next_question = time.monotonic() + self._poll_s
                if answer.silence:
                    self._say(f"the scheduler does not answer ({answer.silence})")
                else:
                    self._look(answer)
            self._show(answer)
            if self._left:
                time.sleep(min(_SHOWN_S, self._poll_s))

    def _look(self, answer: Answer) -> None:
        before = len(self._left)
        for path, (job, run, plan) in list(self._left.items()):
            status = answer.of(job, run)
            if status is not None and status.phase == QUEUED:
                continue
            self._look_at_network(run, plan)
            outcome = self._ends.of(job, run, plan, status, bool(self.outcomes))
            if outcome is None:
                if job.shape == "pack" and status is not None and status.phase != ENDED:
                    if not self._beside or not has_begun(job, run):
                        break  # later runs have not begun
                continue
            self._show(answer)
            del self._left[path]
            if self._estimate and outcome == "done":
                self._estimate.learn(path.name)
            last = submission.last_event(run, job)
            if last.get("event") == "cancelled" and last.get("reason"):  # cancelled by the study's own rule
                self._print(f"{path.name}: not run: {last['reason']}")
                continue
            self.outcomes[path.name] = diagnose.named(run, outcome)
            if outcome == "failed":
                self._errors.append((last.get("first_failure") or {}).get("error", ""))
            if job.shape == "array":
                if self._follow and not self._screen:
                    print(f"{path.name}: {outcome}", flush=True)
                if outcome == "done" and (ranks := cooperation.seen(run, plan)) and ranks not in self._said_of_ranks:
                    self._said_of_ranks.add(ranks)
                    self._print(f"ranks: {ranks}")
            else:
                if progress := self._progress.pop(path, None):
                    progress.close()
                if not self._screen or outcome != "done":  # the table has those that are done
                    self._print(closing(run, plan, outcome))
                if outcome == "failed" and last.get("event") != "ended":
                    if full := no_room(run):
                        self._print(full)
            if outcome == "done" and job.shape != "pack" and status is not None and status.phase != ENDED:
                ends = _ENDS[job.backend]
                self._print(f"job {job.id} is still in the queue ({status.word.lower()}): end it with {ends}")
        if len(self._left) < before:
            self._cut_off()
            self._say_that_all_fail()
        job = self._jobs[0]
        if job.shape == "pack" and not self._left and set(self.outcomes.values()) == {"failed"}:
            if not any(run.events("started") for run in job.run_dirs):
                self._print(f"no run has started: see {job.log}")
        running = len(self._begun(answer))
        counts = f"{len(self._all) - len(self._left)} of {len(self._all)} runs have ended, {running} running"
        due = not self._left or running and time.monotonic() - self._counted >= _COUNTS_S
        if (self._beside or self._jobs[0].shape == "array") and counts != self._counts and due and not self._screen:
            self._say(", ".join(filter(None, [counts, self._left_for_all()])))
            self._counts, self._counted = counts, time.monotonic()

    def _say_that_all_fail(self) -> None:
        """Say once that the first runs have all failed in the same way, so that the user can end the others. Those are
        not ended here, as other values may not fail."""
        if self._left and len(self._errors) == len(self.outcomes) == _ALL_FAIL and len({*self._errors, ""}) == 2:
            self._print(
                f"the first {_ALL_FAIL} runs have all failed in the same way, and {len(self._left)} are still to come: "
                "Ctrl-C ends them, and resume runs them again"
            )

    def _look_at_network(self, run: RunDir, plan: Plan) -> None:
        """Say at once that ranks use the wrong network, because each of their hours is expensive."""
        if run.path in self._said_of_network or not network.is_looked_for(plan) or not (said := network.said(run)):
            return
        self._said_of_network.add(run.path)
        line = f"{run.path.name}: network: {said}"
        if progress := self._progress.get(run.path):
            progress.say(line)
        else:
            self._print(line)

    def _left_for_all(self) -> str:
        """About how long the runs that have not ended, and those after them, still take."""
        if not self._follow or len(self._all) == 1:
            return ""
        if self._estimate is None:
            self._estimate = eta.Estimate(self._jobs[0].holder)
            self._estimate.learn_all()
        running, waiting = {}, []
        for job, run, _ in self._left.values():
            last = submission.last_event(run, job)
            if last.get("event") == "started":
                running[run.path.name] = time.time() - last["time"]
            else:
                waiting.append(run.path.name)
        return eta.text(self._estimate.left_s(running, waiting))

    def _cut_off(self) -> None:
        """Cancel queued runs that, after what has just ended, are not worth their node-hours."""
        for job, run, plan in list(self._left.values()):
            if job.shape == "array" and submission.last_event(run, job).get("event") == "submitted" and cut(run, plan):
                self._scheduler.cancel([(job, run)], save_first=False)
                del self._left[run.path]

    def _show(self, answer: Answer) -> None:
        now = time.monotonic()
        if self._screen and self._left:
            if now - self._looked > _LOOK_S:
                self._looked, self._more = now, self._left_for_all()
            begun = self._begun(answer)
            job, run, _ = next(iter(self._left.values()))
            self._screen.draw(self.outcomes, begun, self._more if begun else _waiting(job, answer.of(job, run)))
            return
        if not self._follow or not self._left or self._jobs[0].shape == "array":
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

    def _under_way(self) -> Iterator[tuple[Job, RunDir, Plan]]:
        """The runs of a job that have begun and not ended; those of a packed job begin in order."""
        for job, run, plan in self._left.values():
            if job.shape == "pack" and not has_begun(job, run):
                return
            yield job, run, plan
            if not self._beside:
                return

    def _begun(self, answer: Answer) -> list[RunDir]:
        """The runs that have begun and not ended, whatever the shape of their jobs."""
        if self._jobs[0].shape == "pack":
            return [run for _, run, _ in self._under_way()]
        return [
            run
            for job, run, _ in self._left.values()
            if (status := answer.of(job, run)) is not None and status.phase not in (QUEUED, ENDED)
        ]

    def _print(self, text: str) -> None:
        """Print what stays, above the table if there is one."""
        if self._screen:
            self._screen.say(text)
        else:
            print(text, flush=True)

    def _say(self, line: str) -> None:
        if self._screen:
            self._screen.say(line)
        elif self._follow:
            print(line, file=sys.stderr, flush=True)


def _waiting(job: Job, status: Status | None) -> str:
    """What keeps a job from starting."""
    if status is None or not status.word or status.word == "RUNNING":
        return ""
    return f"job {job.id} is {status.word.lower()}{f': {status.reason}' if status.reason else ''}"
