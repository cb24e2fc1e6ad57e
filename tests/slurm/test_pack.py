"""Studies in one allocation, on a real Slurm."""

import signal
import subprocess
from pathlib import Path

import pytest
from launched import Launched, launch, until
from plans import CLUSTER, slowing_study
from slurm.fixtures import Cluster, queue

from launch.record.files import read_json
from launch.record.rundir import RunDir
from launch.record.writing import publish

SAY = """
import os, sys
print("step", os.environ["SLURM_STEP_ID"], "of", os.environ["SLURM_JOB_ID"], flush=True)
bad = os.environ["WORLD_SIZE"] == "2" and os.environ["RANK"] == "1" and not os.path.exists(MENDED)
sys.exit(3 if bad else 0)
"""
WAIT = """
import os, signal, sys, time
signal.signal(signal.SIGUSR2, lambda *_: sys.exit(75))
print("waits", flush=True)
time.sleep(300 if os.environ["WORLD_SIZE"] == WHICH else 0)
"""


def program(folder: Path, text: str, **values: object) -> Path:
    path = folder / "program.py"
    path.write_text("".join(f"{name} = {str(value)!r}\n" for name, value in values.items()) + text)
    return path


def runs(study: Path) -> dict[str, RunDir]:
    return {entry["run"]: RunDir(study / entry["run"]) for entry in read_json(study / "study.json")["runs"]}


def steps(run: RunDir) -> set[tuple[str, ...]]:
    lines = [line.split() for path in run.logs.glob("node*.log") for line in path.read_text().splitlines()]
    return {(words[2], words[4]) for words in lines if "step" in words}


def test_all_runs_are_steps_of_one_job_largest_first(clean_slurm: Cluster, tmp_path: Path):
    """A point that fails does not end the others, and is made again in as small an allocation as it needs."""
    say = program(tmp_path, SAY, MENDED=tmp_path / "mended")
    folder = tmp_path / "it's a study"
    made = launch("--nodes=1,2,4", "--repeats=2", "--time=2", "--pack", "--runs", folder, "--name=s", say)
    assert made.returncode == 1, made.stdout + made.stderr
    assert "4 of 6 runs are done" in made.stdout and made.stdout.count(": failed") == 2
    found = runs(folder / "s")
    (job,) = {run.events("submitted")[0]["job"] for run in found.values()}
    by_step = sorted((*steps(run).pop(), name) for name, run in found.items())
    assert by_step == [
        (str(step), job, name) for step, name in enumerate(["n4-r1", "n4-r2", "n2-r1", "n2-r2", "n1-r1", "n1-r2"])
    ]
    for run in found.values():
        ranks = int(run.path.name[1])
        assert sorted(path.name for path in run.logs.glob("node*.log")) == [f"node{node}.log" for node in range(ranks)]
    failure = found["n2-r1"].events("ended")[0]["first_failure"]
    assert (failure["rank"], failure["error"]) == (1, "exit status 3")
    publish(tmp_path / "mended", "")
    again = launch("resume", folder / "s")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 of 2 runs are done" in again.stdout
    assert "#SBATCH --nodes=2\n" in (folder / "s" / "jobs" / "2" / "job.sh").read_text()
    assert {name: len(run.events("started")) for name, run in found.items()} == {
        name: 2 if name.startswith("n2") else 1 for name in found
    }


def test_who_waits_for_its_turn_and_who_is_asked_to_leave(clean_slurm: Cluster, tmp_path: Path):
    wait = program(tmp_path, WAIT, WHICH=2)
    launched = Launched("--nodes=1,2,4", "--time=5", "--warn=60", "--pack", "--runs", tmp_path, "--name=s", wait)
    found = until(lambda: (tmp_path / "s" / "study.json").exists() and runs(tmp_path / "s"))
    until(lambda: "waits" in "".join(path.read_text() for path in found["n2-r1"].logs.glob("node1.log")))
    states = launch("status", tmp_path / "s").stdout
    for name, state in (("n4-r1", "done"), ("n2-r1", "running"), ("n1-r1", "queued")):
        assert any(name in line and state in line for line in states.splitlines()), states
    # Its job holds the others too.
    refused = launch("cancel", tmp_path / "s" / "n2-r1")
    assert refused.returncode == 2 and "name that folder to cancel them all" in refused.stderr
    assert queue()
    # Slurm's warning comes before the end of the job, so nothing more begins.
    (job,) = {run.events("submitted")[0]["job"] for run in found.values()}
    subprocess.run(["scancel", "--signal=USR2", job], check=True)
    status, output = launched.wait()
    assert status == 4, output
    assert "1 of 3 runs are done" in output and "n2-r1: stopped" in output and "n1-r1: stopped" in output
    assert not found["n1-r1"].events("started") and not queue()
    # What Slurm has said is good for five seconds.
    until(lambda: "ended before its turn" in launch("status", tmp_path / "s").stdout, every=1)


@pytest.mark.parametrize("by", ["Ctrl-C", "cancel"])
def test_the_end_is_the_end_of_all(clean_slurm: Cluster, tmp_path: Path, by: str):
    wait = program(tmp_path, WAIT, WHICH=4)
    launched = Launched("--nodes=1,4", "--time=5", "--pack", "--runs", tmp_path, "--name=s", wait)
    found = until(lambda: (tmp_path / "s" / "study.json").exists() and runs(tmp_path / "s"))
    until(lambda: sum("waits" in log.read_text() for log in found["n4-r1"].logs.glob("node*.log")) == 4)
    if by == "Ctrl-C":
        launched.process.send_signal(signal.SIGINT)
    else:
        cancelled = launch("cancel", tmp_path / "s")
        assert cancelled.returncode == 0, cancelled.stderr
    status, output = launched.wait()
    assert status == (130 if by == "Ctrl-C" else 4), output
    assert not queue() and not found["n1-r1"].events("started")
    states = launch("status", tmp_path / "s").stdout.splitlines()[1:]
    assert len(states) == 2 and not any("running" in line or "queued" in line or "done" in line for line in states)


def test_a_job_that_cannot_begin_says_why(clean_slurm: Cluster, tmp_path: Path):
    site = tmp_path / "here.toml"
    site.write_text('modules = ["no-such-module/1"]\n')
    words = ["--site", site, "--nodes=1,2", "--time=5", "--pack", "--runs", tmp_path, "--name=s"]
    made = launch(*words, program(tmp_path, ""))
    assert made.returncode == 1, made.stdout + made.stderr
    assert "a line of the site file failed" in made.stdout and ": module load no-such-module/1" in made.stdout


def test_the_job_itself_leaves_out_what_is_inefficient(clean_slurm: Cluster, tmp_path: Path):
    folder = slowing_study(tmp_path, CLUSTER, pack=True)
    made = launch("resume", folder, "--detach")
    assert made.returncode == 0, made.stdout + made.stderr
    found = runs(folder)
    (cancelled,) = until(lambda: found["n4-r1"].events("cancelled"))
    assert cancelled["reason"].startswith("efficiency 0.5 on 2 nodes is below 0.75")
    until(lambda: not queue())
    assert not found["n4-r1"].events("started") and found["n2-r1"].result()
    job = found["n4-r1"].events("submitted")[0]["job"]
    shown = subprocess.run(["squeue", "-h", "-t", "all", "-j", job, "-o", "%T"], capture_output=True, text=True)
    assert shown.stdout.strip() == "COMPLETED"  # so that what depends on it can begin
    assert "n4-r1: not run" in found["n4-r1"].job_log.read_text()


def test_larger_jobs_leave_the_queue_when_a_smaller_one_is_inefficient(clean_slurm: Cluster, tmp_path: Path):
    # What the job on four nodes waits for, until it is taken away.
    subprocess.run(["sbatch", "-N", "13", "--exclusive", "-o", "/dev/null", "--wrap=sleep 600"], check=True)
    folder = slowing_study(tmp_path, CLUSTER)
    made = launch("resume", folder)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "n4-r1: not run: efficiency 0.5" in made.stdout and "2 of 2 runs are done" in made.stdout
    assert not runs(folder)["n4-r1"].events("started") and len(queue()) == 1


@pytest.mark.slow
def test_a_run_that_takes_too_long_does_not_take_the_time_of_others(clean_slurm: Cluster, tmp_path: Path):
    """Slurm ends a step half a minute or so after its time."""
    wait = program(tmp_path, WAIT.replace("lambda *_: sys.exit(75)", "signal.SIG_IGN"), WHICH=2)
    made = launch("--nodes=1,2,4", "--time=1", "--pack", "--runs", tmp_path, "--name=s", wait)
    assert made.returncode in (1, 4), made.stdout + made.stderr
    assert "2 of 3 runs are done" in made.stdout
    assert runs(tmp_path / "s")["n2-r1"].result() is None
