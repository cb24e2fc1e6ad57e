"""python -m launch sites new on a real Slurm: the file it writes, and a job with it."""

import subprocess
import sys
from pathlib import Path

from launched import facts, launch
from slurm.fixtures import Cluster

from launch.plan import site
from launch.record.rundir import RunDir


def test_the_file_that_slurm_tells_runs_a_job(clean_slurm: Cluster, tmp_path: Path):
    here = launch("sites")
    assert here.stdout.endswith("this machine is slurm: Slurm is configured here\n"), here.stderr
    new = launch("sites", "new", "--name", "ours")
    assert new.returncode == 0, new.stderr
    file = tmp_path / "ours.toml"
    file.write_text(new.stdout)

    made = site.load(str(file))
    assert (made.name, made.partition, made.nodes) == ("ours", "debug", clean_slurm.nodes)
    assert (made.gpus_per_node, made.cpus_per_node, made.gpu_request) == (4, 8, "gpus-per-node")  # tests/slurm/cluster
    assert made.mpi == "pmix"
    assert made.partitions["short"] == {"max_nodes": 4, "max_time": "00:10:00"}
    assert set(made.partitions) == {"debug", "low", "short"}
    said = launch("sites", file)
    assert said.returncode == 0 and said.stdout.endswith("network interface (network_interface)\n"), said.stdout

    program = tmp_path / "program.py"
    program.write_text(
        "import os; print(os.environ['RANK'], os.environ['LOCAL_RANK'], os.environ['CUDA_VISIBLE_DEVICES'])"
    )
    done = launch("--site", file, "-N", 2, "-t", 5, "--runs", tmp_path, "--name", "with", program)
    assert done.returncode == 0, done.stdout + done.stderr
    plan = facts(done.stdout)
    assert plan["shape"] == "2 nodes x 4 ranks = 8 ranks, 4 GPUs per node"
    assert plan["not known"] == "network interface (network_interface)"
    run = RunDir(tmp_path / "with")
    lines = sorted(line for node in range(2) for line in run.node_log(node).read_text().splitlines())
    assert lines == [f"{rank}: {rank} {rank % 4} 0,1,2,3" for rank in range(8)]
    assert "#SBATCH --partition=debug\n" in (run.path / "jobs/1/job.sh").read_text()

    for words, says in (
        (["-p", "short", "-N", 5], "--nodes 5 is more than partition short of ours allows (4)"),
        (["-N", 17], "--nodes 17 is more than ours has (16)"),
        (["-N", 1, "--gpus-per-node", 5], "--gpus-per-node 5 is more than a node of ours has (4)"),
    ):
        refused = launch("--site", file, *words, "--runs", tmp_path, program)
        assert refused.returncode == 2 and says in refused.stderr, refused.stderr


def test_within_a_job_doctor_tries_the_mpi_plugins(clean_slurm: Cluster, tmp_path: Path):
    check = "from launch.cli.doctor import doctor; print(*doctor.CHECKS['srun --mpi'](), sep='|')"
    words = ["sbatch", "--wait", "-N2", "-n2", "-o", str(tmp_path / "log"), f'--wrap={sys.executable} -c "{check}"']
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    assert (tmp_path / "log").read_text() == "ok|2 ranks meet by pmix, not by cray_shasta, pmi2|\n"
