"""Each kind of machine has its command: the groups of pyproject.toml resolve for it, to exact versions, from wheels."""

import os
import platform
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]
MACHINES = ["stack", "tensorflow-cuda", "jax", "jax-cuda12", "jax-cuda13", "jax-rocm"]


def test_every_kind_of_machine_is_in_the_docs():
    pages = (ROOT / "docs" / "install.md").read_text()
    for group in MACHINES:
        assert f"--group {group}" in pages or group in ("stack", "tensorflow-cuda")
    assert "modules/install/horovod-nccl" in pages and "uv sync" in pages


def test_all_versions_are_exact():
    for name, words in GROUPS.items():
        for word in words:
            assert isinstance(word, dict) or re.fullmatch(r"[\w.-]+(\[[\w-]+\])?==[\w.]+(; .*)?", word), (name, word)


def test_horovod_is_built_against_the_tensorflow_that_is_installed():
    built = [word for word in PROJECT["tool"]["uv"]["extra-build-dependencies"]["horovod"] if "tensorflow" in word]
    assert sorted(built) == sorted(word for word in GROUPS["stack"] if "tensorflow" in word)


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("group", MACHINES)
def test_every_group_resolves_to_wheels(group: str, machine: str, python: str):
    """All but Horovod, which is built. It asks the package index."""
    uv = ROOT / ".venv" / "bin" / "uv"
    if not os.access(uv, os.X_OK):
        pytest.skip("no uv in .venv")
    if machine == "aarch64" and group == "tensorflow-cuda":
        pytest.skip("TensorFlow has no GPU build for aarch64")
    words = ["pip", "compile", "pyproject.toml", "--group", f"pyproject.toml:{group}", "--python-version", python]
    words += ["--python-platform", f"{machine}-manylinux_2_28", "--only-binary=:all:", "--no-binary=horovod"]
    done = subprocess.run([uv, *words, "--no-header", "--no-annotate"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"^([\w.-]+)==(\S+)", done.stdout, re.MULTILINE))
    assert found["keras"] == "3.15.1"
    engine = "jax" if group.startswith("jax") else "tensorflow"
    name = "tensorflow-cpu" if group == "stack" and machine == "x86_64" else engine
    assert name in found, found
    for kind in ("cuda12", "cuda13", "rocm7"):
        wanted = group == f"jax-{kind}" or group == "jax-rocm" and kind == "rocm7" and machine == "x86_64"
        assert (f"jax-{kind}-plugin" in found) == wanted


@pytest.mark.slow
def test_horovod_is_built_with_nccl(tmp_path: Path):
    """From nothing to an import, without a GPU. It asks the package index, and takes seven minutes of a processor."""
    if platform.machine() != "x86_64" or not shutil.which("g++") or shutil.disk_usage(tmp_path).free < 8 * 2**30:
        pytest.skip("needs x86-64, g++ and 8 GiB of disk")
    done = subprocess.run([ROOT / "modules/install/horovod-nccl", tmp_path / "gpu"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ok +horovod +horovod 0.28.1, .*\bnccl\b", done.stdout, re.MULTILINE), done.stdout
    code = "import horovod.tensorflow as hvd; print(hvd.nccl_built(), hvd.cuda_built(), hvd.gloo_built())"
    loaded = subprocess.run([tmp_path / "gpu/bin/python", "-c", code], capture_output=True, text=True)
    assert re.fullmatch(r"2\d{4} True True", loaded.stdout.strip()), loaded.stderr
