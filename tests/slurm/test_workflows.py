"""Workflows on a real Slurm: what begins when, and what becomes of the rest when a stage fails."""

import json
import re
import signal
from pathlib import Path

import pytest
from launched import ROOT, Launched, launch, until
from slurm.fixtures import Cluster, queue

from launch.record.rundir import RunDir
from launch.record.writing import publish

PROGRAM = """
import os, sys, time
print('words', *sys.argv[1:], flush=True)
time.sleep(float(os.environ.get('PAUSE', 0.5)))
sys.exit(3 if sys.argv[1] == 'train' and os.environ['LAUNCH_SIZE'] == '2' and not os.path.exists('MENDED') else 0)
"""
WORKFLOW = """
[job]
time = 5
[[stage]]
name = "data"
workload = "PROGRAM"
arguments = ["data"]
job.repeats = 3
[[stage]]
name = "train"
after = ["data"]
workload = "PROGRAM"
arguments = ["train"]
job.nodes = [1, 2]
[[stage]]
name = "report"
after = ["train", "data"]
workload = "PROGRAM"
arguments = ["report", "{train}"]
"""


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    """A definition whose stage train fails on two nodes while there is no file `mended` beside it."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("MENDED", str(tmp_path / "mended")))
    file = tmp_path / "workflow.toml"
    file.write_text(WORKFLOW.replace("PROGRAM", str(program)))
    return file


def states(folder: Path) -> dict[str, tuple[str, str]]:
    """State and reason of each run, as status says."""
    shown = launch("status", "--json", folder)
    assert shown.returncode == 0, shown.stderr
    return {
        str(Path(one["path"]).relative_to(folder)): (one["state"], one["reason"]) for one in json.loads(shown.stdout)
    }


def times(run: RunDir) -> tuple[float, float]:
    return run.events("started")[-1]["time"], run.events("ended")[-1]["time"]


def test_stages_begin_when_those_before_them_are_done(clean_slurm: Cluster, workflow: Path):
    publish(workflow.with_name("mended"), "")
    made = launch("--runs", workflow.parent, "--name=c", workflow)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "3 of 3 stages are done" in made.stdout
    folder = workflow.parent / "c"
    data = [times(RunDir(folder / "data" / f"n1-r{repeat}")) for repeat in (1, 2, 3)]
    train = [times(RunDir(folder / "train" / f"n{nodes}-r1")) for nodes in (1, 2)]
    report = times(RunDir(folder / "report"))
    assert max(end for _, end in data) <= min(start for start, _ in train)
    assert max(end for _, end in train) <= report[0]
    assert "words report " + str(folder / "train") in RunDir(folder / "report").node_log(0).read_text()
    assert (
        len({RunDir(folder / "data" / f"n1-r{r}").events("submitted")[0]["job"].split("_")[0] for r in (1, 2, 3)}) == 1
    )


def test_a_failed_stage_leaves_the_rest_cancelled_until_it_is_mended(clean_slurm: Cluster, workflow: Path):
    folder = workflow.parent / "c"
    made = launch("--runs", workflow.parent, "--name=c", workflow)
    assert made.returncode == 1, made.stdout + made.stderr
    assert "n2-r1: failed" in made.stdout and "stage report is cancelled: stage train has failed" in made.stdout
    assert f"1 of 3 stages are done: {folder}\ncontinue it: python -m launch resume {folder}" in made.stdout
    assert queue() == []
    assert states(folder)["report"] == ("cancelled", "stage train has failed")
    publish(workflow.with_name("mended"), "")
    again = launch("resume", folder)
    assert again.returncode == 0, again.stdout + again.stderr
    attempts = {name: len(RunDir(folder / name).events("started")) for name in states(folder)}
    assert attempts == {
        "data/n1-r1": 1,
        "data/n1-r2": 1,
        "data/n1-r3": 1,
        "report": 1,
        "train/n1-r1": 1,
        "train/n2-r1": 2,
    }
    assert launch("resume", folder).returncode == 2


def test_nobody_has_to_watch_for_the_rest_to_be_cancelled(clean_slurm: Cluster, workflow: Path):
    folder = workflow.parent / "c"
    made = launch("--detach", "--runs", workflow.parent, "--name=c", workflow)
    assert made.returncode == 0, made.stdout + made.stderr
    running = launch("resume", folder)
    assert running.returncode == 2 and ": wait for its end" in running.stderr  # it is queued, or runs already
    until(lambda: queue() == [])
    until(lambda: states(folder)["report"][0] == "cancelled")  # the answer of squeue is shared for some seconds
    assert states(folder)["report"] == ("cancelled", "stage train: failed")
    assert not RunDir(folder / "report").events("started")


def test_a_refused_stage_takes_back_those_before_it(clean_slurm: Cluster, workflow: Path):
    workflow.write_text(workflow.read_text().replace("job.nodes = [1, 2]", 'job.constraint = "nope"'))
    # Held, as the folder of a stage that has begun is kept.
    refused = launch("--runs", workflow.parent, "--name=c", "--sbatch-arg=--hold", workflow)
    assert refused.returncode == 3 and "Invalid feature specification" in refused.stderr
    assert queue() == [] and not (workflow.parent / "c").exists()


def test_ctrl_c_takes_the_whole_workflow_out_of_the_queue(
    clean_slurm: Cluster, workflow: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PAUSE", "300")
    launched = Launched("--runs", workflow.parent, "--name=c", workflow)
    folder = workflow.parent / "c"
    until(lambda: sum("words" in log.read_text() for log in folder.glob("data/*/logs/node0.log")) == 3)
    launched.process.send_signal(signal.SIGINT)
    status, output = launched.wait(120)
    assert status == 130, output
    assert f"python -m launch resume {folder}\n" in output
    assert queue() == []
    found = {name: state for name, (state, _) in states(folder).items()}
    assert {found.pop(name) for name in ("report", "train/n1-r1", "train/n2-r1")} == {"cancelled"}
    assert set(found.values()) <= {"cancelled", "failed"}  # a program that dies of the signal has failed


@pytest.mark.slow
def test_from_the_data_to_the_report_by_the_definition_that_comes_with_the_toolkit(
    clean_slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """jobs/cfd_resnet_workflow.toml, with fewer flows, repeats and epochs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = (ROOT / "jobs" / "cfd_resnet_workflow.toml").read_text()
    for given, smaller in (
        ('"small" }', '"small", train = 16 }'),
        ("repeats = 3", "repeats = 1"),
        ('"small", epochs = 5', '"small", flows = 16, epochs = 4'),
    ):
        assert given in text
        text = text.replace(given, smaller)
    file = tmp_path / "workflow.toml"
    file.write_text(text)
    made = launch("--runs", tmp_path, "--name=c", file, wait=1500)
    assert made.returncode == 0, made.stdout + made.stderr
    made_data = [RunDir(tmp_path / "c" / "data" / f"n1-r{repeat}").node_log(0).read_text() for repeat in (1, 2, 3, 4)]
    assert all(re.search(r"validation: (this task's \d of 2 parts|32 flows in)", text) for text in made_data), made_data
    trained = RunDir(tmp_path / "c" / "train" / "n2-r1").node_log(0).read_text()
    assert "steady flows" not in trained  # they are there
    report = RunDir(tmp_path / "c" / "report").node_log(0).read_text()
    assert re.search(r"workers\s+repeats", report) and "examples/s" in report
