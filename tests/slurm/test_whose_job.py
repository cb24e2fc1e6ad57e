"""Whose a job is: two clusters on one file system, numbers that are used again, and folders that were copied or moved."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from launched import launch
from slurm.fixtures import Cluster, queue, started

from launch.record.files import read_json
from launch.record.rundir import RunDir
from launch.record.writing import publish_json
from launch.submit import states


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def other(slurm: Cluster) -> Iterator[Cluster]:
    """A second cluster."""
    with started(1) as cluster:
        yield cluster


def submit(tmp_path: Path, name: str, *words: object) -> RunDir:
    """A run that waits until its job is released."""
    program = tmp_path / "program.py"
    program.write_text("")
    done = launch(
        "--runs", tmp_path, "--name", name, "--sample-hz=0", "--detach", "--sbatch-arg=--hold", *words, program
    )
    assert done.returncode == 0, done.stderr
    return RunDir(tmp_path / name)


def number(run: RunDir) -> str:
    return run.events("submitted")[-1]["job"]


def seen(run: RunDir) -> tuple[str, str]:
    (known,), silence = states.look([run.path], fresh=True)
    assert not silence
    return known.state, known.reason


def changed(run: RunDir, **fields: object) -> None:
    path = run.path / "jobs" / "1" / "job.json"
    publish_json(path, read_json(path) | fields)


def test_a_job_of_another_cluster_is_left_alone(
    clean_slurm: Cluster, other: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here = submit(tmp_path, "here")
    monkeypatch.setenv("SLURM_CONF", str(other.directory / "slurm.conf"))
    there = submit(tmp_path, "there")
    assert seen(there)[0] == "queued"
    state, reason = seen(here)
    assert state == "unknown" and reason.startswith("submitted to another cluster, emulated (controller ")
    for verb in ("cancel", "resume", "rm"):
        refused = launch(verb, here.path)
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1
        assert f"{here.path}" in refused.stderr and "submitted to another cluster" in refused.stderr
    assert queue() == [number(there)]
    changed(there, id=number(here))  # as if both clusters had got so far
    monkeypatch.setenv("SLURM_CONF", str(clean_slurm.directory / "slurm.conf"))
    assert seen(there)[0] == "unknown" and seen(here)[0] == "queued"
    assert launch("cancel", there.path).returncode == 2 and queue() == [number(here)]
    changed(there, state="asked", id=None)  # as if the launcher had been killed before it got the answer
    refused = launch("resume", there.path)
    assert refused.returncode == 2 and "submitted to another cluster" in refused.stderr
    assert queue() == [number(here)]


@pytest.mark.parametrize("comment", [(), ("--sbatch-arg=--comment=one\n2|two",)])
def test_a_number_that_another_job_has_got_since(clean_slurm: Cluster, tmp_path: Path, comment: tuple[str, ...]):
    """As after the cluster was installed anew."""
    before, now = submit(tmp_path, "before"), submit(tmp_path, "now", *comment)
    assert launch("cancel", before.path).returncode == 0
    (before.path / "events.jsonl").write_text("")
    changed(before, id=number(now))
    assert seen(now)[0] == "queued" and seen(before)[0] == "lost"
    assert "is not running (lost)" in launch("cancel", before.path).stdout and queue() == [number(now)]
    assert "taken out of the queue" in launch("cancel", now.path).stdout and not queue()


def test_a_copy_of_a_run_does_not_have_its_job(clean_slurm: Cluster, tmp_path: Path):
    run, copy = submit(tmp_path, "run"), RunDir(tmp_path / "copy")
    shutil.copytree(run.path, copy.path, symlinks=True)
    assert seen(copy) == ("lost", f"a copy of {run.path}, whose job {number(run)} it was: resume goes on")
    cancelled = launch("cancel", copy.path)
    assert "is not running (lost): a copy of" in cancelled.stdout and queue() == [number(run)]
    changed(copy, state="asked", id=None)
    resumed = launch("resume", copy.path, "--detach")
    assert resumed.returncode == 0, resumed.stderr
    assert len(queue()) == 2 and seen(copy)[0] == "queued"
    shutil.rmtree(copy.path)
    shutil.move(run.path, copy.path)
    assert seen(copy)[0] == "queued"
    assert "taken out of the queue" in launch("cancel", copy.path).stdout and number(copy) not in queue()
