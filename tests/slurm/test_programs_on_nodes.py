"""Programs that are not Python, on a real Slurm: MPI over PMIx, words, signals and ends."""

import os
import re
import subprocess
from pathlib import Path

import page
import pytest
from launched import Launched, facts, launch, until
from mpi_program import MPICC, compiled, needs_mpi
from slurm.fixtures import Cluster

from launch.record.rundir import RunDir


def lines(run: RunDir, rank: int) -> list[str]:
    """What a rank has printed."""
    found = [line.strip() for log in sorted(run.logs.glob("node*.log")) for line in log.read_text().splitlines()]
    return [line.partition(": ")[2] for line in found if line.startswith(f"{rank}: ")]


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return path


@needs_mpi
def test_a_program_with_mpi(clean_slurm: Cluster, tmp_path: Path):
    program = compiled(tmp_path)
    done = launch("-N", 2, "--runs", tmp_path / "runs", "--name", "mpi", program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--rendezvous mpi" in facts(done.stdout)["ranks"]
    assert [lines(RunDir(tmp_path / "runs" / "mpi"), rank) for rank in (0, 1)] == [["0 of 2, 1"], ["1 of 2, 1"]]
    crashed = launch("-N", 2, "--runs", tmp_path / "runs", "--name", "crash", program, "crash")
    assert crashed.returncode == 1
    assert "rank 1 on node 1 (node2) failed first: ended by SIGSEGV" in crashed.stdout, crashed.stdout


def test_words_and_signals_of_a_script(clean_slurm: Cluster, tmp_path: Path):
    text = """
for word in "$@"; do echo "${#word} $word"; done
trap 'echo saved; exit 75' USR2
echo here
while :; do sleep 0.1; done"""
    words = ["-N", "", "a b", "--time=1", "$HOME"]
    launched = Launched(
        "-N", 2, "--warn", 60, "--runs", tmp_path / "runs", "--name", "waits", script(tmp_path / "waits", text), *words
    )
    run = RunDir(tmp_path / "runs" / "waits")
    until(lambda: all("here" in lines(run, rank) for rank in (0, 1)), 60)
    subprocess.run(["scancel", "--signal=USR2", run.events("submitted")[0]["job"]], check=True)
    status, output = launched.wait(60)
    assert status == 4, output
    assert run.events("ended")[0]["outcome"] == "stopped" and not list(run.failures.glob("*"))
    for rank in (0, 1):
        said = [
            line for line in lines(run, rank) if not line.startswith(("User defined", "/", "slurmstepd-"))
        ]  # bash says what ended its command
        assert said == [*(f"{len(word)} {word}".rstrip() for word in words), "here", "saved"]


def test_the_end_of_a_program_is_named(clean_slurm: Cluster, tmp_path: Path):
    program = script(tmp_path / "ends", "[ $RANK = 0 ] || exit 3; exec sleep 300")
    done = launch("-N", 2, "--runs", tmp_path / "runs", "--name", "ends", program)
    assert done.returncode == 1 and "rank 1 on node 1 (node2) failed first: exit status 3" in done.stdout
    program.write_text("#!/opt/none/interpreter\n")
    refused = launch("-N", 2, "--runs", tmp_path / "runs", "--name", "refused", program)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert (
        "here it cannot run" in facts(refused.stdout)["on the nodes"]
        and f"{os.fspath(program)} is to be run by" in refused.stdout
    )
    assert "Traceback" not in refused.stdout + refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("heading", "unit"), [("C with MPI", "examples/s"), ("A shell script", "kterms/s")])
def test_an_example_of_the_page_has_its_table(clean_slurm: Cluster, tmp_path: Path, heading: str, unit: str):
    if heading == "C with MPI" and not MPICC.exists():
        pytest.skip("there is no mpicc beside this Python")
    done = page.follow(heading, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert facts(done.stdout)["backend"] == "slurm"
    table, _, prediction = done.stdout.partition("6 of 6 runs are done")[2].partition("PREDICTION, not measured")
    assert f"throughput [{unit}]" in table and f"throughput [{unit}]" in prediction, done.stdout
    assert re.findall(r"^ +([0-9]+) +3 ", table, re.MULTILINE) == ["1", "2"]  # workers, with three repeats each
