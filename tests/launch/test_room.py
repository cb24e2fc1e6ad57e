"""How much room runs take, and removing them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from plans import CLUSTER, EIGHT_CORES, LAPTOP, NOON, plan, run_of

from launch.cli import du, rm
from launch.errors import Refusal
from launch.plan.request import Request
from launch.plan.sweep import from_words
from launch.plan.target import workload
from launch.record.rundir import RunDir
from launch.record.writing import publish_json
from launch.submit import lock, order
from launch.submit.workflow import stages


def a_run(path: Path, done: bool = True) -> RunDir:
    run = run_of(plan(Request(), LAPTOP), path)
    if done:
        publish_json(run.result_json, {"status": "done"})
    return run


def a_study(runs: Path, nodes: tuple[int, ...] = (1, 2), name: str = "s") -> Path:
    request = Request(runs=runs, name=name, nodes=nodes)
    asked = order.Order(asked=request, target=workload.find("tiny", ()), axes=from_words((), nodes))
    planned = order.plan(asked, LAPTOP, EIGHT_CORES, NOON)
    planned.create()
    for run, _ in planned.runs:
        publish_json(run.result_json, {"status": "done"})
    return planned.folder


def test_room_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.chdir(tmp_path)
    run = a_run(tmp_path / "runs" / "r")
    (run.checkpoints / "step-1.npz").write_bytes(os.urandom(2**20))
    os.link(run.checkpoints / "step-1.npz", run.checkpoints / "step-2.npz")  # of two names
    (run.logs / "node0.log").write_bytes(os.urandom(2**17))
    big = tmp_path / "big"
    big.write_bytes(os.urandom(2**21))
    (run.path / "mine").symlink_to(big)  # is not in the run
    study = a_study(tmp_path / "runs")
    (study / "report").mkdir()
    (study / "report" / "page").write_bytes(os.urandom(2**18))
    assert du.main(["--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    of = {Path(entry["path"]).name: entry for entry in told["entries"]}
    assert (of["r"]["checkpoints_bytes"], of["r"]["logs_bytes"], of["r"]["traces_bytes"]) == (2**20, 2**17, 0)
    assert of["r"]["bytes"] < 2**21 and of["s"]["runs"] == 2 and 2**18 < of["s"]["other_bytes"] < 2**19
    assert told["total"]["bytes"] == of["r"]["bytes"] + of["s"]["bytes"]
    assert du.main(["s"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [*(f"{study}/n{n}-r1" for n in (1, 2)), str(study), "total"]
    assert du.main(["s/n1-r1"]) == 0 and capsys.readouterr().out.splitlines()[1].startswith(f"{study}/n1-r1 ")


def test_what_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture):
    run = a_run(tmp_path / "runs" / "r")
    (run.logs / "node0.log").write_bytes(os.urandom(2**17))
    run.logs.chmod(0)
    before = os.geteuid()
    try:
        if before == 0:  # for whom nothing is unreadable
            for folder in (tmp_path, *tmp_path.parents[:-2]):
                folder.chmod(folder.stat().st_mode | 0o055)
            for path in (run.path, *run.path.iterdir()):
                os.chown(path, 65534, -1)
            os.seteuid(65534)
        assert du.main([str(run.path)]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"you cannot read these, so they are not counted: {run.logs}"
        assert du.main([str(run.path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["unread"] == [str(run.logs)]
    finally:
        os.seteuid(before)
        run.logs.chmod(0o700)


def test_finished_runs_go_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture):
    study, one = a_study(tmp_path), a_run(tmp_path / "one")
    keep = tmp_path / "keep"
    keep.mkdir()
    (keep / "file").write_text("the user's")
    (study / "notes.txt").write_text("the user's")
    (one.path / "link").symlink_to(keep)
    a_run(study / "stranger")
    assert rm.main([str(study), str(one.path), "--dry-run"]) == 0 and one.path.is_dir()
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[-3] for line in listed[1:]] == ["2", "1", "3"]
    with pytest.raises(Refusal, match="no terminal on which to ask"):
        rm.main([str(one.path)])
    assert rm.main([str(study), str(one.path), "--yes"]) == 0
    assert not one.path.exists() and (keep / "file").read_text() == "the user's"
    assert sorted(os.listdir(study)) == ["notes.txt", "stranger"]
    assert "(notes.txt, stranger)" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path)) == ["keep", "s"]  # nothing hidden is left either


def test_a_run_of_a_study_and_a_workflow(tmp_path: Path, capsys: pytest.CaptureFixture):
    study = a_study(tmp_path / "w", name="train")
    a_run(tmp_path / "w" / "data")
    stages.write(
        tmp_path / "w", [stages.Stage("data", (), tmp_path / "w" / "data"), stages.Stage("train", ("data",), study)]
    )
    assert rm.main([str(study / "n2-r1"), "--yes"]) == 0
    assert "which lacks it then" in capsys.readouterr().out and sorted(os.listdir(study))[-2:] == [
        "n1-r1",
        "study.json",
    ]
    assert rm.main([str(tmp_path / "w"), "--yes"]) == 0
    assert not (tmp_path / "w").exists()


def test_named_twice_it_goes_once(tmp_path: Path, capsys: pytest.CaptureFixture):
    study, one = a_study(tmp_path), a_run(tmp_path / "one").path
    assert rm.main([str(one), f"{tmp_path}/s/../one", str(study), str(study / "n1-r1"), "--yes"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[3].split()[:2] == ["total", "3"] and not one.exists() and not study.exists()


def test_what_a_killed_rm_left_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    study, one = a_study(tmp_path / "runs"), a_run(tmp_path / "runs" / "one").path
    (study / "n1-r1").rename(study / ".n1-r1.removed.0123abcd")
    one.rename(tmp_path / "runs" / ".one.removed.0123abcd")
    monkeypatch.chdir(tmp_path)
    assert rm.main(["one", "s", "--yes"]) == 0 and os.listdir("runs") == []


def test_if_one_is_locked_none_goes(tmp_path: Path):
    good, locked = a_run(tmp_path / "good"), a_run(tmp_path / "locked")
    with lock.alone(locked.path), pytest.raises(Refusal, match="a launcher is at work on"):
        rm.main([str(good.path), str(locked.path), "--yes"])
    assert good.result() and locked.result()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_what_others_have_in_a_shared_folder_stays(tmp_path: Path):
    mine, study = a_run(tmp_path / "mine"), a_study(tmp_path)
    os.chown(study / "n2-r1", 65534, 65534)
    with pytest.raises(Refusal, match="n2-r1 belongs to user 65534"):
        rm.main([str(mine.path), str(study), "--yes", "--force"])
    assert mine.result() and RunDir(study / "n1-r1").result()


def test_where_slurm_is_silent_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    run = run_of(plan(Request(time="5"), CLUSTER), tmp_path / "r")
    (run.path / "jobs" / "1").mkdir(parents=True)
    job = {
        "backend": "slurm",
        "shape": "run",
        "runs": ["."],
        "saves": False,
        "name": "r",
        "id": "7",
        "state": "submitted",
    }
    publish_json(run.path / "jobs" / "1" / "job.json", job)
    with pytest.raises(Refusal, match="is queued, and that was its last word, as the scheduler does not answer"):
        rm.main([str(run.path), "--yes"])
    assert run.run_json.exists() and rm.main([str(run.path), "--yes", "--force"]) == 0


def test_a_mount_in_a_run_is_left_alone(tmp_path: Path):
    run, other = a_run(tmp_path / "a run").path, tmp_path / "precious"
    other.mkdir()
    (other / "file").write_text("the user's")
    if subprocess.run(["mount", "--bind", other, run / "logs"], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(Refusal, match="something is mounted at .*/a run/logs"):
            rm.main([str(run), "--yes", "--force"])
        assert (other / "file").exists() and run.is_dir()
    finally:
        subprocess.run(["umount", run / "logs"], check=True)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("folder", "is a folder, but neither a run nor a study: name those in it"),
        ("file", "is not a run or study; rm removes nothing else"),
        ("link", "is a link, which rm does not follow"),
        ("failed", r"has no result \(planned\): nothing was removed; --force"),
        ("study", r"s/n2-r1 has no result \(planned\)"),
        ("locked", "a launcher is at work on"),
    ],
)
def test_what_is_not_removed(tmp_path: Path, what: str, says: str):
    good = a_run(tmp_path / "good")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    a_run(tmp_path / "failed", done=False)
    a_run(tmp_path / "locked")
    (tmp_path / "link").symlink_to(good.path)
    study = a_study(tmp_path)
    RunDir(study / "n2-r1").result_json.unlink()
    before = sorted(tmp_path.rglob("*"))
    path = study if what == "study" else tmp_path / what
    with lock.alone(tmp_path / "locked"), pytest.raises(Refusal, match=says):
        rm.main([str(path), *([] if what == "locked" else [str(good.path)]), "--yes"])
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "locked" / lock.FILE])
    if what in ("failed", "study"):
        shutil.rmtree(tmp_path / "locked")
        assert rm.main([str(path), "--yes", "--force"]) == 0 and not path.exists()
