"""Failures whose cause is known, caused for real: what is said of each, and what to do."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from launched import launch

from launch.record.rundir import RunDir

ME = "import os\nif os.environ['RANK'] == '1':\n    "
REST = "\nimport time; time.sleep(120)\n"


def failed(tmp_path: Path, text: str, runs: Path | None = None) -> subprocess.CompletedProcess:
    """A run of two ranks of which the second does something."""
    program = tmp_path / "program.py"
    program.write_text(ME + text + REST)
    return launch("--backend", "local", "--nodes", 2, "--runs", runs or tmp_path, "--name", "run", program)


def told(done: subprocess.CompletedProcess, error: str, advice: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("rank 1 on node 1 ") and f"failed first: {error}" in line for line in lines), done.stdout
    assert any(line.startswith("what to do: ") and advice in line for line in lines), done.stdout


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can only be mounted by root, outside most containers")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """The file by which a process comes under the kernel's limit of 64 MiB."""
    root = Path("/sys/fs/cgroup")
    first = root / "memory" if (root / "memory" / "memory.limit_in_bytes").exists() else root  # version 1, or 2
    group = first / f"rankloop-test-{os.getpid()}"
    limit = group / ("memory.max" if first == root else "memory.limit_in_bytes")
    try:
        group.mkdir()
        if not limit.exists():
            group.rmdir()
            raise FileNotFoundError(limit)
    except OSError:
        pytest.skip("no control group for memory can be made here: that takes root, outside most containers")
    limit.write_text("64M")
    with contextlib.suppress(OSError):  # where there is no swap there is nothing to limit
        (group / ("memory.swap.max" if first == root else "memory.swappiness")).write_text("0")
    yield group / "cgroup.procs"
    group.rmdir()


def test_the_out_of_memory_killer(tmp_path: Path, small_memory: Path):
    done = failed(tmp_path, f"open({str(small_memory)!r}, 'w').write(str(os.getpid())); held = b'x' * 2**28")
    told(done, "ended by SIGKILL", "out-of-memory killer")


def test_a_limit_of_memory(tmp_path: Path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)); held = b'x' * 2**31"
    told(failed(tmp_path, limit), "MemoryError", "the address space of a process is limited to 1.0 GiB (ulimit -v)")


def test_no_memory(tmp_path: Path):
    told(failed(tmp_path, "held = bytearray(2**62)"), "MemoryError", "out of memory: use fewer ranks on a node")


@pytest.mark.slow
def test_no_memory_for_a_tensor(tmp_path: Path):
    """On a CPU, in the words that TensorFlow has for a GPU as well."""
    done = failed(tmp_path, "import tensorflow as tf; tf.ones((10_000_000, 1_000_000))")
    told(done, "ResourceExhaustedError", "out of memory: use fewer ranks on a node")


def test_a_missing_module(tmp_path: Path):
    told(failed(tmp_path, "import no_such_solver"), "ModuleNotFoundError: No module named 'no_such_solver'", "doctor")


def test_a_full_disk_for_data(tmp_path: Path, small_disk: Path):
    fill = f"file = open({str(small_disk / 'data')!r}, 'wb', buffering=0)\n    while file.write(b'x' * 4096): pass"
    told(failed(tmp_path, fill), "OSError: [Errno 28] No space left on device", "no room on the disk")


def test_a_full_disk_for_the_run_itself(tmp_path: Path, small_disk: Path):
    """Then nothing can be noted, but it is said, and no rank is left."""
    fill = "file = open(os.environ['LAUNCH_RUN'] + '/fill', 'wb', buffering=0)\n    while file.write(b'x' * 4096): pass"
    done = failed(tmp_path, fill, runs=small_disk)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stdout + done.stderr
    assert "No space left on device" in done.stdout + done.stderr
    assert "free some" in done.stdout + done.stderr
    (small_disk / "run" / "fill").unlink()
    assert launch("status", RunDir(small_disk / "run").path).stdout.split("\n")[1].split()[1] in ("lost", "failed")
