"""The folder of a run is removed while an attempt is under way, and another run of that name is started: the old
attempt, however it ends, leaves the record of the new run alone."""

import os
import shutil
import time
from pathlib import Path

import psutil
import pytest
from launched import launch, until
from plans import plan, run_of

from launch.node import ending, failure, own_run
from launch.node.rank import Rank
from launch.record.files import Unreadable
from launch.record.rundir import RunDir

# It says who it is, and ends with the status that it finds in a file.
WAITS = """
import pathlib, sys, time
file = pathlib.Path(sys.argv[1])
while not file.exists():
    time.sleep(0.05)
sys.exit(int(file.read_text()))
"""


def started(run: RunDir, *words: object) -> psutil.Process:
    """Start a run in the background; return the process that watches it."""
    done = launch("--backend", "local", "--runs", run.path.parent, "--name", run.path.name, "--detach", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: run.events("started") and list(run.readings.glob("*attempt1.jsonl")), 30)
    return psutil.Process(run.events("started")[0]["pid"])


def content(run: RunDir) -> dict[str, bytes]:
    """What is recorded of the attempt's end."""
    files = [run.events_jsonl, run.result_json, *run.meeting.glob("*"), *run.failures.glob("*")]
    return {path.name: path.read_bytes() for path in files if path.is_file()}


@pytest.mark.parametrize("status", [0, 3])
def test_the_end_of_a_removed_run_is_not_that_of_the_next_run_of_its_name(tmp_path: Path, status: int):
    (tmp_path / "waits.py").write_text(WAITS)
    run = RunDir(tmp_path / "run")
    old = started(run, tmp_path / "waits.py", tmp_path / "old")
    shutil.rmtree(run.path)
    new = started(run, tmp_path / "waits.py", tmp_path / "new")
    before = content(run)
    (tmp_path / "old").write_text(str(status))
    until(lambda: not old.is_running() or old.status() == psutil.STATUS_ZOMBIE, 30)
    assert content(run) == before and new.is_running()
    (readings,) = run.readings.glob("*attempt1.jsonl")
    assert not readings.read_bytes().startswith(b"PAR1")  # what the sampler's end makes of it
    (tmp_path / "new").write_text("0")
    assert until(lambda: run.events("ended"), 30)[0]["outcome"] == "done"
    assert run.result()["attempts"] == 1


def test_what_waits_in_a_removed_study_does_not_begin_in_the_next_study_of_its_name(tmp_path: Path):
    (tmp_path / "waits.py").write_text(WAITS)
    first = RunDir(tmp_path / "study" / "n1-r1")
    for file in (tmp_path / "old", tmp_path / "new"):
        shutil.rmtree(tmp_path / "study", ignore_errors=True)
        done = launch(
            "--backend", "local", "--runs", tmp_path, "--name", "study", "--repeats", "2", "--detach",
            tmp_path / "waits.py", file,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        until(lambda: first.events("started"), 30)
    (tmp_path / "old").write_text("0")
    second = RunDir(tmp_path / "study" / "n1-r2")
    time.sleep(2)
    assert not second.events("started")
    (tmp_path / "new").write_text("0")
    until(lambda: second.result() is not None, 60)
    assert [event["event"] for event in second.events() if event["event"] == "started"] == ["started"]


@pytest.mark.parametrize(("job", "records"), [("7", True), ("8", False)])
def test_a_script_records_the_end_of_an_attempt_of_its_own_job_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str, records: bool
):
    run = run_of(plan(), tmp_path / "run")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert own_run.is_replaced(run, "7")  # the new run has not begun
    run.append_event("started", attempt=1, submission=1, host=os.uname().nodename, pid=1, job=job)
    ending.end(run, 1)
    assert bool(run.events("ended")) == records


def test_a_failure_is_recorded_where_the_events_cannot_be_read(tmp_path: Path):
    run = run_of(plan(), tmp_path / "run")
    run.append_event("started", attempt=1, pid=1, host="here")
    own_run.begun(run)
    run.events_jsonl.unlink()
    run.events_jsonl.mkdir()
    with pytest.raises(Unreadable):
        run.events()
    failure.note(run, Rank(), 1, "OSError: Too many open files")
    assert "Too many open files" in run.node_failures(0).read_text()


def test_a_run_that_has_been_moved_away_is_not_recorded_elsewhere(tmp_path: Path):
    run = RunDir(tmp_path / "run")
    run.create()
    run.append_event("started", attempt=1, pid=1, host="here")
    own_run.begun(run)
    assert not own_run.is_replaced(run)
    run.append_event("started", attempt=2, pid=2, host="here")
    assert not own_run.is_replaced(run)
    run.path.rename(tmp_path / "moved")
    assert own_run.is_replaced(run)
