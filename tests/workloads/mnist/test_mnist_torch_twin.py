"""The PyTorch twin, by the same launcher: with RANKLOOP_TORCH=PATH by a Python that has PyTorch, else by this one if it has."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from workloads.data.images import reading

ROOT = Path(__file__).resolve().parents[3]
PYTHON = os.environ.get("RANKLOOP_TORCH", sys.executable)
HAS_TORCH = subprocess.run([PYTHON, "-c", "import importlib.util as u; exit(not u.find_spec('torch'))"]).returncode == 0


def launch(python: str, runs: Path, size: int, *words: object) -> subprocess.CompletedProcess:
    command = [python, "-m", "launch", "--runs", runs, "--name", f"twin{size}", "--nodes", size]
    script = ["workloads/mnist/torch_twin.py", *words, "--threads=1"]
    return subprocess.run(
        [*map(str, command), *map(str, script)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


def test_without_torch_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "torch.py").write_text("raise ImportError")  # what an environment without it amounts to
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = launch(sys.executable, tmp_path, 1, "--data=nowhere")
    assert done.returncode == 2
    assert "has no PyTorch: pip install torch, or start the launcher by the python of an environment" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.skipif(
    not HAS_TORCH, reason="PyTorch is not installed: pip install torch, or name a Python that has it in RANKLOOP_TORCH"
)
def test_it_learns_on_one_rank_and_on_two(tmp_path: Path, shared_data: Path):
    train, test, *_ = reading.read(shared_data / "mnist")
    some = tmp_path / "some.npz"
    np.savez(
        some,
        x_train=train.pixels[:4096],
        y_train=train.labels[:4096],
        x_test=test.pixels[::10],
        y_test=test.labels[::10],
    )
    for size in (1, 2):
        done = launch(PYTHON, tmp_path, size, f"--data={some}", "--epochs=2", "--bfloat16")
        assert done.returncode == 0, done.stdout + done.stderr
        log = (tmp_path / f"twin{size}" / "logs" / "node0.log").read_text()
        found = re.findall(rf"epoch (\d)/2 .* accuracy ([\d.]+)% .* on {size} ranks", log)
        assert [epoch for epoch, _ in found] == ["1", "2"], log
        assert float(found[-1][1]) > 90
