"""The run directory: whole files or none, whole lines, and refusals that leave nothing behind."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from launched import ROOT, launch
from plans import LAPTOP, plan, run_of

from launch import own_command
from launch.errors import Refusal
from launch.plan.request import Request
from launch.record.files import MOST, read_end, read_json, read_lines, read_whole
from launch.record.rundir import RunDir
from launch.record.writing import append_line, publish, publish_json

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.dictionaries(st.text(), scalars | st.lists(scalars), max_size=3), max_size=3))
def test_lines_are_read_as_they_were_written(values: list[dict]):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.jsonl"
        for value in values:
            append_line(path, value)
        assert list(read_lines(path)) == values


def test_words_that_are_no_utf8_are_kept(tmp_path: Path):
    word = os.fsdecode(b"caf\xe9")
    append_line(tmp_path / "a.jsonl", {"path": word})
    publish_json(tmp_path / "a.json", {"path": word})
    assert next(read_lines(tmp_path / "a.jsonl")) == read_json(tmp_path / "a.json") == {"path": word}


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_cut_by_a_kill_takes_no_other_with_it(tmp_path: Path, cut: int):
    path = tmp_path / "events.jsonl"
    append_line(path, {"event": 1})
    append_line(path, {"event": 2})
    os.truncate(path, path.stat().st_size - cut)
    assert list(read_lines(path)) == [{"event": 1}, {"event": 2}][: 1 + (cut == 1)]
    append_line(path, {"event": 3})
    assert list(read_lines(path)) == [{"event": 1}, *[{"event": 2}] * (cut == 1), {"event": 3}]


def test_no_file_has_no_lines_and_no_value(tmp_path: Path):
    assert list(read_lines(tmp_path / "absent")) == []
    assert read_json(tmp_path / "absent") is None


def _append(path: Path, process: int) -> None:
    for i in range(300):
        append_line(path, {"process": process, "i": i, "padding": "x" * (i * 37 % 9000)})


def test_lines_of_many_processes_do_not_mix(tmp_path: Path):
    path = tmp_path / "node0.jsonl"
    processes = [multiprocessing.get_context("fork").Process(target=_append, args=(path, k)) for k in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    lines = [json.loads(line) for line in path.read_text().split("\n") if line]
    assert sorted((line["process"], line["i"]) for line in lines) == [(k, i) for k in range(8) for i in range(300)]


PUBLISH = """
import sys; from pathlib import Path; from launch.record.writing import publish
print("ready", flush=True)
i = 0
while True:
    i += 1
    publish(Path(sys.argv[1]), b"%07d\\n" % i * 20000)
"""


def test_a_published_file_is_whole_after_a_kill(tmp_path: Path):
    path = tmp_path / "result.json"
    for pause in (0.002, 0.011, 0.023, 0.034, 0.05):
        writer = subprocess.Popen(
            [sys.executable, "-c", PUBLISH, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 20
        while not path.exists():
            assert time.monotonic() < deadline
        time.sleep(pause)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        content = path.read_bytes()
        assert len(content) == 160000 and len(set(content.split(b"\n"))) == 2  # one number, and what is after the last


def test_publishing_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path):
    publish(tmp_path / "a.json", "old")
    with pytest.raises(TypeError):
        publish(tmp_path / "a.json", 5)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


def test_damaged_json_is_refused(tmp_path: Path):
    (tmp_path / "run.json").write_text('{"name": ')
    with pytest.raises(Refusal, match="run.json is damaged"):
        read_json(tmp_path / "run.json")


def test_create_and_open(tmp_path: Path):
    run = RunDir(tmp_path / "study" / "first")
    run.create()
    assert run.path.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in run.path.iterdir()} == {"logs", "failures", "meeting", "steps", "checkpoints"}
    with pytest.raises(Refusal, match="is not a run: it has no run.json"):
        RunDir.open(run.path)
    run.append_event("started", attempt=1)
    run.append_event("ended", attempt=1, outcome="done")
    assert [event["attempt"] for event in run.events("started")] == [1]
    assert [event["event"] for event in run.events()] == ["started", "ended"]
    assert abs(run.events()[0]["time"] - time.time()) < 60
    publish_json(run.run_json, {})
    assert RunDir.open(str(run.path)).result() is None


def test_an_existing_run_is_refused_and_untouched(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data").write_text("precious")
    with pytest.raises(Refusal, match="exists already: give another --name, or continue it: .* resume"):
        RunDir(tmp_path / "mine").create()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["data"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(Refusal, match=r"cannot make the run .* \(Not a directory\)"):
        RunDir(tmp_path / "runs" / "a").create()


def test_an_unwritable_folder_is_refused():
    # Nobody, root included, can make a directory there.
    with pytest.raises(Refusal, match="cannot make the run .*: give a folder that can be written to with --runs"):
        RunDir("/proc/self/runs/a").create()


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 48 KiB: room for directories, none for data."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can only be mounted by root, outside most containers")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_refused_and_left_as_it_was(small_disk: Path):
    with pytest.raises(Refusal, match="No space left on device.*--runs"):
        RunDir(small_disk / "a").create()
    assert list(small_disk.iterdir()) == []


def test_a_line_for_which_there_is_no_room_is_an_error(small_disk: Path):
    with pytest.raises(OSError, match="No space left"):
        for _ in range(20):
            append_line(small_disk / "a.jsonl", {"padding": "x" * 5000})
    whole = list(read_lines(small_disk / "a.jsonl"))
    assert 0 < len(whole) < 20 and all(len(line["padding"]) == 5000 for line in whole)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("inner", [".", "run.json", "checkpoints", "checkpoints/step-7.npz", "meeting/link"])
def test_what_another_user_has_put_there_is_refused(tmp_path: Path, inner: str):
    run = run_of(plan(Request(), here=LAPTOP), tmp_path / "run")
    (run.checkpoints / "step-7.npz").write_bytes(b"")
    (run.meeting / "link").symlink_to("/etc/hosts")
    run.refuse_files_of_others()
    os.chown(run.path / inner, 65534, -1, follow_symlinks=False)
    refused = launch("resume", run.path)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert (
        f"{(run.path / inner).resolve() if inner == '.' else run.path / inner} belongs to user 65534" in refused.stderr
    )
    # Nor does an attempt begin that somebody else would have a say in, as when Slurm puts a job back.
    begin = own_command(sys.executable, "launch.node.attempt", "begin", str(run.path))
    begun = subprocess.run(begin, cwd=ROOT, capture_output=True, text=True)
    assert begun.returncode == 1 and "belongs to user 65534" in begun.stderr and "Traceback" not in begun.stderr
    assert [event["event"] for event in run.events()] == ["ended"]
    # To look at it does no harm.
    assert launch("status", run.path).returncode == 0


def test_a_small_file_takes_little_memory(tmp_path: Path):
    """There may be a limit on it (ulimit -v)."""
    (tmp_path / "file").write_bytes(b"x" * 100)
    tracemalloc.start()
    try:
        assert read_whole(tmp_path / "file") == b"x" * 100
        assert read_end(tmp_path / "file", MOST, begin=90) == b"x" * 10
        assert read_end(tmp_path / "file", 20) == b"x" * 20 and read_end(tmp_path / "file", 20, begin=200) == b""
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
