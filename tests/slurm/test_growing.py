"""A study that grows on a real Slurm, and one of its runs that is made again with other options."""

import shutil
from pathlib import Path

import pytest
from launched import launch
from slurm.fixtures import Cluster

from launch.record.files import read_json
from launch.record.rundir import RunDir
from launch.record.writing import publish


@pytest.mark.slow
def test_what_is_new_is_submitted_and_what_slurm_refuses_leaves_no_trace(clean_slurm: Cluster, tmp_path: Path):
    program, study = tmp_path / "program.py", tmp_path / "s"
    publish(program, "print('here', flush=True)\n")
    made = launch("--nodes=1,2", "--time=5", "--runs", tmp_path, "--name=s", "--sample-hz=0", program)
    assert made.returncode == 0, made.stdout + made.stderr
    index = (study / "study.json").read_bytes()
    refused = launch("extend", study, "--nodes=3", "--partition=nowhere")
    assert refused.returncode == 3 and "Slurm refused the job: invalid partition" in refused.stderr
    assert (study / "study.json").read_bytes() == index and not (study / "n3-r1").exists()
    grown = launch("extend", study, "--nodes=3", "--time=7")
    assert grown.returncode == 0, grown.stdout + grown.stderr
    assert "1 of 1 runs are done" in grown.stdout and RunDir(study / "n3-r1").plan().time_s == 420
    assert [len(RunDir(study / name).events("started")) for name in ("n1-r1", "n2-r1", "n3-r1")] == [1, 1, 1]
    shutil.rmtree(study / "n2-r1")
    for words, status, says in (
        (("-p", "short", "--time=20"), 2, "--time 00:20:00 is more than partition short allows (10:00)"),
        (("-p", "nowhere"), 3, "nowhere"),
    ):
        refused = launch("resume", study, *words)
        assert refused.returncode == status and says in refused.stderr
        assert RunDir(study / "n2-r1").plan().partition is None
    again = launch("resume", study, "-p", "short", "--time=9")
    assert again.returncode == 0, again.stdout + again.stderr
    plan = read_json(study / "n2-r1" / "run.json")
    assert (plan["partition"], plan["time_s"]) == ("short", 540)
    assert RunDir(study / "n2-r1").events("changed")[-1]["time_s"] == [300, 540]  # pyright: ignore
    assert RunDir(study / "n1-r1").plan().time_s == 300  # the plans of other runs stay
