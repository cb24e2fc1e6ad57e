"""A launcher that is killed at every point of a submission, not at random ones: one job exists, and it is known."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures import Cluster
from launched import ROOT, environment, launch, until

from launch.record import job as record
from launch.record.rundir import RunDir

KILLED_AT = Path(__file__).with_name("killed_at.py")


def submitted_until(point: int, runs: Path, name: str, program: Path, *words: object, env: dict[str, str]) -> bool:
    """Submit a held job by a launcher that is killed at a point; whether it was."""
    asked = ("--detach", "--sbatch-arg=--hold", "--time=5", "--runs", runs, "--name", name, *words, program)
    command = [sys.executable, KILLED_AT, str(point), *map(str, asked)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    return done.returncode == -signal.SIGKILL


def jobs_of(name: str) -> set[str]:
    words = ["squeue", "-h", "-t", "all", "-o", "%F %j"]
    answer = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return {number for number, _, job in (line.partition(" ") for line in answer.splitlines()) if job.strip() == name}


def resumed(path: Path) -> subprocess.CompletedProcess:
    """Resume it; where the sbatch of the killed launcher is still at work, once that has ended."""

    def answer() -> subprocess.CompletedProcess | None:
        done = launch("resume", path, "--detach")
        return None if "is still submitting" in done.stderr else done

    return until(answer, 120, every=1)


def is_one_and_known(path: Path, job_name: str) -> None:
    """Resume submits what is lacking, and only that; cancel finds it."""
    done = resumed(path)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr, done.stdout + done.stderr
    assert done.returncode == 0 or "is running" in done.stderr, done.stderr
    numbers = jobs_of(job_name)
    assert len(numbers) == 1, (numbers, done.stdout, done.stderr)
    known = [job for job in record.of(path) if job.state == "submitted"]
    assert [{job.id} for job in known] == [numbers]
    assert all(run.events("submitted")[-1]["job"].partition("_")[0] in numbers for run in known[0].run_dirs)
    if done.returncode == 0:
        again = launch("resume", path)
        assert again.returncode == 2 and "is running" in again.stderr, again.stdout + again.stderr
    cancelled = launch("cancel", path)
    assert cancelled.returncode == 0 and "taken out of the queue" in cancelled.stdout, (
        cancelled.stdout + cancelled.stderr
    )


@pytest.fixture
def tag(tmp_path: Path) -> str:
    """What the names of a test's jobs begin with: Slurm remembers those of the tests before."""
    return tmp_path.name[-24:].strip("_-")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text("")
    return path


@pytest.mark.parametrize("words", [(), pytest.param(("--repeats=2",), marks=pytest.mark.slow)], ids=["run", "array"])
def test_killed_at_every_point(clean_slurm: Cluster, tmp_path: Path, program: Path, tag: str, words: tuple[str, ...]):
    for point in itertools.count(1):
        name = f"{tag}-{point}"
        killed = submitted_until(point, tmp_path, name, program, *words, env=environment())
        is_one_and_known(tmp_path / name, f"{name}-n1" if words else name)
        if not killed:
            break
    assert point > 10  # before and after each of the two writes, the script and the command


@contextlib.contextmanager
def silent(cluster: Cluster) -> Iterator[None]:
    """A controller that takes connections and does not answer, for some seconds."""
    os.kill(cluster.controller, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(cluster.controller, signal.SIGCONT)


@contextlib.contextmanager
def down(cluster: Cluster) -> Iterator[None]:
    """A controller that is gone, and comes back with what it had."""
    os.kill(cluster.controller, signal.SIGTERM)
    until(lambda: subprocess.run(["scontrol", "ping"], capture_output=True).returncode, 30)
    try:
        yield
    finally:
        cluster.control("reset")


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [silent, down], ids=["silent", "down"])
def test_killed_while_the_controller_does_not_answer(
    clean_slurm: Cluster, tmp_path: Path, program: Path, tag: str, trouble
):
    """Killed by the clock too: what waits for an answer does nothing that could be counted."""
    for place, seconds in enumerate((0.5, 1, 2, 4, 8, 16)):
        name = f"{tag}-{place}"
        asked = ("--detach", "--sbatch-arg=--hold", "--time=5", "--runs", tmp_path, "--name", name, program)
        with trouble(clean_slurm):
            command = [sys.executable, "-m", "launch", *map(str, asked)]
            launcher = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)
            until(lambda run=tmp_path / name: list(run.glob("jobs/1/job.json")), 60)
            time.sleep(seconds)
            launcher.kill()
            launcher.wait()
        is_one_and_known(tmp_path / name, name)


@pytest.mark.slow
@pytest.mark.parametrize("slow", ["sleep 2; exec SBATCH", 'SBATCH "$@"; status=$?; sleep 2; exit $status #'])
def test_killed_at_every_point_with_a_slow_controller(
    clean_slurm: Cluster, tmp_path: Path, program: Path, tag: str, slow: str
):
    """It takes its time before it has the job, or after."""
    real = subprocess.run(["which", "sbatch"], capture_output=True, text=True, check=True).stdout.strip()
    wrapper = tmp_path / "bin" / "sbatch"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/bash\n{slow.replace("SBATCH", real)} "$@"\n')
    wrapper.chmod(0o755)
    env = environment(PATH=f"{wrapper.parent}:{os.environ['PATH']}")
    for point in itertools.count(1):
        killed = submitted_until(point, tmp_path, f"{tag}-{point}", program, env=env)
        is_one_and_known(tmp_path / f"{tag}-{point}", f"{tag}-{point}")
        if not killed:
            break


def test_two_at_once(clean_slurm: Cluster, tmp_path: Path, program: Path, tag: str):
    """Of several that resume a run together, one submits."""
    assert submitted_until(4, tmp_path, tag, program, env=environment())
    command = [sys.executable, "-m", "launch", "resume", str(tmp_path / tag), "--detach"]
    several = [
        subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    said = [process.communicate(timeout=120)[1] for process in several]
    assert sorted(process.returncode for process in several) == [0, 2, 2, 2], said
    assert len(jobs_of(tag)) == 1 and len(RunDir(tmp_path / tag).events("submitted")) == 1
