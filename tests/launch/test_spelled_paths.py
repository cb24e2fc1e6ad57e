"""Runs are found, ended and removed however their path is spelled, and words that name nothing are refused."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def rankloop(*words: object, cwd: Path, close_input: bool = False) -> subprocess.CompletedProcess:
    """Run the command as a user in a folder does."""
    command = [sys.executable, "-m", "launch", *map(str, words)]
    if close_input:
        command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with programs, beside which the runs are."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "sleep.py").write_text("import sys, time\ntime.sleep(float(sys.argv[1]))\n")
    (folder / "fail.py").write_text("raise SystemExit(3)\n")
    return folder


def test_a_path_with_two_dots_is_that_of_the_run(here: Path):
    """A job is recorded and found: it is not started twice, and ends when it is cancelled."""
    made = rankloop("--backend", "local", "--runs", "../runs", "--name", "one", "--detach", "sleep.py", "60", cwd=here)
    assert made.returncode == 0, made.stderr
    assert "running" in rankloop("status", "../runs", cwd=here).stdout
    again = rankloop("resume", "--detach", "../runs/one", cwd=here)
    assert again.returncode == 2 and "running" in again.stderr
    refused = rankloop("rm", "--yes", "--force", "../runs/one", cwd=here)
    assert refused.returncode == 2 and (here / "../runs/one/run.json").exists()
    ended = rankloop("cancel", "../runs/one", cwd=here)
    assert ended.returncode == 0, ended.stderr
    assert "cancelled" in rankloop("status", here.parent / "runs", cwd=here).stdout


def test_an_empty_name_is_not_the_working_directory(here: Path):
    rankloop("--backend", "local", "--name", "one", "--detach", "sleep.py", "60", cwd=here)
    for verb in (["cancel", ""], ["status", ""], ["rm", "--dry-run", "--force", ""], ["resume", ""]):
        done = rankloop(*verb, cwd=here)
        assert done.returncode == 2 and "empty name" in done.stderr, verb
    assert "running" in rankloop("status", "one", cwd=here).stdout
    rankloop("cancel", "one", cwd=here)


def test_a_refused_resume_changes_nothing(here: Path):
    rankloop("--backend", "local", "--name", "one", "fail.py", cwd=here)
    (here / "fail.py").write_text("# edited\nraise SystemExit(3)\n")
    run = here / "runs" / "one"
    before = {path.name: path.read_bytes() for path in (run / "run.json", run / "events.jsonl")}
    refused = rankloop("resume", "one", "--time", "30", "--code", "current", "--exclude-bad-nodes", cwd=here)
    assert refused.returncode == 2
    assert before == {path.name: path.read_bytes() for path in (run / "run.json", run / "events.jsonl")}
    assert not (run / ".code-2").exists()


def test_a_study_that_cannot_grow_stays_as_it_is(here: Path):
    made = rankloop("--backend", "local", "--name", "st", "--sweep", "x=1,2", "sleep.py", "0", cwd=here)
    assert made.returncode == 0, made.stdout + made.stderr
    before = sorted(path.name for path in (here / "runs" / "st").iterdir() if path.name != ".launcher")
    refused = rankloop("extend", "st", "--repeats", "2", "--exclude-bad-nodes", cwd=here)
    assert refused.returncode == 2
    assert before == sorted(path.name for path in (here / "runs" / "st").iterdir() if path.name != ".launcher")


def test_no_standard_input_and_odd_words(here: Path):
    rankloop("--backend", "local", "--name", "one", "sleep.py", "0", cwd=here)
    done = rankloop("rm", "one", cwd=here, close_input=True)
    assert done.returncode == 2 and "--yes" in done.stderr and "Traceback" not in done.stderr
    for words in (["status", "a\nb"], ["--gpus-per-node", "a\nb", "sleep.py"], ["--name", "a" * 300, "sleep.py"]):
        done = rankloop(*words, cwd=here)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("wait_s", [0.0, 0.1, 0.2, 0.4])
def test_a_run_that_is_only_about_to_begin_is_cancelled_too(here: Path, wait_s: float):
    """What has taken its lock may not have noted its pid yet: nobody else gets the signal, and the run does not go on."""
    words = ("--backend", "local", "--name", "st", "--sweep", "x=1,2", "--detach", "sleep.py", "60")
    assert rankloop(*words, cwd=here).returncode == 0
    rankloop("cancel", "st", cwd=here)
    rankloop("resume", "--detach", "st", cwd=here)
    time.sleep(wait_s)
    done = rankloop("cancel", "st/n1-x1-r1", cwd=here)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr
    time.sleep(1)
    events = [json.loads(line)["event"] for line in (here / "runs/st/n1-x1-r1/events.jsonl").read_text().splitlines()]
    assert done.returncode == 2 or "started" not in events[len(events) - events[::-1].index("cancelled") :], events
    rankloop("cancel", "st", cwd=here)
