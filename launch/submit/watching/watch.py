"""Waits for jobs until their runs have ended, and finds out how each run ended."""

import time
from collections.abc import Sequence

from launch.backends.scheduler import ENDED, QUEUED, Answer, scheduler
from launch.plan.plan import Plan
from launch.record.failures import diagnose
from launch.record.job import Job
from launch.record.progress import closing
from launch.record.rundir import RunDir
from launch.submit import jobs as submission
from launch.submit.cutoff import cut
from launch.submit.interrupts import ended_by_signals, told_how_to_end_at_once
from launch.submit.watching.display import Display
from launch.submit.watching.ends import Ends, has_begun, no_room

_ENDS = {"slurm": "scancel", "pbs": "qdel", "flux": "flux cancel", "allocation": "scancel", "local": "kill"}
_SHOWN_S = 0.2
_ALL_FAIL = 3  # failed runs after which the user is told


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
        How each run ended, by its name: done, stopped, failed, refused (bad input, found by a rank), cancelled or
        timeout. Runs that were skipped as too inefficient are left out.

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
        watched.display.close()
        with told_how_to_end_at_once():
            submission.end([(job, None) for job in jobs])
        for run, plan in watched.left():
            if len(jobs) == len(jobs[0].runs) == 1:
                print(closing(run, plan, "interrupted"), flush=True)
        raise
    watched.display.close()
    return watched.outcomes


class _Watch:
    def __init__(self, jobs: Sequence[Job], follow: bool) -> None:
        self._jobs = jobs
        self._scheduler = scheduler(jobs[0].backend)
        self._left = {run.path: (job, run, plan) for job in jobs for run, plan in zip(job.run_dirs, job.plans)}
        self._poll_s = max(self._scheduler.poll_s, *(float(plan.poll_s) for _, _, plan in self._left.values()))
        self._ends = Ends()
        self._beside = jobs[0].shape == "pack" and not self._scheduler.remote and jobs[0].throttle != 1
        self._errors: list[str] = []  # errors of the runs that have failed
        self.outcomes: dict[str, str] = {}
        self.display = Display(self._left, self.outcomes, follow, self._beside)

    def left(self) -> list[tuple[RunDir, Plan]]:
        """Return the runs that have not ended."""
        return [(run, plan) for _, run, plan in self._left.values()]

    def to_the_end(self) -> None:
        """Ask for states and show progress until no run is left."""
        answer, next_question = Answer({}), 0.0
        while self._left:
            if time.monotonic() >= next_question:
                answer = self._scheduler.poll(self._jobs)
                next_question = time.monotonic() + self._poll_s
                if answer.silence:
                    self.display.say(f"the scheduler does not answer ({answer.silence})")
                else:
                    self._look(answer)
            self.display.show(answer)
            if self._left:
                time.sleep(min(_SHOWN_S, self._poll_s))

    def _look(self, answer: Answer) -> None:
        before = len(self._left)
        for path, (job, run, plan) in list(self._left.items()):
            status = answer.of(job, run)
            if status is not None and status.phase == QUEUED:
                continue
            self.display.look_at_network(run, plan)
            outcome = self._ends.of(job, run, plan, status, bool(self.outcomes))
            if outcome is None:
                if job.shape == "pack" and status is not None and status.phase != ENDED:
                    if not self._beside or not has_begun(job, run):
                        break  # later runs have not begun
                continue
            self.display.show(answer)
            del self._left[path]
            last = submission.last_event(run, job)
            if last.get("event") == "cancelled" and last.get("reason"):  # cancelled by the study's own rule
                self.display.print(f"{path.name}: not run: {last['reason']}")
                continue
            self.outcomes[path.name] = diagnose.named(run, outcome)
            if outcome == "failed":
                self._errors.append((last.get("first_failure") or {}).get("error", ""))
            self.display.ended(job, run, plan, outcome)
            if job.shape != "array" and outcome == "failed" and last.get("event") != "ended":
                if full := no_room(run):
                    self.display.print(full)
            if outcome == "done" and job.shape != "pack" and status is not None and status.phase != ENDED:
                ends = _ENDS[job.backend]
                word = f" ({status.word.lower()})" if status.word else ""
                self.display.print(
                    f"job {job.id} has not ended{word}, though its run is done: end it with {ends} if it stays"
                )
        if len(self._left) < before:
            self._cut_off()
            self._say_that_all_fail()
        job = self._jobs[0]
        if job.shape == "pack" and not self._left and set(self.outcomes.values()) == {"failed"}:
            if not any(run.events("started") for run in job.run_dirs):
                self.display.print(f"no run has started: see {job.log}")
        self.display.count(answer)

    def _say_that_all_fail(self) -> None:
        """Say once that the first runs have all failed in the same way, so that the user can end the others. Those are
        not ended here, as other values may not fail."""
        if self._left and len(self._errors) == len(self.outcomes) == _ALL_FAIL and len({*self._errors, ""}) == 2:
            self.display.print(
                f"the first {_ALL_FAIL} runs have all failed in the same way, and {len(self._left)} are still to come: "
                "Ctrl-C ends them, and resume runs them again"
            )

    def _cut_off(self) -> None:
        """Cancel queued runs that, after what has just ended, are not worth their node-hours."""
        for job, run, plan in list(self._left.values()):
            if job.shape == "array" and submission.last_event(run, job).get("event") == "submitted" and cut(run, plan):
                self._scheduler.cancel([(job, run)], save_first=False)
                del self._left[run.path]
