"""The workload that `new` writes to start from."""

from pathlib import Path

import pytest
from launched import launch

from launch.record.rundir import RunDir


def test_it_runs_as_it_is(tmp_path: Path):
    file = tmp_path / "my model's" / "curve.py"
    file.parent.mkdir()
    made = launch("new", file)
    assert made.returncode == 0 and "--nodes 2" in made.stdout, made.stderr
    done = launch(
        "--backend=local", "--runs", tmp_path, "--name=t", file, "--epochs=10", "--lr=0.01", "--no-tensorboard"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert RunDir(tmp_path / "t").result()["metrics"]["rmse"] < 0.2  # the deviation of the sine from 0 is 0.7


@pytest.mark.parametrize(
    "names", [[], ["there.py"], ["link.py"], ["model"], ["a-b.py"], ["no/such.py"], ["a.py", "b.py"]]
)
def test_what_it_cannot_write_it_refuses(names: list[str], tmp_path: Path):
    there, link = tmp_path / "there.py", tmp_path / "link.py"
    there.write_text("mine")
    link.symlink_to("nowhere")
    refused = launch("new", *(tmp_path / name for name in names))
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert {*tmp_path.iterdir()} == {there, link} and there.read_text() == "mine"
