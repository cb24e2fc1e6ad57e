"""Nodes that fail, and what is wrong between nodes, on a real Slurm: told, and left out."""

import json
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from launched import Launched, launch, until
from slurm.fixtures import Cluster

from launch.plan.hostlist import expand
from launch.record.rundir import RunDir

# A program that fails on one node only, and leaves it to chance which of its ranks finds out first.
ILL = "import os, time\nif os.environ['SLURMD_NODENAME'] == 'node3': raise OSError(5, 'Input/output error')\n"
SEVEN = "--sbatch-arg=--exclude=node[8-16]"  # so few that every job of four has node3
WAIT = "import time; print('here', flush=True); time.sleep(300)\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def program(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "program.py"
    path.write_text(text)
    return path


def status(folder: Path) -> str:
    done = launch("status", folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_node_that_keeps_failing_is_named_and_left_out(clean_slurm: Cluster, tmp_path: Path):
    run = RunDir(tmp_path / "run")
    text = ILL + WAIT.replace("300", "2")
    words = ("-N", 4, SEVEN, "--ranks-per-node", 2, "--runs", tmp_path, "--name", "run")
    failed = launch(*words, program(tmp_path, text))
    assert failed.returncode == 1 and "first to fail" not in failed.stdout, failed.stdout + failed.stderr
    assert failed.stdout.splitlines()[-1] == f"continue it: python -m launch resume {run.path}"
    again = launch("resume", run.path)
    said = "node3 was the first to fail in 2 of the 2 attempts it was in: OSError: [Errno 5] Input/output error"
    assert again.returncode == 1, again.stdout + again.stderr
    assert again.stdout.splitlines()[-2:] == [
        said, f"continue it: python -m launch resume {run.path} --exclude-bad-nodes"
    ]  # fmt: skip
    assert said in status(run.path) and "resume RUN --exclude-bad-nodes" in status(run.path)
    told = json.loads(launch("status", "--json", run.path).stdout)
    assert told[0]["bad_nodes"] == ["node3"]

    without = launch("resume", run.path, "--exclude-bad-nodes")
    assert without.returncode == 0, without.stdout + without.stderr
    assert f"left out: {said}" in without.stdout
    others = expand(run.events("started")[-1]["nodes"])
    assert len(others) == 4 and set(others) < {"node1", "node2", "node4", "node5", "node6", "node7"}


@pytest.mark.slow
def test_in_a_study_too(clean_slurm: Cluster, tmp_path: Path):
    made = launch(
        "--nodes=4", SEVEN, "--repeats=2", "--throttle=1", "--runs", tmp_path, "--name=s", program(tmp_path, ILL)
    )
    assert made.returncode == 1 and "0 of 2 runs are done" in made.stdout, made.stdout + made.stderr
    assert "node3 was the first to fail in 2 of the 2 attempts it was in" in status(tmp_path / "s")
    mended = launch("resume", tmp_path / "s", "--exclude-bad-nodes")
    assert mended.returncode == 0 and "2 of 2 runs are done" in mended.stdout, mended.stdout + mended.stderr
    for number in (1, 2):
        assert "node3" not in expand(RunDir(tmp_path / "s" / f"n4-r{number}").events("started")[-1]["nodes"])


@pytest.mark.slow
def test_a_lost_node_is_the_cause(clean_slurm: Cluster, tmp_path: Path):
    run = RunDir(tmp_path / "run")
    launched = Launched("-N", 3, "--ranks-per-node", 2, "--runs", tmp_path, "--name", "run", program(tmp_path, WAIT))
    until(
        lambda: all(run.node_log(node).exists() and "here" in run.node_log(node).read_text() for node in range(3)), 60
    )
    clean_slurm.control("crash-node", "node2")
    status_, output = launched.wait(200)
    assert status_ == 1, output
    assert "rank 2 on node 1 (node2) failed first: node failure" in output
    assert "what to do: the scheduler has lost the node" in output
    assert "node2 was the first to fail in 1 of the 1 attempts it was in: node failure" in output
    ended = run.events("ended")[-1]
    assert (ended["outcome"], ended["reason"], ended["first_failure"]["host"]) == ("failed", "node failure", "node2")


def test_a_run_that_may_start_again_does_so_when_it_has_lost_a_node(clean_slurm: Cluster, tmp_path: Path):
    run = RunDir(tmp_path / "run")
    words = ("-N", 3, "--max-attempts", 2, "--runs", tmp_path, "--name", "run", "--detach")
    text = "import os, time\nprint('here', flush=True)\nif os.environ['LAUNCH_ATTEMPT'] == '1': time.sleep(300)\n"
    assert launch(*words, program(tmp_path, text)).returncode == 0
    until(
        lambda: all(run.node_log(node).exists() and "here" in run.node_log(node).read_text() for node in range(3)), 60
    )
    # Slurm is told so, as if it had noticed by itself.
    subprocess.run(["scontrol", "update", "nodename=node2", "state=down", "reason=test"], check=True)
    until(lambda: run.events("ended"))
    assert run.events("ended")[0]["outcome"] == "stopped"
    assert run.events("ended")[0]["reason"] == "node failure"
    until(lambda: len(run.events("ended")) == 2, 120)
    assert [event["outcome"] for event in run.events("ended")] == ["stopped", "done"]


@pytest.mark.parametrize(
    ("site", "words", "text", "says", "advice"),
    [
        ('mpi = "nonsense"', ("--rendezvous", "mpi"), "", "Invalid MPI type 'nonsense'", "MPI and srun do not understand"),
        (
            'mpi = "pmi2"', ("--rendezvous", "mpi"), "from mpi4py import MPI\nassert MPI.COMM_WORLD.size == 2, 'PMI'\n",
            "", "MPI and srun do not understand",
        ),
        (
            'network_interface = "nope0"', (), "",
            r"rank 0 on node 0 \(node1\) failed first: node1 has no interface 'nope0' with an IPv4 address", "name the right network_interface",
        ),
    ],
    ids=["no such plugin", "another plugin", "no such interface"],
)  # fmt: skip
def test_what_a_site_file_can_have_wrong(
    clean_slurm: Cluster, tmp_path: Path, site: str, words: tuple[str, ...], text: str, says: str, advice: str
):
    (tmp_path / "here.toml").write_text(site)
    failed = launch(
        "--site", tmp_path / "here.toml", "-N", 2, *words, "--runs", tmp_path, "--name", "run", program(tmp_path, text)
    )
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert re.search(says, failed.stdout), failed.stdout
    assert any(line.startswith("what to do: ") and advice in line for line in failed.stdout.splitlines()), failed.stdout


def test_no_route_between_nodes(clean_slurm: Cluster, tmp_path: Path):
    """Both have the network that the site file names, and Slurm works, but nothing leads from one to the other."""
    if not clean_slurm.own_hosts:
        pytest.skip("not root: the nodes share this machine's network")
    (tmp_path / "here.toml").write_text('network_interface = "hsn0"')
    words = (
        "--site",
        tmp_path / "here.toml",
        "-N",
        2,
        "--sbatch-arg=--nodelist=node[1-2]",
        "--runs",
        tmp_path,
        "--name",
        "run",
    )
    try:
        for k in (1, 2):
            network = f"ip link add hsn0 up type veth peer name hsn1 && ip address add 10.9.{k}.1/24 dev hsn0 && ip link set hsn1 up"
            clean_slurm.control("on-node", f"node{k}", "sh", "-c", network)
        failed = launch(*words, "tiny")
    finally:
        for k in (1, 2):
            clean_slurm.control("on-node", f"node{k}", "sh", "-c", "ip link delete hsn0 || true")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    says = r"rank 1 on node 1 \(node2\) failed first: node2 cannot reach rank 0 \(10\.9\.1\.1 port \d+: Network is unreachable\)"
    assert re.search(says, failed.stdout), failed.stdout
    assert "what to do: the nodes do not reach each other: name the right network_interface" in failed.stdout


def test_lists_of_hosts_are_those_of_slurm(clean_slurm: Cluster):
    for text in ("node[1-3,7]", "nid[0098-0102],login1", "rack[0-1]_blade[08-11],z"):
        hosts = subprocess.run(["scontrol", "show", "hostnames", text], capture_output=True, text=True, check=True)
        assert expand(text) == hosts.stdout.split()


def test_runs_on_a_disk_that_the_nodes_do_not_see(clean_slurm: Cluster, tmp_path: Path):
    if not clean_slurm.own_hosts:
        pytest.skip("only with root has each node a /dev/shm of its own")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as here:
        failed = launch("--runs", here, "--name", "run", "--time", 2, program(tmp_path, "print(1)"))
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert f"its job left nothing in {here}/run: is this folder seen on the nodes?" in failed.stdout
