"""A launcher that is killed at every point of what it does, not at random ones: one job exists, and it is known.

`python tests/slurm/kills.py` does the same by itself, and prints figures.
"""

import subprocess
import sys
from pathlib import Path

import kills
import pytest
from launched import ROOT, environment
from slurm.fixtures import Cluster

from launch.record.rundir import RunDir


def test_killed_at_every_point_of_a_submission(clean_slurm: Cluster, tmp_path: Path):
    figures = kills.tried(tmp_path / "k", "launch-run-answers", quick=True)
    assert not figures.faults
    assert figures.kills > 15  # before and after each of the two writes, the script and the command
    assert figures.counts["taken"] > 5 and figures.counts["not taken"] > 5


@pytest.mark.slow
@pytest.mark.parametrize("scenario", kills.SCENARIOS)
def test_killed_at_every_point(clean_slurm: Cluster, tmp_path: Path, scenario: str):
    figures = kills.tried(tmp_path / "k", scenario)
    print(figures.line)
    assert not figures.faults
    assert figures.kills > 2


def test_two_at_once(clean_slurm: Cluster, tmp_path: Path):
    """Of several that resume a run together, one submits."""
    trial = kills.Trial(tmp_path / "k", "launch-run-answers", "cancel", quick=True)
    assert trial.kill(4)
    command = [sys.executable, "-m", "launch", "resume", str(trial.path), "--detach"]
    several = [
        subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    said = [process.communicate(timeout=120)[1] for process in several]
    assert sorted(process.returncode for process in several) == [0, 2, 2, 2], said
    assert len(trial.jobs()) == 1 and len(RunDir(trial.path).events("submitted")) == 1
