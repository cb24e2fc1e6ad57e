"""--stage-env on the login node: what is packed, and under which name; on the nodes: tests/slurm/test_stage_env.py."""

import io
import json
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from environments import SYSTEM, launch, make
from plans import NOON, SCRIPT

from launch import HOME
from launch.errors import Refusal
from launch.plan import site
from launch.plan.request import Request
from launch.plan.resolve import resolve
from launch.plan.shape import Machine

pytestmark = pytest.mark.skipif(not SYSTEM.exists(), reason=f"there is no {SYSTEM}, of which environments are made")
PACK = f"import sys; sys.path.insert(0, {HOME!r}); from pathlib import Path; from launch.record import packed; "


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("packed"), own_base=True)


def planned(python: Path, runs: Path) -> dict[str, object]:
    code = f"{PACK}import json; print(json.dumps(packed.plan(Path({str(runs)!r}))))"
    return json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)


def packing(python: Path, runs: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [python, "-c", f"{PACK}packed.pack(packed.plan(Path({str(runs)!r})))"], stdout=subprocess.DEVNULL
    )


def test_the_name_depends_on_what_is_in_it_and_not_on_what_was_compiled(python: Path, tmp_path: Path):
    before = planned(python, tmp_path)
    subprocess.run([python, "-c", "import submitit"], check=True, env={})
    module = python.parent.parent / "lib" / SYSTEM.name / "site-packages" / "one.py"
    module.write_text("ONE = 1\n")
    changed = planned(python, tmp_path)
    module.write_text("ONE = 10\n")
    assert len({before["archive"], changed["archive"], planned(python, tmp_path)["archive"]}) == 3
    module.unlink()
    subprocess.run([python, "-c", "import submitit"], check=True, env={})
    assert planned(python, tmp_path)["archive"] == before["archive"]
    assert before["outside"] == [HOME]


def test_links_into_it_lead_into_it_wherever_it_is_unpacked(python: Path, tmp_path: Path):
    assert packing(python, tmp_path).wait() == 0
    archive = Path(str(planned(python, tmp_path)["archive"]))
    there = tmp_path / "there"
    there.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", there], check=True)
    assert (there / "0/bin/python").resolve() == (there / "1/bin" / SYSTEM.name).resolve()
    assert json.loads((there / "packed.json").read_text())["roots"][1].endswith("/base")


def test_of_two_that_pack_at_once_and_one_that_is_killed_one_whole_archive_is_left(python: Path, tmp_path: Path):
    folder = tmp_path / ".environments"
    killed = packing(python, tmp_path)
    until = time.monotonic() + 60
    while not (folder.is_dir() and any(folder.iterdir())) and time.monotonic() < until:
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    archive = Path(str(planned(python, tmp_path)["archive"]))
    for path in folder.glob(".*"):  # what it has left is removed after a day
        os.utime(path, (0, 0))
    both = [packing(python, tmp_path) for _ in range(2)]
    assert [each.wait() for each in both] == [0, 0]
    assert [path.name for path in folder.iterdir()] == [archive.name]
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    assert names[0] == "packed.json" and "0/bin/python" in names and f"1/lib/{SYSTEM.name}/os.py" in names


def test_an_archive_of_another_system_is_refused_before_anything_is_made(python: Path, tmp_path: Path):
    archive = Path(str(planned(python, tmp_path / "runs")["archive"]))
    archive.parent.mkdir(parents=True)
    about = json.dumps({"system": "Linux aarch64, glibc 2.28, Python 3.11.2"}).encode()
    with tarfile.open(archive, "w:") as tar:
        member = tarfile.TarInfo("packed.json")
        member.size = len(about)
        tar.addfile(member, io.BytesIO(about))
    (tmp_path / "train.py").touch()
    words = ["--backend", "slurm", "--stage-env", "--runs", "runs", "--name", "one", "train.py"]
    for bad, said in ((archive.read_bytes(), "is of another system (Linux aarch64"), (b"\0" * 99, "is damaged")):
        archive.write_bytes(bad)
        done = launch(python, *words, cwd=tmp_path)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2 and said in line and "remove it" in line
        assert [path.name for path in (tmp_path / "runs").iterdir()] == [".environments"]


def test_what_cannot_be_staged_is_refused(tmp_path: Path):
    here = site.from_table({"name": "cluster", "container": "apptainer"}, "cluster")
    for asked, said in (
        (Request(stage_env=True, backend="local"), "--stage-env is for Slurm"),
        (Request(stage_env=True, container="image.sif"), "--stage-env and --container contradict each other"),
    ):
        with pytest.raises(Refusal, match=said):
            resolve(asked, 1, here, SCRIPT, Machine(cores=8, gpus=0), NOON)
    code = f"{PACK}packed.plan(Path('runs'))"
    done = subprocess.run([SYSTEM, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "is the system's own Python, which each node has on its disk: leave it out" in done.stderr
