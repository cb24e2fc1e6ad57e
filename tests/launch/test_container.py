"""Containers: what the ranks see in them, what is refused, and a run of this machine in one."""

import os
import sys
from pathlib import Path

import psutil
import pytest
from launched import Launched, facts, gone, launch, until
from plans import CLUSTER, plan
from test_script import FAKE_APPTAINER, cluster

from launch.backends import rank_command
from launch.errors import Refusal
from launch.plan import container
from launch.plan.request import Request
from launch.record.rundir import RunDir


def test_folders_are_seen_once_and_at_both_their_names(tmp_path: Path):
    for folder in ("a/b/c", "d", "real"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    wanted = [tmp_path / name for name in ("a", "a/b/c", "d/not/there/yet", "link", "a/../d")]
    assert container.binds(wanted) == tuple(str(tmp_path / name) for name in ("a", "d", "link", "real"))


@pytest.mark.parametrize("name", ["a,b", "a:b"])
def test_a_path_that_cannot_be_said_is_refused(tmp_path: Path, name: str):
    (tmp_path / name).mkdir()
    with pytest.raises(Refusal, match="cannot be seen in it"):
        container.binds([tmp_path / name])


@pytest.mark.parametrize(
    ("runtime", "text", "expected"),
    [
        ("apptainer", "tf.sif", "{cwd}/tf.sif"),
        ("apptainer", "docker://tensorflow/tensorflow:2.16.1-gpu", "docker://tensorflow/tensorflow:2.16.1-gpu"),
        ("singularity", "/images/tf.sif", "/images/tf.sif"),
        ("pyxis", "nvcr.io#nvidia/tensorflow:24.01-tf2-py3", "nvcr.io#nvidia/tensorflow:24.01-tf2-py3"),
        ("pyxis", "./tf.sqsh", "{cwd}/tf.sqsh"),
        ("edf", "tensorflow", "tensorflow"),
        ("edf", "./tf.toml", "{cwd}/tf.toml"),
        ("podman-hpc", "nvcr.io/nvidia/tensorflow:24.01-tf2-py3", "nvcr.io/nvidia/tensorflow:24.01-tf2-py3"),
    ],
)
def test_images(runtime: str, text: str, expected: str):
    assert container.image(text, runtime) == expected.format(cwd=os.getcwd())


def test_what_cannot_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(Refusal, match="does not say what runs containers"):
        plan(Request(container="a.sif"), CLUSTER)
    apptainer = cluster(container="apptainer", backend="local")
    with pytest.raises(Refusal, match="there is no such file"):
        rank_command.refuse_absent(plan(Request(container=str(tmp_path / "none.sif")), apptainer))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refusal, match="needs apptainer"):
        rank_command.refuse_absent(plan(Request(container="docker://a/b"), apptainer))
    with pytest.raises(Refusal, match="with pyxis"):
        rank_command.refuse_absent(plan(Request(container="a/b"), cluster(container="pyxis", backend="local")))


def test_two_ranks_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With a stand-in for the runtime that starts the command without its walls."""
    (tmp_path / "apptainer").write_text(FAKE_APPTAINER.format(python=sys.executable))
    (tmp_path / "apptainer").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKES", str(tmp_path))
    site = tmp_path / "here.toml"
    site.write_text(f'backend = "local"\ncontainer = "apptainer"\ncontainer_python = "{sys.executable}"\n')
    program = tmp_path / "program.py"
    program.write_text("import os; print('rank', os.environ['RANK'], flush=True)")
    words = ["--site", site, "--nodes=2", "--container=docker://a/b", "--runs", tmp_path / "runs"]
    done = launch(*words, "--name=two", program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert facts(done.stdout)["container"] == "docker://a/b (apptainer)"
    run = RunDir(tmp_path / "runs" / "two")
    assert [run.node_log(node).read_text() for node in (0, 1)] == ["0: rank 0\n", "1: rank 1\n"]
    assert "apptainer exec --bind=" in launch(*words, "--dry-run", program).stdout


# As podman: the rank is nobody's child, and the client waits for its end.
FAKE_PODMAN = """#!{python}
import os, sys
words = sys.argv[2:]
while words[0].startswith("-"):
    words.pop(0)
reads, writes = os.pipe()
if not os.fork():
    os.setsid()
    if not os.fork():
        os.set_inheritable(writes, True)
        os.execvp(words[1], words[1:])
    os._exit(0)
os.close(writes)
os.read(reads, 1)
"""


def test_a_rank_of_podman_ends_with_the_process_that_has_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    client = tmp_path / "podman-hpc"
    client.write_text(FAKE_PODMAN.format(python=sys.executable))
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    site = tmp_path / "here.toml"
    site.write_text(f'backend = "local"\ncontainer = "podman-hpc"\ncontainer_python = "{sys.executable}"\n')
    (tmp_path / "program.py").write_text(
        "import os, sys, time; os.write(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), b'%d\\n' % os.getpid()); time.sleep(90)"
    )
    here = tmp_path / "pid"
    words = [
        "--site",
        site,
        "--container=a/b",
        "--runs",
        tmp_path / "runs",
        "--name=one",
        tmp_path / "program.py",
        here,
    ]
    launched = Launched(*words)
    until(lambda: here.exists() and here.read_text().endswith("\n"), 60)
    rank = psutil.Process(int(here.read_text()))
    clients = [each for each in psutil.process_iter(["cmdline"]) if str(client) in (each.info["cmdline"] or [])]
    assert len(clients) == 1 and rank.ppid() != clients[0].pid
    clients[0].kill()
    assert gone([rank], 10)
    assert launched.wait()[0] == 1
