"""What is recorded of the surroundings and of the code of a run."""

import hashlib
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
from launched import ROOT, environment
from packaging.utils import canonicalize_name

from launch.record.code import patch
from launch.record.environment import cpu_model, packages, surroundings
from launch.record.files import read_json
from launch.record.rundir import RunDir

KEY_ID, KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of one commit, with changes that no commit has."""
    folder = tmp_path / "code"
    folder.mkdir()
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    (folder / "kept.py").write_text("a = 1\n")
    (folder / ".gitignore").write_text("ignored.py\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    (folder / "kept.py").write_bytes(b"a = 2\nname = 'caf\xe9'\napi_key = 'hunter2'\n")
    (folder / "new.py").write_text("b = 1\n")
    (folder / "ignored.py").write_text("c = 1\n")
    return folder


def launch_in(folder: Path, *words: object, **variables: str) -> subprocess.CompletedProcess:
    """A local run whose code is that of a folder."""
    env = environment(**variables) | {"PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "launch",
        "--backend",
        "local",
        "--runs",
        "runs",
        "--name",
        "run",
        *map(str, words),
    ]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def test_no_trace_of_a_key_is_in_the_run_folder(repository: Path):
    digest = hashlib.sha256((KEY + KEY_ID).encode()).hexdigest()
    (repository / "program.py").write_text(
        "import hashlib, os, sys\nkeys = os.environ['AWS_SECRET_ACCESS_KEY'] + os.environ['AWS_ACCESS_KEY_ID']\n"
        f"assert hashlib.sha256(keys.encode()).hexdigest() == '{digest}' and sys.argv[2].startswith('canary')\n"
    )
    secret = {
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": KEY,
        "HOROVOD_SECRET": KEY,
        "TF_FORWARDED": f"--endpoint=https://{KEY_ID}:{KEY}@host/ --name={KEY}",
        "NCCL_SOMETHING": KEY,
        **dict.fromkeys(("TF_DB_PASS", "TF_PWD", "KERAS_AUTH", "OMP_CREDS", "CUDA_LOGIN"), "canary-variable"),
    }
    words = ("program.py", "--db-password", "canary-word")
    done = launch_in(repository, "--nodes", 2, *words, NCCL_DEBUG="INFO", **secret)
    assert done.returncode == 0, done.stdout + done.stderr  # the ranks have it
    run = RunDir(repository / "runs" / "run")
    kept = read_json(run.env_json)["environment"]
    assert kept["NCCL_DEBUG"] == "INFO" and {"TF_FORWARDED", "NCCL_SOMETHING", "HOROVOD_SECRET"} <= kept.keys()
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert {run.env_json, run.events_jsonl, run.patch} <= set(files)
    for path in files:
        content = path.read_bytes()
        assert not any(part.encode() in content for part in (KEY_ID, KEY, KEY[10:30], "canary-variable")), path
        assert b"canary-word" not in content or path == run.run_json, path  # the ranks are started with it
    modes = {path: oct(path.stat().st_mode)[-3:] for path in (run.path, run.run_json, run.patch)}
    assert modes == {run.path: "700", run.run_json: "600", run.patch: "600"}


def test_the_runs_of_a_study_are_as_private(repository: Path):
    done = launch_in(repository, "--repeats", 2, "new.py", "--db-password", "canary-word")
    assert done.returncode == 0, done.stdout + done.stderr
    holders = [
        path for path in (repository / "runs").rglob("*") if path.is_file() and b"canary-word" in path.read_bytes()
    ]
    assert sorted(path.name for path in holders) == ["run.json", "run.json", "study.json"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in holders)


def test_a_key_on_the_command_line_is_told_to_be_one(repository: Path):
    done = launch_in(repository, "new.py", "--api-key", KEY)
    assert done.returncode == 0 and "launch: a word of the command line looks like a secret" in done.stderr
    shown = launch_in(repository, "new.py", "--width", "64", "--name", "x" * 40)
    assert shown.stderr.count("secret") == 0


def test_the_versions_of_all_packages():
    found = packages(sys.path)
    told: dict[str, str] = {}
    for one in importlib.metadata.distributions():  # setuptools, once imported, has older ones of its own behind these
        told.setdefault(canonicalize_name(one.metadata["Name"]), one.version)
    assert found == told and "numpy" in found


def test_the_first_place_with_a_package_counts(tmp_path: Path):
    for place, name in (
        ("a", "some_Thing-1.0.dist-info"),
        ("b", "some_thing-2.0.dist-info"),
        ("b", "old-0.3-py3.9.egg-info"),
    ):
        (tmp_path / place / name).mkdir(parents=True)
    paths = [str(tmp_path / place) for place in ("a", "absent", "b")]
    assert packages(paths) == {"old": "0.3", "some-thing": "1.0"}


@pytest.mark.parametrize(
    ("lines", "model"),
    [
        (
            "processor\t: 0\nmodel name\t: AMD EPYC 7763 64-Core Processor\ncpu MHz\t: 2450\n",
            "AMD EPYC 7763 64-Core Processor",
        ),
        ("processor\t: 0\ncpu\t\t: POWER9, altivec supported\n", "POWER9, altivec supported"),
        (
            "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n",
            f"{os.uname().machine}, implementer 0x41, part 0xd4f",
        ),
        ("", os.uname().machine),
    ],
)
def test_the_model_of_the_cpu(lines: str, model: str):
    assert cpu_model(lines) == model


def test_this_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("LOADEDMODULES", "gcc/12.2:cuda/12.2")
    monkeypatch.setenv("MY_OWN", "business")
    found = surroundings()
    assert found["environment"]["OMP_NUM_THREADS"] == "3" and "MY_OWN" not in found["environment"]
    assert found["modules"] == ["gcc/12.2", "cuda/12.2"]
    assert found["cores"] == len(os.sched_getaffinity(0)) and found["cpu"]


def test_the_patch_makes_the_code_again_whatever_git_was_told(repository: Path, tmp_path: Path):
    git = ["git", "-C", str(repository)]
    for name in ("gone.py", "moved.py", "script"):
        (repository / name).write_text(f"{name}\n" * 9)
    (repository / "data.bin").write_bytes(bytes(range(256)))
    (repository / "lines.txt").write_bytes(b"a\r\nb\r\n")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "two"], check=True)
    (repository / "gone.py").unlink()
    (repository / "moved.py").rename(repository / 'm\u00f6ved "here".py')
    (repository / "script").chmod(0o755)
    (repository / "data.bin").write_bytes(bytes(range(255, -1, -1)) * 3)
    (repository / "lines.txt").write_bytes(b"a\r\nc\r\nno end")
    (repository / "kept.py").write_bytes(
        b"a = 3\nname = 'caf\xe9'\npassword: 'hunter2'\nBearer x\n" + b"key = 'x9Kd02LmQpR7sT1vW3yZ5bC8eF'\n"
    )
    hostile = {
        "diff.noprefix": "true", "diff.relative": "true", "diff.mnemonicPrefix": "true", "color.ui": "always", "diff.context": "0",
        "diff.external": "false", "diff.odd.textconv": "wc", "core.quotePath": "false", "diff.algorithm": "histogram",
    }  # fmt: skip
    for name, value in hostile.items():
        subprocess.run([*git, "config", name, value], check=True)
    (repository / ".git" / "info" / "attributes").write_text("*.txt diff=odd\n")
    index = (repository / ".git" / "index").read_bytes()
    (repository / "below").mkdir()
    commit = patch.keep(tmp_path / "code.patch", str(repository / "below"))
    assert (
        commit
        == subprocess.run(["git", "-C", repository, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    )
    assert (repository / ".git" / "index").read_bytes() == index  # the user's is left as it was
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    subprocess.run(["git", "clone", "-q", repository, tmp_path / "anew"], check=True)
    subprocess.run(["git", "-C", tmp_path / "anew", "apply", tmp_path / "code.patch"], check=True)
    there, again = (
        {path.name: (path.read_bytes(), path.stat().st_mode & 0o111) for path in folder.iterdir() if path.is_file()}
        for folder in (repository, tmp_path / "anew")
    )
    # New files are those of the folder that the run begins in, which lacks the one that was renamed.
    assert again == {name: file for name, file in there.items() if name != "ignored.py" and "ved" not in name}
    assert (tmp_path / "code.patch").stat().st_mode & 0o077 == 0
    parts = patch.files((tmp_path / "code.patch").read_text(errors="replace"))
    assert list(parts) == ["data.bin", "gone.py", "kept.py", "lines.txt", "moved.py", "script"]


def test_new_files_are_in_the_patch_too(repository: Path, tmp_path: Path):
    patch.keep(tmp_path / "code.patch", str(repository))
    parts = patch.files((tmp_path / "code.patch").read_text(errors="replace"))
    assert list(parts) == ["kept.py", "new.py"] and "+b = 1" in parts["new.py"]


def test_without_a_repository_there_is_no_commit(tmp_path: Path):
    assert patch.keep(tmp_path / "code.patch", str(tmp_path)) is None
    assert not (tmp_path / "code.patch").exists()
