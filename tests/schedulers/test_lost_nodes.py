"""Nodes that are lost, under PBS and Flux."""

from pathlib import Path

import pytest
from launched import Launched, launch, until
from schedulers.fixtures import StandIn
from schedulers.test_pbs_and_flux import ONE_IS_ENOUGH, SLEEP
from schedulers.test_schedulers import printed, script

from launch.record.rundir import RunDir


@pytest.fixture(params=["pbs", "flux"])
def scheduler(request: pytest.FixtureRequest) -> StandIn:
    return request.getfixturevalue(f"clean_{request.param}")


def test_a_lost_node_that_is_not_the_first(scheduler: StandIn, tmp_path: Path):
    """PBS does nothing about it, and Flux ends the job. The job itself goes on with another, where it may."""
    (tmp_path / "site.toml").write_text(f'backend = "{scheduler.name}"\npatience_s = 2\n')
    words = ("--site", tmp_path / "site.toml", "-N", 2, "--runs", tmp_path, script(tmp_path, SLEEP))
    again = Launched("--max-attempts", 2, "--name", "again", *words)
    once = Launched("--name", "once", *words)
    runs = [RunDir(tmp_path / name) for name in ("again", "once")]
    until(lambda: all(printed(run, "here") == 2 for run in runs))
    scheduler.control("set", "grace_s", "10")  # a busy machine needs more than the 1.5 s of the stand-in
    try:
        for run in runs:
            scheduler.control("lose", run.events("started")[0]["nodes"].split(",")[1])
        (status, output), (failed, said) = again.wait(), once.wait()
    finally:
        scheduler.control("set", "grace_s", "1.5")
    assert (status, failed) == (0, 1), output + said
    assert [event["outcome"] for event in runs[0].events("ended")] == ["stopped", "done"]
    first, second = (event["nodes"].split(",") for event in runs[0].events("started"))
    assert first[1] not in second and len(second) == 2
    lost = runs[1].events("started")[0]["nodes"].split(",")[1]
    assert f"rank 1 on node 1 ({lost}) failed first: node failure" in said, said
    assert "resume" in said and "--exclude-bad-nodes\n" not in said and not scheduler.alive()


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
