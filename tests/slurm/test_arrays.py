"""Studies on a real Slurm: one array for each shape."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from launched import Launched, launch, until
from slurm.fixtures import Cluster

from launch.record.files import read_json
from launch.record.rundir import RunDir
from launch.record.writing import publish

PROGRAM = """
import os, sys, time
print('here', flush=True)
time.sleep(float(os.environ.get('PAUSE', 0)))
bad = os.environ['LAUNCH_SEED'] == '2' and os.environ['LAUNCH_SIZE'] == '2' and not os.path.exists('mended')
sys.exit(3 if bad and os.environ['RANK'] == '1' else 0)
"""


def test_a_study_is_an_array_for_each_number_of_nodes(clean_slurm: Cluster, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("'mended'", repr(str(tmp_path / "mended"))))
    folder = tmp_path / "it's a study"
    made = launch(
        "--nodes=1,2,4", "--sweep=seed=1..2", "--repeats=2", "--throttle=3", "--runs", folder, "--name=s", program
    )
    study = folder / "s"
    assert made.returncode == 1, made.stdout + made.stderr
    assert "10 of 12 runs are done" in made.stdout
    assert made.stdout.count("n2-seed2-r1: failed") == 2 and made.stdout.count("n2-seed2-r2: failed") == 2
    runs = {entry["run"]: RunDir(study / entry["run"]) for entry in read_json(study / "study.json")["runs"]}
    jobs = {name: run.events("submitted")[0]["job"] for name, run in runs.items()}
    assert len({job.partition("_")[0] for job in jobs.values()}) == 3
    for name, run in runs.items():
        # Each task of an array is the run that the index says it is.
        assert run.events("started")[0]["job"] is not None
        ranks = int(name[1])
        lines = [
            line for path in run.logs.glob("node*.log") for line in path.read_text().splitlines() if "here" in line
        ]
        assert sorted(lines) == [f"{rank}: here" for rank in range(ranks)]
    publish(tmp_path / "mended", "")
    again = launch("resume", study)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 of the runs of" in again.stdout and "2 of 2 runs are done" in again.stdout
    attempts = {name: len(run.events("started")) for name, run in runs.items()}
    assert attempts == {name: 2 if name.startswith("n2-seed2") else 1 for name in runs}


def test_ctrl_c_takes_a_study_out_of_the_queue(clean_slurm: Cluster, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text("import time; print('here', flush=True); time.sleep(300)")
    launched = Launched("--nodes=4,2", "--repeats=2", "--runs", tmp_path, "--name=s", program)
    # All twelve: of a step that is ended while it is being started, Slurm may ask a node anew only a minute later.
    until(lambda: sum("here" in log.read_text() for log in tmp_path.glob("s/*/logs/node*.log")) == 12)
    launched.process.send_signal(signal.SIGINT)
    status, output = launched.wait()
    assert status == 130, output
    assert f"python -m launch resume {tmp_path / 's'}" in output
    assert subprocess.run(["squeue", "-h"], capture_output=True, text=True).stdout == ""


def test_a_refused_array_takes_back_those_before_it(clean_slurm: Cluster, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text("import time; time.sleep(300)")
    refused = launch("--nodes=1,2", "--constraint=nope", "--repeats=2", "--runs", tmp_path, "--name=s", program)
    assert refused.returncode == 3 and "Invalid feature specification" in refused.stderr
    assert subprocess.run(["squeue", "-h"], capture_output=True, text=True).stdout == ""


def test_jobs_that_slurm_took_from_a_launcher_that_was_killed_are_not_lost(
    clean_slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The first sbatch of each kills who has started it once Slurm has the job, and before that can note so."""

    def jobs() -> set[str]:
        words = ["squeue", "-h", "-t", "all", "-o", "%F"]
        return set(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())

    before = jobs()
    program = tmp_path / "program.py"
    program.write_text("")
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(f'#!/bin/sh\n{shutil.which("sbatch")} "$@"\nkill -KILL $PPID\n')
    sbatch.chmod(0o700)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
        words = ("--detach", "--sbatch-arg=--hold", "--runs", tmp_path)
        assert launch(*words, "--repeats=2", "--name=s", program).returncode == -signal.SIGKILL
        assert launch(*words, "--name=r", program).returncode == -signal.SIGKILL
    both = [RunDir(tmp_path / "s" / name) for name in ("n1-r1", "n1-r2")]
    assert not any(run.events() for run in both)

    taken = launch("resume", tmp_path / "s")
    assert taken.returncode == 2 and taken.stderr.count("\n") == 1
    assert "is queued: wait for its end" in taken.stderr
    assert "recovered; it had been submitted" in taken.stdout
    assert [run.events()[-1]["job"].partition("_")[2] for run in both] == ["0", "1"]
    number = both[0].events()[-1]["job"].partition("_")[0]
    subprocess.run(["scontrol", "release", number], check=True)
    until(lambda: all(run.result() for run in both))
    again = launch("resume", tmp_path / "s")
    assert again.returncode == 2 and "is finished: there is nothing left to run" in again.stderr

    gone = launch("cancel", tmp_path / "r")
    assert gone.returncode == 0 and f"{tmp_path / 'r'}: taken out of the queue" in gone.stdout, (
        gone.stdout + gone.stderr
    )
    assert len(jobs() - before) == 2


# By its number it is done at once, waits, does not heed the end at its time limit, or asks to be started again.
REQUEUED = """
import os, signal, sys, time
from launch.node import stop
task, attempt = sys.argv[1][-1], int(os.environ["LAUNCH_ATTEMPT"])
print("attempt", attempt, flush=True)
if task == "1":
    while not os.path.exists(GO): time.sleep(0.1)
if task == "2" and attempt == 1:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(300)
if task == "3" and attempt == 1:
    stop.install()
    sys.exit(stop.STOPPED)
"""


def test_a_task_that_is_started_again_leaves_the_others_alone(clean_slurm: Cluster, tmp_path: Path):
    """The last one of an array has the number of the whole array as its job."""
    program = tmp_path / "program.py"
    program.write_text(f"GO = {str(tmp_path / 'go')!r}\n{REQUEUED}")
    words = ["--time=5", "--max-attempts=2", "--runs", tmp_path, "--name=s", "--sweep", "task=0,1,2,3"]
    launched = Launched(*words, program)
    runs = [RunDir(tmp_path / f"s/n1-task{task}-r1") for task in range(4)]
    job = until(lambda: runs[2].events("started"))[0]["job"]
    assert job == runs[2].events("submitted")[0]["job"]
    # Its time is over when Slurm looks next, within half a minute. In its first second Slurm refuses to end it then.
    until(lambda: subprocess.run(["scontrol", "update", f"jobid={job}", "EndTime=now"]).returncode == 0)
    # Slurm starts a task again that is done, as somebody has asked it to.
    until(runs[0].result)
    subprocess.run(["scontrol", "requeue", runs[0].events("submitted")[0]["job"]], check=True)
    until(lambda: "it has a result" in runs[0].job_log.read_text())
    until(lambda: len(runs[3].events("started")) == 2)
    until(lambda: len(runs[2].events("started")) == 2, 150)
    publish(tmp_path / "go", "")
    status, output = launched.wait()
    assert status == 0 and "4 of 4 runs are done" in output, output
    assert [len(run.events("started")) for run in runs] == [1, 1, 2, 2]
