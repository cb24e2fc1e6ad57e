"""A run with files that are damaged, or of another user: it is named, and keeps no other from being seen or started."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from launched import ROOT, environment, launch
from plans import EIGHT_CORES, LAPTOP, plan, run_of

from launch.backends.scheduler import UNKNOWN, Answer, poll_all
from launch.errors import Refusal
from launch.plan.request import Request
from launch.plan.sweep import Axes
from launch.record.code import compare, snapshot
from launch.record.files import Unreadable
from launch.record.rundir import RunDir
from launch.record.writing import append_line, publish_json
from launch.submit import lock, places, states
from launch.submit.study import grow
from launch.submit.workflow import stages

JOB = {
    "backend": "local",
    "shape": "run",
    "runs": ["."],
    "saves": False,
    "name": "r",
    "id": "h:1",
    "state": "submitted",
}


def _unfinished(path: Path, id: str, process: str | None = None) -> RunDir:
    """A run of this machine that has begun, and whose process is gone."""
    planned = plan(Request(name=path.name), here=LAPTOP, machine=EIGHT_CORES, backend="local")
    path.parent.mkdir(parents=True, exist_ok=True)
    run = run_of(planned, path)
    (path / "jobs" / "1").mkdir(parents=True, mode=0o700)
    publish_json(path / "jobs" / "1" / "job.json", JOB | {"id": id})
    append_line(run.events_jsonl, {"event": "started", "time": 1.7e9, "attempt": 1, "submission": 1})
    if process is not None:
        (path / "jobs" / "1" / "process").write_text(process)
    return run


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("bad", "good"):
        _unfinished(tmp_path / "runs" / name, f"h:{name}")
    return tmp_path / "runs"


def _states(folder: Path) -> dict[str, str]:
    return {one.path.name: one.state for one in states.look(places.find([folder]), fresh=True)[0]}


@pytest.mark.parametrize("verb", ["status", "list"])
def test_the_job_of_another_user_hides_no_other_run(two: Path, verb: str):
    (two / "bad" / "jobs" / "1").chmod(0)
    # For root, which may read everything, without that right.
    other = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    command = [*(other if os.geteuid() == 0 else []), sys.executable, "-m", "launch", verb, str(two)]
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    finally:
        (two / "bad" / "jobs" / "1").chmod(0o700)
    assert (done.returncode, done.stderr) == (0, "")
    lines = {Path(line.split()[0]).name: line for line in done.stdout.splitlines()[1:]}
    assert "unreadable" in lines["bad"] and "lost" in lines["good"]


def _folder(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    "make",
    [_folder, _loop, os.mkfifo, *("garbage{", "[]", "123", "null", '{"host": 1, "pid": 2}', '{"host": "h"}', "[" * 9999)],
)  # fmt: skip
def test_a_damaged_process_file_makes_one_job_unknown(two: Path, make: str | Callable[[Path], None]):
    process = two / "bad" / "jobs" / "1" / "process"
    if isinstance(make, str):
        process.write_text(make)
    else:
        make(process)
    assert _states(two) == {"bad": "unknown", "good": "lost"}
    (bad,), _ = states.look([two / "bad"], fresh=True)
    assert str(process) in bad.reason


def test_what_a_process_has_written_is_still_understood(two: Path):
    process = two / "bad" / "jobs" / "1" / "process"
    process.write_text('{"host": "another-host", "pid": 12}')
    assert _states(two) == {"bad": "unknown", "good": "lost"}
    process.write_text(json.dumps({"host": os.uname().nodename, "pid": 12}))
    assert _states(two) == {"bad": "lost", "good": "lost"}
    with open(process, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert _states(two) == {"bad": "running", "good": "lost"}


def test_a_scheduler_is_asked_again_without_the_job_that_it_cannot_be_asked_about(two: Path):
    for number in range(6):
        _unfinished(two / f"r{number}", f"h:{number}")

    def poll(jobs, shared=False) -> Answer:
        if any(job.id == "h:bad" for job in jobs):
            raise Unreadable(two / "bad", "as a test")
        return poll_all(jobs, shared)

    known, _ = states.look(places.find([two]), fresh=True, poll=poll)
    assert {one.path.name: one.state for one in known} == {
        "bad": UNKNOWN, "good": "lost", **{f"r{number}": "lost" for number in range(6)}
    }  # fmt: skip


@pytest.mark.parametrize("text", ["[", "[]", '{"stages": [{"stage": "a", "after": ["z"]}]}'])
def test_a_damaged_workflow_hides_neither_its_runs_nor_others(two: Path, text: str):
    _unfinished(two / "flow" / "a", "h:a")
    (two / "flow" / stages.INDEX).write_text(text)
    assert _states(two) == {"flow": "damaged", "a": "lost", "bad": "lost", "good": "lost"}
    for verb in ("status", "list"):
        done = launch(verb, two)
        assert done.returncode == 0 and str(two / "flow") in done.stdout, done.stderr


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two points, of which both are done."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "program.py").write_text("print(1)")
    made = launch(
        "--backend=local", "--sample-hz=0", "--runs", folder, "--name=s", "--sweep", "x=1,2", folder / "program.py"
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return folder / "s"


@pytest.fixture
def study(done: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done, tmp_path / "s", symlinks=True))


@pytest.mark.parametrize("name", ["result.json", "run.json"])
def test_a_damaged_run_of_a_study_is_named_and_the_others_are_started(study: Path, name: str):
    (study / "n1-x1-r1" / "result.json").unlink()
    (study / "n1-x2-r1" / "result.json").unlink()
    (study / "n1-x1-r1" / name).write_text("[")
    resumed = launch("resume", study)
    assert resumed.returncode == 2 and str(study / "n1-x1-r1" / name) in resumed.stderr, resumed.stderr
    assert RunDir(study / "n1-x2-r1").result() is not None
    assert len(RunDir(study / "n1-x1-r1").events("started")) == 1
    again = launch("resume", study)  # nothing else is left
    assert again.returncode == 2 and str(study / "n1-x1-r1" / name) in again.stderr


def test_a_done_run_of_a_study_needs_no_plan(study: Path):
    (study / "n1-x1-r1" / "run.json").write_text("{}")
    (study / "n1-x2-r1" / "result.json").unlink()
    assert launch("resume", study).returncode == 0


@pytest.mark.parametrize(
    "text", ["[]", "123", "null", "{}", '{"host": "h"}', '{"host": 1, "pid": 1}', '{"host": "h", "pid": -1}', "[" * 256]
)
def test_a_lock_that_names_nobody_is_nobodys(tmp_path: Path, text: str):
    (tmp_path / lock.FILE).write_text(text)
    with lock.alone(tmp_path) as hold:
        hold.check()
        (tmp_path / lock.FILE).write_text(text)
        hold.check()


@pytest.mark.parametrize("line", ["[]", "1", "null", "{}", "x", "[" * 100_000, '["code", 1, 1, 1, ""]'])
def test_a_damaged_list_of_files_is_refused(study: Path, line: str):
    listed = study / ".code" / snapshot.LIST
    listed.write_text(f"{listed.read_text()}{line}\n")
    run = RunDir(study / "n1-x1-r1")
    for look in (compare.written, compare.changes):
        with pytest.raises(Refusal, match="files.jsonl"):
            look(run)
    removed = launch("rm", study, "--yes")
    assert removed.returncode == 0 and not study.exists(), removed.stderr


def _changed(folder: Path, **values: object) -> None:
    index = json.loads((folder / "study.json").read_text())
    index["asked"] |= values
    (folder / "study.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "values",
    [
        {"exclude": [{"x": ["1"]}]},
        {"plan": {}},
        {"plan": {"cwd": "/\0"}},
        {"plan": {"cwd": "/", "time_s": "x"}},
        {"steps": []},
        {"steps": [{}]},
        {"steps": [{"x": ["1", "2"]}]},
        {"steps": [{"nodes": ["1"]}, {}]},
        {"steps": [{"nodes": []}]},
    ],
)  # fmt: skip
def test_a_study_that_contradicts_itself_is_not_extended(study: Path, values: dict[str, object]):
    _changed(study, **values)
    before = (study / "study.json").read_bytes()
    with pytest.raises(Refusal) as refused:
        grow.growth(study, {"repeats": 2})
    assert "\n" not in str(refused.value)
    assert (study / "study.json").read_bytes() == before


def test_a_whole_study_is_extended(study: Path):
    what = grow.growth(study, {"repeats": 2})
    assert [point.name for point, _ in what.runs] == ["n1-x1-r2", "n1-x2-r2"]


def test_axes_begin_with_the_nodes():
    for steps in ((), ({},), ({"x": ("1",)},)):
        with pytest.raises(Refusal):
            Axes(steps=steps)
