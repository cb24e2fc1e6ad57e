"""Runs that hang, and nodes that are lost, under PBS and Flux."""

from pathlib import Path

import pytest
from hangs import WAYS, words
from launched import Launched, launch, until
from schedulers.fixtures import StandIn
from schedulers.test_pbs_and_flux import ONE_IS_ENOUGH, SLEEP
from schedulers.test_schedulers import printed, script

from launch.record.rundir import RunDir

QUEUE = next(way for way in WAYS if way.name == "queue")


@pytest.fixture(params=["pbs", "flux"])
def scheduler(request: pytest.FixtureRequest) -> StandIn:
    return request.getfixturevalue(f"clean_{request.param}")


@ONE_IS_ENOUGH
def test_a_run_that_hangs_is_ended_and_goes_on(scheduler: StandIn, tmp_path: Path):
    given = ("-N", 2, "--time=5", "--sample-hz=0", "--max-attempts=2", "--runs", tmp_path, "--name=r")
    done = launch(*given, *words(QUEUE, tmp_path))
    run = RunDir(tmp_path / "r")
    assert done.returncode == 0, done.stdout + done.stderr + run.job_log.read_text()
    assert [event["outcome"] for event in run.events("ended")] == ["stopped", "done"]
    first = run.events("ended")[0]
    assert first["reason"] == "hung" and "rank 1 on" in first["hang"]["said"]
    assert len({event["job"] for event in run.events("started")}) == 2


@ONE_IS_ENOUGH
def test_a_lost_first_node(scheduler: StandIn, tmp_path: Path):
    """PBS puts the job back into the queue by itself, Flux does not."""
    launched = Launched("-N", 2, "--max-attempts", 2, "--runs", tmp_path, "--name", "l", script(tmp_path, SLEEP))
    run = RunDir(tmp_path / "l")
    until(lambda: printed(run, "here") == 2)
    scheduler.control("lose", "n1")
    status, output = launched.wait()
    assert status == {"pbs": 0, "flux": 1}[scheduler.name], output
    assert len(run.events("started")) == {"pbs": 2, "flux": 1}[scheduler.name]
    assert not scheduler.alive()
    if scheduler.name == "flux":
        assert "node failure" in launch("status", run.path).stdout.lower()
