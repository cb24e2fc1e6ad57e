"""--stage-env on emulated nodes, whose disk is a tmpfs of each: tests/launch/test_packed.py has what comes before."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from environments import SYSTEM, launch, make
from slurm.fixtures import Cluster

from launch.record.rundir import RunDir

pytestmark = pytest.mark.skipif(not SYSTEM.exists(), reason=f"there is no {SYSTEM}, of which environments are made")
PROGRAM = """
import json, os, subprocess, sys, submitit
child = [sys.executable, "-c", "import sys; print(sys.prefix)"]
print(json.dumps([sys.prefix, sys.base_prefix, submitit.__file__, subprocess.check_output(child, text=True).strip()]), flush=True)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("staged"), own_base=True)


@pytest.fixture(autouse=True)
def own_disks(clean_slurm: Cluster):
    if not clean_slurm.own_hosts:
        pytest.skip("the nodes have no disks of their own: this needs root")
    yield
    for node in ("node1", "node2"):
        clean_slurm.control("on-node", node, "sh", "-c", "rm -rf /dev/shm/rankloop-*")


def staged(python: Path, folder: Path, name: str, disk: str = "/dev/shm") -> RunDir:
    (folder / "site.toml").write_text(f'node_disk = "{disk}"\nrendezvous = "gloo"\n')
    (folder / "program.py").write_text(PROGRAM)
    words = ["--site", "site.toml", "-N", 2, "--ranks-per-node", 2, "--sample-hz", 0, "--time", 5, "--stage-env"]
    done = launch(python, *words, "--runs", "runs", "--name", name, "--wait", "program.py", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return RunDir(folder / "runs" / name)


def said(run: RunDir) -> list[list[str]]:
    lines = [line for path in run.logs.glob("node*.log") for line in path.read_text().splitlines()]
    return [json.loads(line.partition(": ")[2]) for line in lines]


def on_node(cluster: Cluster, node: str, command: str) -> str:
    return cluster.control("on-node", node, "sh", "-c", command).strip()


def test_ranks_and_what_they_start_have_the_environment_of_their_node(
    clean_slurm: Cluster, python: Path, tmp_path: Path
):
    run = staged(python, tmp_path, "first")
    (archive,) = (tmp_path / "runs" / ".environments").iterdir()
    there = f"/dev/shm/rankloop-{os.getuid()}/{archive.stem}"
    packages = f"{there}/0/lib/{SYSTEM.name}/site-packages"
    assert said(run) == 4 * [[f"{there}/0", f"{there}/1", f"{packages}/submitit/__init__.py", f"{there}/0"]]
    assert run.plan().python == str(python)
    # A later run finds it: it is neither sent nor unpacked again. Another that nobody used for an hour makes room.
    times = [on_node(clean_slurm, node, f"stat -c %y {there}/whole") for node in ("node1", "node2")]
    staged(python, tmp_path, "second")
    assert [on_node(clean_slurm, node, f"stat -c %y {there}/whole") for node in ("node1", "node2")] == times
    on_node(clean_slurm, "node1", f"touch -d '2 hours ago' {there}.lock")
    (python.parent.parent / "more").touch()
    staged(python, tmp_path, "third")
    assert archive.stem not in on_node(clean_slurm, "node1", "ls /dev/shm/rankloop-*")
    assert archive.stem in on_node(clean_slurm, "node2", "ls /dev/shm/rankloop-*")
    assert not on_node(clean_slurm, "node2", "ls /dev/shm/rankloop-*/*.tar 2>/dev/null || true")


def test_where_it_cannot_be_staged_the_ranks_start_from_the_shared_folder(
    clean_slurm: Cluster, python: Path, tmp_path: Path
):
    nowhere = staged(python, tmp_path, "nowhere", "/nonexistent")
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", full], check=True)
    try:
        clean_slurm.control("crash-node", "node1")  # so that its mounts are those of now
        clean_slurm.control("start-node", "node1")
        no_room = staged(python, tmp_path, "no-room", str(full))
    finally:
        subprocess.run(["umount", "-l", full], check=True)
    for run, why in ((nowhere, "there is no disk of the node"), (no_room, "MiB free, and it needs")):
        (line,) = [line for line in run.job_log.read_text().splitlines() if "--stage-env" in line]
        assert why in line and line.endswith(f"the ranks start from {python}")
        assert {words[0] for words in said(run)} == {str(python.parent.parent)}


@pytest.mark.slow
def test_an_interpreter_that_does_not_run_on_the_nodes_is_not_used(clean_slurm: Cluster, python: Path, tmp_path: Path):
    """An archive that was packed elsewhere: that it is of another system is seen on the nodes."""
    staged(python, tmp_path, "first")
    (archive,) = (tmp_path / "runs" / ".environments").iterdir()
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", unpacked], check=True)
    interpreter = unpacked / "1" / "bin" / SYSTEM.name
    data = bytearray(interpreter.read_bytes())
    data[18:20] = (183).to_bytes(2, "little")  # e_machine of ELF: EM_AARCH64
    interpreter.write_bytes(data)
    subprocess.run(["tar", "-cf", archive, "-C", unpacked, "packed.json", "0", "1"], check=True)
    shutil.rmtree(unpacked)
    for node in ("node1", "node2"):
        on_node(clean_slurm, node, "rm -rf /dev/shm/rankloop-*")
    run = staged(python, tmp_path, "foreign")
    (line,) = [line for line in run.job_log.read_text().splitlines() if "--stage-env" in line]
    assert "its interpreter does not run on node" in line and "Exec format error" in line
    assert {words[0] for words in said(run)} == {str(python.parent.parent)}
