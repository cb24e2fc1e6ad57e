"""The emulated cluster is what the other Slurm tests take it for."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from slurm.fixtures import Cluster, started


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def _submit(script: str, *options: str) -> str:
    return _output("sbatch", "--parsable", *options, f"--wrap={script}")


def _job(job: str) -> dict[str, str]:
    words = _output("scontrol", "-o", "show", "job", job).split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def _wait(condition: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)


def test_sixteen_nodes(clean_slurm: Cluster) -> None:
    """Each of 32 tasks finds itself, and all the cores and GPUs of its node may be used."""
    command = "echo $SLURM_PROCID $SLURM_NODEID $SLURM_LOCALID $SLURMD_NODENAME $(hostname) $CUDA_VISIBLE_DEVICES"
    lines = _output(
        "srun", "-N16", "--ntasks-per-node=2", "-c4", "--gpus-per-node=4", "--gpus-per-task=2", "sh", "-c", command
    )
    tasks = sorted((line.split() for line in lines.splitlines()), key=lambda task: int(task[0]))
    hosts = [f"node{rank // 2 + 1}" for rank in range(32)]
    assert [task[:4] for task in tasks] == [
        [str(rank), str(rank // 2), str(rank % 2), host] for rank, host in enumerate(hosts)
    ]
    assert [task[5] for task in tasks] == ["0,1", "2,3"] * 16
    if clean_slurm.own_hosts:
        assert [task[4] for task in tasks] == hosts


def test_a_node_has_its_own_memory_files_and_addresses(clean_slurm: Cluster) -> None:
    if not clean_slurm.own_hosts:
        pytest.skip("not root: the nodes share this machine's host name, /dev/shm and network")
    lines = _output("srun", "-N2", "sh", "-c", "touch /dev/shm/$SLURM_PROCID; sleep 1; ls /dev/shm; hostname -I")
    assert len(lines.split()) == 4 and {"0", "1"} < set(lines.split())
    own = {f"node{k}": clean_slurm.control("on-node", f"node{k}", "hostname", "-I").strip() for k in (1, 2)}
    assert set(own.values()) < set(lines.split())
    for host, address in own.items():
        assert clean_slurm.control("on-node", "node3", "getent", "hosts", host).split() == [address, host]


def test_mpi_ranks_meet_over_pmix(clean_slurm: Cluster) -> None:
    python = "from mpi4py import MPI; print(MPI.COMM_WORLD.allreduce(MPI.COMM_WORLD.rank))"
    lines = _output("srun", "-N2", "--ntasks-per-node=2", "--mpi=pmix", sys.executable, "-c", python)
    assert lines.split() == ["6"] * 4  # 0 + 1 + 2 + 3


def test_a_requeued_job_starts_again_within_seconds(clean_slurm: Cluster, tmp_path: Path) -> None:
    log = tmp_path / "log"
    job = _submit("echo attempt ${SLURM_RESTART_COUNT:-0}; exec sleep 100", f"-o{log}", "--open-mode=append")
    _wait(lambda: log.exists() and "attempt 0" in log.read_text())
    _output("scontrol", "requeue", job)
    _wait(lambda: "attempt 1" in log.read_text(), 30)  # 121 s with Slurm's default life of a credential


def test_a_crashed_node_ends_its_job_and_comes_back(clean_slurm: Cluster, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    script = f"srun sh -c 'touch {mark}$SLURM_PROCID; exec sleep 100'"
    job = _submit(script, "-wnode[4-5]", "-N2", "--no-requeue", "-o/dev/null")
    _wait(Path(f"{mark}1").exists)
    clean_slurm.control("crash-node", "node5")
    _output(
        "scontrol", "update", "nodename=node5", "state=down", "reason=test"
    )  # or wait for SlurmdTimeout, up to 45 s
    _wait(lambda: _job(job)["JobState"] == "NODE_FAIL")
    clean_slurm.control("start-node", "node5")
    assert _output("srun", "-wnode5", "sh", "-c", "echo $SLURMD_NODENAME") == "node5"


def test_reset_revives_what_a_test_left_broken(clean_slurm: Cluster) -> None:
    _submit("sleep 100", "-N3", "-o/dev/null")
    clean_slurm.control("crash-node", "node7")
    os.kill(clean_slurm.controller, signal.SIGKILL)
    clean_slurm.control("reset")
    assert _output("squeue", "-h") == ""
    assert set(_output("sinfo", "-h", "-N", "-o%T").split()) == {"idle"}


def test_limits_are_refused(clean_slurm: Cluster) -> None:
    for option, words in (
        ("-N17", "Node count specification invalid"),
        ("--gpus-per-node=5", "Requested node configuration is not available"),
        ("-pabsent", "invalid partition specified: absent"),
    ):
        done = subprocess.run(["sbatch", option, "--wrap=true"], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert words in done.stderr


@pytest.mark.skipif(
    not os.access("/sys/fs/cgroup/cpu", os.W_OK), reason="no CPU controller of cgroup version 1 to write to"
)
def test_a_slow_cluster_gives_each_node_a_part_of_a_core_and_a_slow_link(clean_slurm: Cluster) -> None:
    if not clean_slurm.own_hosts:
        pytest.skip("not root: the nodes share this machine's network")
    spin = """import time
began, used = time.monotonic(), time.process_time()
while time.process_time() < used + 0.3: pass
print(0.3 / (time.monotonic() - began))"""
    with started(1) as slowed:
        slowed.control("slow", "0.2", "200mbit")
        env = os.environ | {"SLURM_CONF": str(slowed.directory / "slurm.conf")}
        done = subprocess.run(["srun", sys.executable, "-c", spin], env=env, capture_output=True, text=True, check=True)
        assert 0 < float(done.stdout) < 0.3
        assert "rate 200Mbit" in slowed.control("on-node", "node1", "tc", "qdisc", "show", "dev", "eth0")
