"""Ranks of a real Slurm job that say which network they use, as NCCL would: of its log the tests have lines, and no GPU."""

import time
from pathlib import Path

from launched import launch
from slurm.fixtures import Cluster

from launch.record import network
from launch.record.rundir import RunDir
from launch.submit.advice import used

PROGRAM = '''
import os, sys, time
if os.environ["RANK"] == "0":
    assert os.environ["NCCL_DEBUG"] == "INFO"
    with open(os.environ["NCCL_DEBUG_FILE"].replace("%p", str(os.getpid())), "w") as log:
        print("node1:7:7 [0] NCCL INFO NET/IB : No device found.", file=log)
        print("node1:7:7 [0] NCCL INFO NET/Socket : Using [0]eth0:10.1.0.1<0>", file=log)
        print("node1:7:7 [0] NCCL INFO Using network Socket", file=log)
else:
    assert "NCCL_DEBUG" not in os.environ
time.sleep(float(sys.argv[1]))
'''  # fmt: skip


def asked(tmp_path: Path) -> list[object]:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "ours.toml").write_text('interconnect = "infiniband"\ngpus_per_node = 2\nranks_per_node = 1\n')
    return ["--site", tmp_path / "ours.toml", "-N", 2, "--runs", tmp_path, "--time", 5]


def test_sockets_in_place_of_infiniband_are_said_while_it_runs(clean_slurm: Cluster, tmp_path: Path):
    done = launch(*asked(tmp_path), "--name", "said", "--sbatch-arg=--mem=300M", tmp_path / "program.py", 8)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert "ours has InfiniBand" in said and "NET/IB : No device found" in said
    run = RunDir(tmp_path / "said")
    (event,), (ended,) = run.events("network"), run.events("ended")
    assert ended["time"] - event["time"] > 3
    assert run.surroundings()["network"]["nccl"]["devices"] == "[0]eth0:10.1.0.1<0>"
    assert used._asked_memory(run) == 300 * 2**20


def test_a_run_that_requires_its_network_is_ended(clean_slurm: Cluster, tmp_path: Path):
    began = time.monotonic()
    done = launch(*asked(tmp_path), "--name", "ended", "--require-network", tmp_path / "program.py", 200)
    assert time.monotonic() - began < 100
    assert done.returncode == 1, done.stdout + done.stderr
    assert "rank 0 on node 0 (node1) failed first: --require-network: NCCL talks over TCP sockets" in done.stdout
    run = RunDir(tmp_path / "ended")
    assert network.said(run) and run.events("ended")[-1]["outcome"] == "failed"
