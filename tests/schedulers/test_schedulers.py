"""What holds for runs, studies and workflows whatever scheduler has them."""

from pathlib import Path

import pytest
from launched import launch
from schedulers.fixtures import StandIn

from launch.record.rundir import RunDir

SAY = """
import json, os
names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_WORLD_SIZE")
print("said", *(os.environ[name] for name in names), flush=True)
"""


def script(folder: Path, text: str) -> Path:
    path = folder / "program.py"
    path.write_text(text)
    return path


def said(run: RunDir) -> dict[int, list[str]]:
    lines = [line.partition(": said ") for log in run.logs.glob("node*.log") for line in log.read_text().splitlines()]
    return {int(rank): words.split() for rank, found, words in lines if found}


@pytest.fixture(params=["pbs", "flux"])
def scheduler(request: pytest.FixtureRequest) -> StandIn:
    return request.getfixturevalue(f"clean_{request.param}")


def test_ranks_learn_who_they_are(scheduler: StandIn, tmp_path: Path):
    done = launch("-N", 2, "--ranks-per-node", 2, "--runs", tmp_path, "--name", "who", script(tmp_path, SAY))
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "who")
    assert said(run) == {rank: [str(rank), "4", str(rank % 2), "2", str(rank // 2), "2"] for rank in range(4)}
    assert run.result()["status"] == "done" and not scheduler.alive()
