"""Files copied to a disk of each node: once, whole, and to the same result."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from launched import launch

from launch.errors import Refusal
from launch.node.rank import Rank
from launch.record.files import read_json
from launch.record.rundir import RunDir
from workloads.api import Data, Workload
from workloads.climate.generate import Corpus, corpus
from workloads.training import staging
from workloads.training.sharding import Sharding


class Some:
    """Examples in a file each."""

    def __init__(self, folder: Path, count: int) -> None:
        self.paths = [folder / f"{number}.bin" for number in range(count)]
        self.copies: dict[Path, Path] = {}

    def of(self, index: np.ndarray) -> list[Path]:
        return [self.paths[number] for number in index.tolist()]

    def read_from(self, copies: dict[Path, Path]) -> None:
        self.copies = dict(copies)


class Alone:
    """One of many ranks, as staging sees them, when the others find nothing to refuse."""

    def __init__(self, rank: Rank) -> None:
        self.rank = rank

    def gather(self, value: str) -> list[str]:
        return [value]


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    train, validation = Some(tmp_path / "train", 12), Some(tmp_path / "validation", 3)
    for some in (train, validation):
        some.paths[0].parent.mkdir()
        for number, path in enumerate(some.paths):
            path.write_bytes(bytes([number]) * 1000)
    data = [Data(len(some.paths), lambda index: None, files=some) for some in (train, validation)]
    other = dict.fromkeys(("model", "loss", "optimizer", "statistics", "summarise"))
    return Workload(train=data[0], validation=data[1], **other)


def staged(workload: Workload, where: str, rank: int = 0, size: int = 4, local_size: int = 2) -> list[Path]:
    sharding = Sharding(12, 1, size, 0)
    node, local_rank = divmod(rank, local_size)
    alone = Alone(Rank(rank, size, local_rank, local_size, node, size // local_size))
    staging.stage(where, workload, sharding, alone)
    return [path for path in Path(os.path.expandvars(where)).rglob("*.bin")]


def test_the_ranks_of_a_node_copy_what_the_node_reads(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    first = staged(workload, "$SCRATCH")
    both = staged(workload, "$SCRATCH", rank=1)
    assert 0 < len(first) < len(both)
    # Of 4 shards this node has 0 and 1, and it measures on the first two of three.
    assert sorted(int(path.stem) for path in both if path.parent.name == "train") == [0, 1, 4, 5, 8, 9]
    assert sorted(int(path.stem) for path in both if path.parent.name == "validation") == [0, 1]
    copies = workload.train.files.copies
    assert all(copy.read_bytes() == path.read_bytes() and copy in both for path, copy in copies.items())
    assert (tmp_path / "scratch" / f"rankloop-{os.getuid()}").stat().st_mode & 0o777 == 0o700

    made = {path: path.stat().st_ino for path in both}
    changed, damaged = list(copies)[:2]
    changed.write_bytes(b"other")
    copies[damaged].write_bytes(b"")
    for rank in (0, 1):
        staged(workload, "$SCRATCH", rank)
    anew = {path for path, number in made.items() if path.stat().st_ino != number}
    assert anew == {copies[changed], copies[damaged]}, "what is there already is used as it is"
    assert copies[changed].read_bytes() == b"other" and len(copies[damaged].read_bytes()) == 1000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("a disk of our own needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_node_without_room_refuses(workload: Workload, small_disk: Path):
    for path in workload.train.files.paths:
        path.write_bytes(bytes(9000))
    with pytest.raises(
        Refusal, match=r"the 8 files to be staged on node 0 .* have 5.6e-05 GB, and .*disk has .* GB free: give"
    ):
        staged(workload, str(small_disk))
    assert not list(small_disk.rglob("*.bin"))


def test_what_cannot_be_staged_is_one_line(workload: Workload, tmp_path: Path):
    with pytest.raises(Refusal, match=r"--stage \$NO_SUCH/x names a variable that is not set on node 0"):
        staged(workload, "$NO_SUCH/x")
    (tmp_path / "file").touch()
    with pytest.raises(Refusal, match=r"--stage .*file cannot be written to on node 0 .*\(Not a directory\): give"):
        staged(workload, str(tmp_path / "file"))
    shared = tmp_path / "tmp" / f"rankloop-{os.getuid()}"
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    shared.parent.mkdir()
    shared.symlink_to(tmp_path / "elsewhere")  # made by whoever may write there too
    with pytest.raises(Refusal, match=r"--stage .*another user"):
        staged(workload, str(shared.parent))
    assert not list((tmp_path / "elsewhere").iterdir())
    workload.train.files.paths[1].unlink()
    with pytest.raises(Refusal, match=r"1.bin cannot be staged \(No such file or directory\): is it still there\?"):
        staged(workload, str(tmp_path / "scratch"))


@pytest.mark.slow
def test_a_staged_run_ends_as_one_that_is_not(tmp_path: Path):
    maps = corpus(
        Corpus(height=16, width=24, train=2, validation=1), folder=tmp_path / "maps", progress=lambda line: None
    )
    results = {}
    for name, options in (("plain", []), ("staged", ["--stage", str(tmp_path / "node$LAUNCH_NODE")])):
        done = launch("--nodes", 2, "--runs", tmp_path, "--name", name, "workloads.climate", "--data", maps, "--width=8",
                      "--epochs=2", "--batch=2", "--kernel=3", "--deterministic", "--threads=1", *options)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        results[name] = read_json(RunDir(tmp_path / name).result_json)
    assert results["staged"]["metrics"] == results["plain"]["metrics"]
    assert results["staged"]["phases_s"]["stage"] > 0 and "stage" not in results["plain"]["phases_s"]
    there = [sorted(path.name for path in (tmp_path / f"node{node}").rglob("data-*.h5")) for node in (0, 1)]
    assert [len(names) for names in there] == [8 + 4, 8 + 4], "each node has its half of 16 maps and of 8"
