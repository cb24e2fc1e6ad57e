"""One launcher at a time for a study: on this host by a lock, of another host by what it has noted."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest
from launched import Launched, gone, launch, until

from launch.errors import Refusal
from launch.record.files import read_json
from launch.record.rundir import RunDir
from launch.submit import lock


def elsewhere(folder: Path) -> dict:
    """As a launcher on another host leaves it that was killed."""
    who = {"host": "login2", "pid": 4711}
    (folder / lock.FILE).write_text(json.dumps(who))
    return who


def test_a_launcher_of_another_host_is_passed_over_only_when_asked(tmp_path: Path):
    who = elsewhere(tmp_path)
    with (
        pytest.raises(Refusal, match="process 4711 on login2 .* if it is gone: .* --take-over"),
        lock.alone(tmp_path),
    ):
        pass
    assert read_json(tmp_path / lock.FILE) == who
    with lock.alone(tmp_path, take_over=True) as hold:
        hold.check()
        assert read_json(tmp_path / lock.FILE)["pid"] == os.getpid()
        # Was it there still, and does the other take it back, this one submits nothing more, and leaves that one's name.
        elsewhere(tmp_path)
        with pytest.raises(Refusal, match="process 4711 on login2, has taken over"):
            hold.check()
    assert read_json(tmp_path / lock.FILE) == who


def test_where_no_file_can_be_locked_the_process_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    with lock.alone(tmp_path), pytest.raises(Refusal, match=f"process {os.getpid()} on"), lock.alone(tmp_path):
        pass
    with lock.alone(tmp_path):
        pass


def test_a_study_is_not_made_twice_at_a_time(tmp_path: Path):
    """And one whose launcher was killed is gone on with, without a word."""
    program = tmp_path / "program.py"
    program.write_text(f"import os, time; time.sleep(0 if os.path.exists({str(tmp_path / 'quick')!r}) else 100)")
    first = Launched("--repeats=2", "--runs", tmp_path, "--name=s", program)
    until(first.ranks)
    second = launch("resume", tmp_path / "s")
    assert second.returncode == 2 and second.stderr.count("\n") == 1
    assert f"a launcher is at work on {tmp_path / 's'}, process {first.process.pid} on " in second.stderr
    job = psutil.Process(first.process.pid).children(recursive=True)
    ranks = list(first.ranks().values())
    first.process.send_signal(signal.SIGKILL)
    first.wait()
    for rank in ranks:
        rank.kill()
    assert gone(job, 60)
    (tmp_path / "quick").touch()
    third = launch("resume", tmp_path / "s")
    assert third.returncode == 0, third.stdout + third.stderr
    assert [len(RunDir(tmp_path / "s" / name).events("started")) for name in ("n1-r1", "n1-r2")] == [2, 1]


def test_one_run_of_a_study_is_cancelled_and_the_others_go_on(tmp_path: Path):
    program = tmp_path / "program.py"
    quick = str(tmp_path / "quick")
    program.write_text(
        f"import os, time; slow = not os.path.exists({quick!r}); print('here', flush=True); time.sleep(100 * slow)"
    )
    study = Launched("--repeats=3", "--runs", tmp_path, "--name=s", program)
    log = tmp_path / "s" / "n1-r1" / "logs" / "node0.log"
    until(lambda: log.exists() and "here" in log.read_text())
    beside = launch("resume", tmp_path / "s" / "n1-r3")
    assert beside.returncode == 2 and f"a launcher is at work on {tmp_path / 's'}" in beside.stderr
    (tmp_path / "quick").touch()
    one = launch("cancel", tmp_path / "s" / "n1-r1")
    assert one.returncode == 0 and "n1-r1: ended, nothing saved; start it again: " in one.stdout, one.stderr
    status, output = study.wait()
    assert status == 4 and "2 of 3 runs are done" in output and "  n1-r1: cancelled" in output
    again = launch("resume", tmp_path / "s" / "n1-r1")
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_study_that_is_cancelled_begins_nothing_more(tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text("import time; time.sleep(100)")
    study = Launched("--repeats=2", "--runs", tmp_path, "--name=s", program)
    until(study.ranks)
    whole = launch("cancel", tmp_path / "s")
    assert whole.returncode == 0, whole.stderr
    status, output = study.wait()
    assert status == 4 and "[2/2]" not in output
    assert not RunDir(tmp_path / "s" / "n1-r2").events("started")


def test_a_study_that_is_cancelled_as_a_run_ends_begins_nothing_more(tmp_path: Path):
    """The order comes when the run has its result, as that of a workload which has just finished."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, pathlib, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(os.environ['LAUNCH_RUN'], 'result.json').write_text('{\"status\": \"done\"}')\n"
        "watching = pathlib.Path(f'/proc/{os.getppid()}/stat').read_text()\n"
        "os.kill(int(watching.rpartition(')')[2].split()[1]), signal.SIGTERM)  # the process of the job\n"
    )
    study = launch("--backend=local", "--repeats=2", "--runs", tmp_path, "--name=s", program)
    assert [RunDir(tmp_path / "s" / name).result() is not None for name in ("n1-r1", "n1-r2")] == [True, False]
    assert study.returncode == 4, study.stdout + study.stderr
