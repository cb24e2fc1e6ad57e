"""More runs than Slurm takes in one array, or a site in its queue, on a real Slurm."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from launched import Launched, launch, until
from slurm.fixtures import Cluster

from launch.record.rundir import RunDir

WORKFLOW = """
[[stage]]
name = "first"
workload = "PROGRAM"
job.repeats = 9
[[stage]]
name = "second"
after = ["first"]
workload = "PROGRAM"
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """One that takes a moment."""
    file = tmp_path / "program.py"
    file.write_text("import time; time.sleep(0.3)")
    return file


def times(study: Path, repeat: int) -> tuple[float, float, float]:
    """When a run of a study was submitted, started and ended."""
    run = RunDir(study / f"n1-r{repeat}")
    return tuple(run.events(kind)[-1]["time"] for kind in ("submitted", "started", "ended"))


@pytest.fixture
def small_arrays(clean_slurm: Cluster) -> Iterator[Cluster]:
    """The cluster with MaxArraySize=4: indices 0 to 3."""
    file = clean_slurm.directory / "slurm.conf"
    before = file.read_text()

    def restart(text: str) -> None:
        file.write_text(text)
        os.kill(clean_slurm.controller, signal.SIGKILL)
        clean_slurm.control("reset")

    try:
        restart(before + "MaxArraySize=4\n")
        yield clean_slurm
    finally:
        clean_slurm.control("reset")
        restart(before)


def test_what_is_too_much_for_one_array_becomes_several(small_arrays: Cluster, tmp_path: Path, program: Path):
    file = tmp_path / "workflow.toml"
    file.write_text(WORKFLOW.replace("PROGRAM", str(program)))
    made = launch("--runs", tmp_path, "--name=c", file)
    assert made.returncode == 0, made.stdout + made.stderr
    assert re.findall(r"^job            \d+: (\d) runs?\b", made.stdout, re.MULTILINE) == ["4", "4", "1"]
    # What comes after waits for all of the arrays.
    second = RunDir(tmp_path / "c" / "second").events("started")[0]["time"]
    assert max(times(tmp_path / "c" / "first", repeat)[2] for repeat in range(1, 10)) <= second


def test_no_more_are_submitted_than_the_site_takes(clean_slurm: Cluster, tmp_path: Path, program: Path):
    site = tmp_path / "site.toml"
    site.write_text('name = "s"\nbackend = "slurm"\npartition = "debug"\n[partitions.debug]\nmax_jobs = 2\n')
    words = ["--site", site, "--repeats=5", "--runs", tmp_path, "--name=s"]
    refused = launch(*words, "--detach", program)
    assert refused.returncode == 2 and not (tmp_path / "s").exists()
    assert "5 runs are more than the 2 jobs that s lets you have in the queue of debug: leave out" in refused.stderr
    made = launch(*words, program)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "5 of 5 runs are done" in made.stdout and made.stdout.count("as 2 jobs may be in the queue") == 3
    for repeat in (3, 4, 5):  # each waits for both of those before
        before = [times(tmp_path / "s", one)[2] for one in range(1, repeat - (repeat - 1) % 2)]
        assert max(before) <= times(tmp_path / "s", repeat)[0]
    file = tmp_path / "workflow.toml"
    file.write_text(WORKFLOW.replace("PROGRAM", str(program)))
    workflow = launch("--site", site, "--runs", tmp_path, "--name=c", file)
    assert workflow.returncode == 2 and "10 runs are more than the 2 jobs" in workflow.stderr
    assert subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout == ""


def test_a_study_between_two_batches_is_not_submitted_twice(clean_slurm: Cluster, tmp_path: Path):
    """While its launcher waits for room in the queue, the runs of the next batch look as if nobody would make them."""
    site, quick, program = tmp_path / "site.toml", tmp_path / "quick", tmp_path / "program.py"
    site.write_text('name = "s"\nbackend = "slurm"\npartition = "debug"\n[partitions.debug]\nmax_jobs = 1\n')
    program.write_text(f"import os, time\nwhile not os.path.exists({str(quick)!r}): time.sleep(0.1)")
    first = Launched("--site", site, "--repeats=2", "--runs", tmp_path, "--name=s", program)
    until(lambda: RunDir(tmp_path / "s/n1-r1").events("started"))
    refused = launch("resume", tmp_path / "s")
    assert refused.returncode == 2 and f"process {first.process.pid} on" in refused.stderr
    # A launcher that is gone does not bar the way; the run that it submitted goes on, and is not submitted again.
    first.process.send_signal(signal.SIGKILL)
    first.wait()
    second = Launched("resume", tmp_path / "s")
    until(lambda: RunDir(tmp_path / "s/n1-r2").events("submitted"))
    quick.touch()
    status, output = second.wait()
    assert status == 0 and "1 of the runs of" in output, output
    assert [len(RunDir(tmp_path / "s" / name).events("submitted")) for name in ("n1-r1", "n1-r2")] == [1, 1]
