"""The sentence that the project exists for, as the README has it."""

from pathlib import Path

import pytest
from launched import launch

from launch.record.rundir import RunDir


@pytest.mark.slow
def test_the_surrogate_is_five_times_better_than_the_mean_field(tmp_path: Path):
    done = launch("--nodes", 2, "--runs", tmp_path, "--name", "main", "workloads.cfd_resnet", wait=3600)
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "main")
    metrics = run.result()["metrics"]
    assert metrics["times_better"] >= 5
    assert metrics["error"] < metrics["mean_field_error"] / 5
    assert metrics["flux_error"] < 0.01
    assert (run.figures / "test.png").read_bytes().startswith(b"\x89PNG")
    assert "times better" in done.stdout and "test.png" in done.stdout
