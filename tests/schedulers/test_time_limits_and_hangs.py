"""Runs under PBS and Flux that reach a time limit, or hang. They were begun with the first test of this folder."""

import pytest
from launched import launch
from schedulers.begun import Begun


@pytest.fixture(params=["pbs", pytest.param("flux", marks=pytest.mark.slow)])
def ended(request: pytest.FixtureRequest, begun: dict[str, Begun]) -> Begun:
    """One is enough: what they wait for is the same code for both."""
    return begun[request.param]


def test_before_its_time_limit_a_run_saves_and_is_submitted_again(ended: Begun):
    run = ended.of("again", 0)
    assert [event["outcome"] for event in run.events("ended")] == ["stopped", "done"]
    jobs = [event["job"] for event in run.events("started")]
    assert len({*jobs}) == 2 and run.events("submitted")[0]["job"] == jobs[0]
    assert f"submitted again, as job {jobs[1]}" in run.job_log.read_text()
    assert "running" not in launch("status", run.path).stdout and not ended.scheduler.alive()


def test_a_run_is_ended_before_the_scheduler_ends_it(ended: Begun):
    """So that it can record that; PBS leaves its script no time, and the ranks on other hosts hear nothing of it."""
    (event,) = ended.of("late", 4).events("ended")
    assert (event["outcome"], event["reason"]) == ("stopped", "time limit")


def test_a_run_that_hangs_is_ended_and_goes_on(ended: Begun):
    run = ended.of("hangs", 0)
    assert [event["outcome"] for event in run.events("ended")] == ["stopped", "done"]
    first = run.events("ended")[0]
    assert first["reason"] == "hung" and "rank 1 on" in first["hang"]["said"]
    assert len({event["job"] for event in run.events("started")}) == 2
