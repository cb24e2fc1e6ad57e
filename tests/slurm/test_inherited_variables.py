"""Jobs of a launcher whose environment is full of Slurm's variables, on a real Slurm."""

import json
import subprocess
import sys
from pathlib import Path

from launched import ROOT, environment, facts
from slurm.fixtures import Cluster

from launch.record.rundir import RunDir

# Each changes or breaks a job, or what Slurm's commands answer, wherever it is let in.
HOSTILE = {
    "SBATCH_PARTITION": "short", "SBATCH_TIMELIMIT": "3", "SBATCH_EXPORT": "NONE", "SBATCH_ARRAY_INX": "0-3",
    "SBATCH_MEM_PER_NODE": "300", "SBATCH_OPEN_MODE": "truncate", "SBATCH_CONSTRAINT": "nope",
    "SLURM_JOB_ID": "999999", "SLURM_NNODES": "9", "SLURM_NTASKS": "7", "SLURM_NTASKS_PER_NODE": "7",
    "SLURM_MEM_PER_NODE": "1", "SLURM_EXPORT_ENV": "NONE", "SLURM_HOSTFILE": "/dev/null", "SLURM_EXIT_IMMEDIATE": "1",
    "SRUN_EXPORT_ENV": "NONE", "SQUEUE_STATES": "COMPLETED", "SQUEUE_FORMAT": "%c", "SINFO_STATES": "down",
    "SCANCEL_STATE": "SUSPENDED", "PMI_RANK": "3", "PMI_SIZE": "9",
}  # fmt: skip

# Those that no job sets for itself.
SAY = f"""
import json, os
NAMES = {[name for name in HOSTILE if name not in ("SLURM_JOB_ID", "SLURM_NNODES", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE")]}
seen = {{name: os.environ[name] for name in os.environ if name in NAMES}}
print(json.dumps(seen | {{"job": os.environ["SLURM_JOB_ID"], "partition": os.environ["SLURM_JOB_PARTITION"]}}))
"""


def launch_in(variables: dict[str, str], *words: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "launch", *map(str, words)],
        cwd=ROOT, env=environment(**variables), capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def said(run: RunDir) -> list[dict[str, str]]:
    lines = [line for path in run.logs.glob("node*.log") for line in path.read_text().splitlines()]
    return [json.loads(line.partition(": ")[2]) for line in lines]


def test_none_gets_in_and_those_that_matter_are_named(clean_slurm: Cluster, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(SAY)
    done = launch_in(HOSTILE, "-N", 2, "--runs", tmp_path, "--name", "clean", program)
    assert done.returncode == 0, done.stdout + done.stderr
    ranks = said(RunDir(tmp_path / "clean"))
    assert len(ranks) == 2 and ranks[0]["job"] != "999999"
    assert all(rank == {"job": ranks[0]["job"], "partition": "debug"} for rank in ranks)
    left_out = facts(done.stdout)["left out"]
    assert left_out.startswith("SBATCH_ARRAY_INX, SBATCH_CONSTRAINT, SBATCH_EXPORT, ")
    assert "SLURM_MEM_PER_NODE" in left_out and "job 999999" in left_out and "--inherit NAME" in left_out


def test_those_that_are_asked_for_are_taken(clean_slurm: Cluster, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(SAY)
    names = "SBATCH_PARTITION,SBATCH_TIMELIMIT,SBATCH_MEM_PER_NODE"
    done = launch_in(HOSTILE, "--inherit", names, "--runs", tmp_path, "--name", "some", program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert facts(done.stdout)["inherited"] == "SBATCH_PARTITION=short, SBATCH_TIMELIMIT=3, SBATCH_MEM_PER_NODE=300"
    assert facts(done.stdout)["walltime"] == "00:03:00"
    assert "SBATCH_PARTITION" not in facts(done.stdout)["left out"]
    (rank,) = said(RunDir(tmp_path / "some"))
    assert (rank["partition"], rank["SLURM_MEM_PER_NODE"]) == ("short", "300")
    # What it stands for is checked as if it had been given.
    refused = launch_in(HOSTILE, "--inherit=SBATCH_P*", "-N", 5, "--runs", tmp_path, program)
    assert refused.returncode == 2 and "more than partition short has for a job (4)" in refused.stderr
