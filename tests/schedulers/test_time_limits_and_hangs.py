"""Runs under PBS and Flux that reach a time limit, or hang: what they wait for, they wait for at once."""

from collections.abc import Iterator

import pytest
from hangs import WAYS, words
from launched import Launched, launch
from schedulers.fixtures import StandIn, as_own, running
from schedulers.test_pbs_and_flux import SLEEP
from schedulers.test_schedulers import LEAVES

from launch.record.rundir import RunDir

QUEUE = next(way for way in WAYS if way.name == "queue")


class Ended:
    """Runs that have ended, by name, with the exit status and the words of their launchers."""

    def __init__(self, scheduler: StandIn, runs: dict[str, RunDir], said: dict[str, tuple[int, str]]) -> None:
        self.scheduler, self._runs, self._said = scheduler, runs, said

    def of(self, name: str, status: int) -> RunDir:
        """A run, whose launcher has ended with this status."""
        found, words = self._said[name]
        log = self._runs[name].job_log
        assert found == status, words + (log.read_text() if log.exists() else "")
        return self._runs[name]


@pytest.fixture(scope="module", params=["pbs", pytest.param("flux", marks=pytest.mark.slow)])
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """One is enough: what they wait for is the same code for both."""
    folder = tmp_path_factory.mktemp("runs")
    for name, text in (("leaves", LEAVES), ("sleeps", SLEEP)):
        (folder / f"{name}.py").write_text(text)
    given = {
        "again": ("--time", "0:24", "--warn", 14, "--max-attempts", 2, folder / "leaves.py"),
        "late": ("--time", "0:16", folder / "sleeps.py"),
        "hangs": ("--time=5", "--sample-hz=0", "--max-attempts=2", *words(QUEUE, folder)),
    }
    with running(request.param) as found, pytest.MonkeyPatch.context() as patch, as_own(found, patch):
        all_ = {name: Launched("-N", 2, "--runs", folder, "--name", name, *more) for name, more in given.items()}
        said = {name: launched.wait() for name, launched in all_.items()}
        yield Ended(found, {name: RunDir(folder / name) for name in given}, said)


def test_before_its_time_limit_a_run_saves_and_is_submitted_again(ended: Ended):
    run = ended.of("again", 0)
    assert [event["outcome"] for event in run.events("ended")] == ["stopped", "done"]
    jobs = [event["job"] for event in run.events("started")]
    assert len({*jobs}) == 2 and run.events("submitted")[0]["job"] == jobs[0]
    assert f"submitted again, as job {jobs[1]}" in run.job_log.read_text()
    assert "running" not in launch("status", run.path).stdout and not ended.scheduler.alive()


def test_a_run_is_ended_before_the_scheduler_ends_it(ended: Ended):
    """So that it can record that; PBS leaves its script no time, and the ranks on other hosts hear nothing of it."""
    (event,) = ended.of("late", 4).events("ended")
    assert (event["outcome"], event["reason"]) == ("stopped", "time limit")


def test_a_run_that_hangs_is_ended_and_goes_on(ended: Ended):
    run = ended.of("hangs", 0)
    assert [event["outcome"] for event in run.events("ended")] == ["stopped", "done"]
    first = run.events("ended")[0]
    assert first["reason"] == "hung" and "rank 1 on" in first["hang"]["said"]
    assert len({event["job"] for event in run.events("started")}) == 2
