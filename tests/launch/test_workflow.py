"""Workflows on this machine: stages one after the other, and what becomes of the rest when one fails or is interrupted."""

import dataclasses
import json
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from launched import Launched, launch, until
from plans import plan

from launch.backends.slurm import script as slurm_script
from launch.record.rundir import RunDir
from launch.record.writing import publish
from launch.submit import jobs
from launch.submit.workflow import stages

PROGRAM = """
import os, sys, time
words = sys.argv[1:]
if words[0] == 'train':
    time.sleep(float(os.environ.get('PAUSE', 0)))
    sys.exit(0 if os.path.exists('MENDED') else 3)
if words[0] == 'report':
    print(sorted(os.listdir(words[1])), flush=True)
"""
WORKFLOW = """
[[stage]]
name = "report"
after = ["train"]
workload = "PROGRAM"
arguments = ["report", "{train}"]
[[stage]]
name = "data"
workload = "PROGRAM"
arguments = ["data"]
job.repeats = 2
[[stage]]
name = "train"
after = ["data"]
workload = "PROGRAM"
arguments = ["train"]
[[stage]]
name = "aside"
after = ["data"]
workload = "PROGRAM"
arguments = ["aside"]
"""
RUNS = ["aside", "data/n1-r1", "data/n1-r2", "report", "train"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A definition whose stage train fails while there is no file `mended` beside it."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("MENDED", str(tmp_path / "mended")))
    (tmp_path / "workflow.toml").write_text(WORKFLOW.replace("PROGRAM", str(program)))
    return tmp_path / "workflow.toml"


def attempts(folder: Path) -> list[int]:
    return [len(RunDir(folder / run).events("started")) for run in RUNS]


def states(folder: Path) -> list[str]:
    return [one["state"] for one in json.loads(launch("status", "--json", folder).stdout)]


def test_a_failed_stage_cancels_what_comes_after_it_and_nothing_else(file: Path):
    folder = file.parent / "c"
    made = launch("--runs", file.parent, "--name=c", file)
    assert made.returncode == 1, made.stdout + made.stderr
    assert "stage report is cancelled: stage train has failed" in made.stdout
    assert f"2 of 4 stages are done: {folder}\ncontinue it: python -m launch resume {folder}\n" in made.stdout
    assert attempts(folder) == [1, 1, 1, 0, 1]
    assert states(folder) == ["done", "done", "done", "cancelled", "failed"]
    assert "stage train has failed" in launch("status", folder).stdout
    publish(file.with_name("mended"), "")
    again = launch("resume", folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "4 of 4 stages are done" in again.stdout
    assert attempts(folder) == [1, 1, 1, 1, 2]
    assert "'result.json'" in RunDir(folder / "report").node_log(0).read_text()
    for words, says in (
        (["resume", folder], "is finished"),
        (["--runs", file.parent, "--name=c", file], "exists already"),
    ):
        refused = launch(*words)
        assert refused.returncode == 2 and says in refused.stderr and refused.stderr.count("\n") == 1


def test_ctrl_c_ends_the_workflow(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PAUSE", "300")
    launched = Launched("--runs", file.parent, "--name=c", file)
    folder = file.parent / "c"
    until(lambda: RunDir(folder / "train").events("started") and launched.ranks())
    launched.process.send_signal(signal.SIGINT)
    status, output = launched.wait()
    assert status == 130 and output.endswith(f"python -m launch resume {folder}\n")
    assert attempts(folder)[3:] == [0, 1]


def test_a_detached_workflow_goes_on_by_itself(file: Path):
    publish(file.with_name("mended"), "")
    folder = file.parent / "c"
    made = launch("--detach", "--runs", file.parent, "--name=c", file)
    assert made.returncode == 0 and f"python -m launch status {folder}" in made.stdout
    until(lambda: (folder / "report" / "result.json").exists())
    until(lambda: "4 of 4 stages are done" in (folder / "workflow.log").read_text())


@given(st.lists(st.integers(1, 10**6).map(str), min_size=1, max_size=5, unique=True))
def test_dependencies_join_those_that_the_user_asked_for(after: list[str]):
    asked = plan(sbatch_args=("--dependency=singleton", "--exclusive", "--dependency", "after:3"))
    (job,) = jobs.make(Path("/r"), [(RunDir("/r"), asked)])
    words = slurm_script.sbatch(dataclasses.replace(job, after=tuple(after)))
    assert f"--dependency=singleton,after:3,afterok:{':'.join(after)}" in words and "--exclusive" in words
    assert sum(word.startswith("--dependency") for word in words) == 1
    assert not [word for word in slurm_script.sbatch(dataclasses.replace(job, plans=[plan()])) if "--dep" in word]


def test_the_index_is_read_as_it_was_written(tmp_path: Path):
    written = [stages.Stage("data", (), tmp_path / "data"), stages.Stage("train", ("data",), tmp_path / "train")]
    stages.write(tmp_path, written)
    assert stages.read(tmp_path) == written
    assert stages.read(tmp_path / "data") == []


def test_what_a_rank_refuses_is_the_exit_status_of_the_workflow(tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text("from launch.errors import Refusal\nraise Refusal('no such data: give some')\n")
    (tmp_path / "workflow.toml").write_text(f"[[stage]]\nname = 'train'\nworkload = '{program}'\n")
    refused = launch("--runs", tmp_path, "--name=c", tmp_path / "workflow.toml")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "0 of 1 stages are done" in refused.stdout and "no such data: give some" in refused.stdout
    assert "Traceback" not in refused.stderr
