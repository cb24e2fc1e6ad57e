"""Runs that hang on the nodes of a real Slurm, and nodes that are replaced within the allocation."""

import subprocess
from pathlib import Path

import alarms
import pytest
from hangs import WAYS, hung, words
from launched import launch, until
from slurm.fixtures import Cluster

from launch.plan.hostlist import expand
from launch.record.rundir import RunDir

OF = {way.name: way for way in WAYS}
WAIT = "import os, time\nprint('here', flush=True)\nif os.environ['LAUNCH_ATTEMPT'] == '1': time.sleep(300)\n"


def on(nodes: str) -> str:
    return f"--sbatch-arg=--nodelist={nodes}"


def begun(name: str, folder: Path, *more: object) -> RunDir:
    folder.mkdir()
    what = words(OF[name], folder) if name in OF else [str(folder / "program.py")]
    if name not in OF:
        (folder / "program.py").write_text(WAIT)
    words_ = ("-N", 2, "--time=5", "--sample-hz=0", "--detach", "--runs", folder, "--name=r", *more)
    done = launch(*words_, *what)
    assert done.returncode == 0, done.stdout + done.stderr
    return RunDir(folder / "r")


def test_a_hung_or_lost_node_is_replaced(clean_slurm: Cluster, tmp_path: Path):
    """At once in the same allocation where there is a spare one, else by way of the queue; an array's runs each for itself."""
    hung = begun(
        "stopped", tmp_path / "hung", "--ranks-per-node=2", "--max-attempts=2", "--spare-nodes=1", on("node[1-3]")
    )
    lost = begun("wait", tmp_path / "lost", "--max-attempts=3", "--spare-nodes=2", on("node[4-7]"))
    queued = begun("queue", tmp_path / "queued", "--ranks-per-node=2", "--max-attempts=2", on("node[8-9]"))
    begun("c", tmp_path / "array", "--repeats=2", "--sbatch-arg=--exclude=node[1-9]")

    logs = [lost.node_log(node) for node in range(2)]
    until(lambda: all(log.exists() and "here" in log.read_text() for log in logs), 60)
    first = expand(lost.events("started")[0]["nodes"])
    subprocess.run(["scontrol", "update", f"nodename={first[1]}", "state=down", "reason=test"], check=True)

    for run in (hung, lost, queued):
        until(lambda run=run: len(run.events("ended")) == 2, 180, every=0.5)
        assert [event["outcome"] for event in run.events("ended")] == ["stopped", "done"]
    for run in (hung, lost):
        one, two = run.events("started")
        ended = run.events("ended")[0]
        gone = ended["hang"]["host"] if "hang" in ended else ended["first_failure"]["host"]
        assert (one["restarts"], two["restarts"]) == ("0", "0") and one["job"] == two["job"]
        assert len(expand(two["nodes"])) == 2 and gone in expand(one["nodes"]) and gone not in expand(two["nodes"])
        assert "launch: the next attempt starts within this allocation" in run.job_log.read_text()
    assert [event["restarts"] for event in queued.events("started")] == ["0", "1"]

    runs = [RunDir(tmp_path / "array" / "r" / f"n2-r{number}") for number in (1, 2)]
    for run in runs:
        until(lambda run=run: run.events("ended"), 120, every=0.5)
        said = run.events("ended")[-1]["hang"]["said"]
        assert "no step for 5 s; rank 1 on node" in said and "the others wait, all after step 9" in said
        assert (run.stacks / "attempt1" / "node1.txt").read_text().startswith("rank 1 on node")
    until(lambda: "hung: no step for 5 s" in launch("status", tmp_path / "array").stdout, 60, every=2)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--spare-nodes=20", "--max-attempts=2"), "--nodes 2 with --spare-nodes 20 is more than partition debug has"),
        (("--spare-nodes=1",), "give --max-attempts 2 or more"),
        (("--spare-nodes=1", "--backend=local"), "--spare-nodes is for Slurm"),
        (("--spare-nodes=1", "--max-attempts=2", "--pack", "--repeats=2"), "--pack makes one job of all"),
    ],
)
def test_spare_nodes_that_cannot_be(clean_slurm: Cluster, tmp_path: Path, given: tuple[str, ...], says: str):
    (tmp_path / "p.py").write_text("")
    refused = launch("--nodes=2", "--time=5", "--runs", tmp_path / "runs", *given, tmp_path / "p.py")
    assert refused.returncode == 2 and says in refused.stderr and refused.stderr.count("\n") == 1, refused.stderr
    assert not (tmp_path / "runs").exists()
    assert not subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout


def test_what_spare_nodes_cost_is_said(clean_slurm: Cluster, tmp_path: Path):
    (tmp_path / "p.py").write_text("")
    words_ = ("--nodes=4", "--time=60", "--spare-nodes=1", "--max-attempts=2", "--runs", tmp_path, "--dry-run")
    plan = launch(*words_, tmp_path / "p.py").stdout
    assert "spare nodes    1 more in each job" in plan and "5 node-hours at most with them, 4 without" in plan
    assert "#SBATCH --nodes=5\n" in plan and "#SBATCH --no-kill\n" in plan and "srun --nodes=4 " in plan


@pytest.mark.slow
@pytest.mark.parametrize("name", OF)
def test_every_way(clean_slurm: Cluster, tmp_path: Path, name: str):
    run = begun(name, tmp_path / "f")
    until(lambda: run.events("ended"), 300, every=1)
    print(f"{name}: {hung(OF[name], run)}")


@pytest.mark.slow
@pytest.mark.parametrize("name", alarms.CASES)
def test_no_false_alarm(clean_slurm: Cluster, tmp_path: Path, name: str):
    assert alarms.tried(tmp_path / name, name, 10) == (10, 0, 0)
