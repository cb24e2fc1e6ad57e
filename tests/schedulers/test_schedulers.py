"""What holds for runs, studies and workflows whatever scheduler has them."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from launched import Launched, launch, until

from launch.record.rundir import RunDir
from launch.record.writing import publish

SAY = """
import os
names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_WORLD_SIZE")
print("said", *(os.environ[name] for name in names), flush=True)
"""

# Waits in its first attempt, and leaves when it is asked to.
LEAVES = """
import os, sys, time
from launch.node import stop
stop.install()
print("here", flush=True)
while os.environ["LAUNCH_ATTEMPT"] == "1":
    time.sleep(0.05)
    if stop.requested():
        print("saved", flush=True)
        sys.exit(stop.STOPPED)
"""


@dataclass
class Queue:
    """A scheduler, as tests need to know it."""

    name: str
    alive: Callable[[], list[str]]  # ids of its jobs in the queue
    submit: str  # the command that submits
    hold: str  # its option to hold a job
    release: Callable[[str], object]


SLURM, PBS, FLUX = (pytest.param(name, marks=pytest.mark.slow) for name in ("slurm", "pbs", "flux"))


@pytest.fixture(params=[SLURM, "pbs", "flux"])
def scheduler(request: pytest.FixtureRequest) -> Queue:
    found = request.getfixturevalue(f"clean_{request.param}")
    if request.param != "slurm":
        hold = {"pbs": "-h", "flux": "--urgency=0"}[found.name]
        return Queue(
            found.name,
            found.alive,
            {"pbs": "qsub", "flux": "flux"}[found.name],
            hold,
            lambda id: found.control("release", id),
        )
    return Queue(
        "slurm",
        lambda: subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout.splitlines(),
        "sbatch",
        "--hold",
        lambda id: subprocess.run(["scontrol", "release", id], check=True),
    )


def script(folder: Path, text: str) -> Path:
    path = folder / "program.py"
    path.write_text(text)
    return path


def said(run: RunDir) -> dict[int, list[str]]:
    lines = [line.partition(": said ") for log in run.logs.glob("node*.log") for line in log.read_text().splitlines()]
    return {int(rank): words.split() for rank, found, words in lines if found}


def printed(run: RunDir, word: str) -> int:
    return sum(log.read_text().count(word) for log in run.logs.glob("node*.log"))


def test_ranks_learn_who_they_are(scheduler: Queue, tmp_path: Path):
    done = launch("-N", 2, "--ranks-per-node", 2, "--runs", tmp_path, "--name", "who", script(tmp_path, SAY))
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "who")
    assert said(run) == {rank: [str(rank), "4", str(rank % 2), "2", str(rank // 2), "2"] for rank in range(4)}
    assert run.result()["status"] == "done" and not scheduler.alive()
    assert run.events("started")[0]["job"] == run.events("submitted")[0]["job"]


def test_the_first_rank_that_fails_is_named_and_ends_the_job(scheduler: Queue, tmp_path: Path):
    """Of a rank that cannot say so itself."""
    end, error = {
        "slurm": ("raise KeyError('five')", "KeyError: 'five'"),
        "pbs": ("os.kill(os.getpid(), 9)", "ended by SIGKILL"),
        "flux": ("os._exit(7)", "exit status 7"),
    }[scheduler.name]
    text = f"import os, time\nif os.environ['RANK'] == '2':\n    time.sleep(0.5)\n    {end}\ntime.sleep(300)\n"
    failed = launch(
        "-N", 2, "--ranks-per-node", 2, "--runs", tmp_path, "--name", "bad", script(tmp_path, text), wait=100
    )
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert re.search(rf"^rank 2 on node 1 .* failed first: {error}", failed.stdout, re.MULTILINE), failed.stdout
    until(lambda: not scheduler.alive())


def test_a_study_is_made_and_its_failed_runs_again(scheduler: Queue, tmp_path: Path):
    """As one array; or with Flux as a job for each run."""
    text = (
        f"import os, sys\nsys.exit(3 if sys.argv[1] == '2' and not os.path.exists({str(tmp_path / 'mended')!r}) else 0)"
    )
    folder = tmp_path / "it's a study"
    made = launch("--sweep", "x=1,2,3", "--runs", folder, "--name=s", script(tmp_path, text), "{x}")
    assert made.returncode == 1, made.stdout + made.stderr
    assert "2 of 3 runs are done" in made.stdout
    runs = [RunDir(folder / "s" / f"n1-x{x}-r1") for x in (1, 2, 3)]
    for run in runs:  # each task of an array is the run that the index says it is
        assert run.events("started")[0]["job"] == run.events("submitted")[0]["job"]
    publish(tmp_path / "mended", "")
    again = launch("resume", folder / "s")  # a study's last run is an array of one task, which PBS has not
    assert again.returncode == 0 and "1 of 1 runs are done" in again.stdout, again.stdout + again.stderr
    assert [len(run.events("started")) for run in runs] == [1, 2, 1]


@pytest.mark.parametrize("scheduler", [SLURM, "pbs"], indirect=True)
def test_a_throttled_study_has_no_more_runs_at_a_time(scheduler: Queue, tmp_path: Path):
    """Though it has an array for each number of nodes, and a run of it is submitted again beside the others."""
    folder, program = tmp_path / "s", script(tmp_path, "import time; time.sleep(2)")
    words = (
        "--nodes=1,2",
        "--repeats=2",
        "--throttle=1",
        "--independent",
        "--sample-hz=0",
        "--runs",
        tmp_path,
        "--name=s",
    )
    made = launch(*words, "--detach", program)
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout.count("as --throttle asks") == 1 and "up to 1 run at a time" in made.stdout
    taken = launch("cancel", folder / "n2-r2")
    assert taken.returncode == 0, taken.stderr
    again = launch("resume", folder / "n2-r2", "--detach")
    assert again.returncode == 0 and "as --throttle asks" in again.stdout, again.stdout + again.stderr
    runs = [RunDir(folder / name) for name in ("n1-r1", "n1-r2", "n2-r1", "n2-r2")]
    until(lambda: all(run.result() and run.events("ended") for run in runs), 120)
    spans = sorted((run.events("started")[-1]["time"], run.events("ended")[-1]["time"]) for run in runs)
    assert all(end <= begin for (_, end), (begin, _) in zip(spans, spans[1:])), spans


def test_ranks_save_before_they_are_ended(scheduler: Queue, tmp_path: Path):
    """The job is not started again by itself, though it might be."""
    words = (
        "-N",
        2,
        "--time",
        "5",
        "--max-attempts",
        2,
        "--runs",
        tmp_path,
        "--name",
        "long",
        script(tmp_path, LEAVES),
    )
    by = "cancel" if scheduler.name == "flux" else "Ctrl-C"
    launched = Launched(*words)
    run = RunDir(tmp_path / "long")
    until(lambda: printed(run, "here") == 2)
    if by == "Ctrl-C":
        launched.process.send_signal(signal.SIGINT)
    else:
        cancelled = launch("cancel", run.path)
        assert cancelled.returncode == 0, cancelled.stdout + cancelled.stderr
    status, output = launched.wait()
    assert status == (130 if by == "Ctrl-C" else 4), output
    assert run.events("ended")[0]["outcome"] == "stopped"
    assert printed(run, "saved") == 2 and len(run.events("started")) == 1 and not scheduler.alive()


@pytest.mark.parametrize("scheduler", [SLURM, PBS, "flux"], indirect=True)
def test_a_study_in_one_allocation(scheduler: Queue, tmp_path: Path):
    words = ("-N", 2, "--sweep", "x=1,2", "--time=2", "--pack", "--runs", tmp_path, "--name=s")
    made = launch(*words, script(tmp_path, SAY), "{x}")
    assert made.returncode == 0, made.stdout + made.stderr
    first, second = (RunDir(tmp_path / "s" / f"n2-x{x}-r1") for x in (1, 2))
    assert sorted(said(first)) == sorted(said(second)) == [0, 1]
    assert first.events("submitted")[0]["job"] == second.events("submitted")[0]["job"]
    assert first.events("ended")[0]["time"] <= second.events("started")[0]["time"]


@pytest.mark.parametrize("scheduler", [SLURM, "pbs", FLUX], indirect=True)
def test_what_depends_on_a_failed_stage_does_not_begin(scheduler: Queue, tmp_path: Path):
    text = "import sys, time; time.sleep(1); sys.exit(int(sys.argv[1]))"
    program = script(tmp_path, text)
    (tmp_path / "flow.toml").write_text(
        "".join(
            f'[[stage]]\nname = "{name}"\nworkload = "{program}"\narguments = ["{code}"]\n'
            + (f'after = ["{after}"]\n' if after else "")
            for name, code, after in (("one", 0, ""), ("two", 3, "one"), ("three", 0, "two"))
        )
    )
    made = launch("--runs", tmp_path, "--name", "flow", tmp_path / "flow.toml")
    assert made.returncode == 1, made.stdout + made.stderr
    states = launch("status", tmp_path / "flow").stdout
    assert re.search(r"one.*done", states) and re.search(r"two.*failed", states), states
    assert re.search(r"three.*cancelled", states), states
    assert not RunDir(tmp_path / "flow" / "three").events("started") and not scheduler.alive()


def test_a_job_whose_answer_was_lost_is_found(scheduler: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command kills who has called it once the scheduler has the job."""
    command = tmp_path / "bin" / scheduler.submit
    command.parent.mkdir()
    real = shutil.which(scheduler.submit)
    command.write_text(f'#!/bin/sh\n{real} "$@"\ncase "$*" in *job.sh*) kill -KILL $PPID;; esac\n')
    command.chmod(0o700)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
        killed = launch(
            "--detach", f"--sbatch-arg={scheduler.hold}", "--runs", tmp_path, "--name=r", script(tmp_path, "")
        )
        assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    assert len(scheduler.alive()) == 1 and not RunDir(tmp_path / "r").events()
    gone = launch("cancel", tmp_path / "r")
    assert gone.returncode == 0 and "taken out of the queue" in gone.stdout, gone.stdout + gone.stderr
    assert not scheduler.alive()


def test_words_and_paths_arrive_as_they_were_given(scheduler: Queue, tmp_path: Path):
    odd = "a b'c\"d$(touch x);#é"
    place = tmp_path / odd
    place.mkdir()
    (tmp_path / "site.toml").write_text(
        f'name = "odd"\nbackend = "{scheduler.name}"\n[env]\nNOTE = {json.dumps(odd)}\n'
    )
    told = "import json, os, sys; json.dump([sys.argv[1:], os.environ['NOTE']], open(os.environ['LAUNCH_RUN'] + '/words.json', 'w'))"
    words = ("--site", tmp_path / "site.toml", "--runs", place, "--name", "run", "-J", odd)
    done = launch(*words, script(place, told), odd, "", "-n", "--", "first\nsecond", "\\")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((place / "run" / "words.json").read_text()) == [[odd, "", "-n", "--", "first\nsecond", "\\"], odd]
    assert not list(tmp_path.rglob("x"))
