"""The script of docs/pytorch.md, by a Python that has PyTorch: that of RANKLOOP_TORCH=PATH, or this one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from launched import ROOT, environment

from launch.record.rundir import RunDir

PYTHON = os.environ.get("RANKLOOP_TORCH", sys.executable)
HAS_TORCH = subprocess.run([PYTHON, "-c", "import importlib.util as u; exit(not u.find_spec('torch'))"]).returncode == 0
SCRIPT = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "pytorch.md").read_text(), re.DOTALL)[1]
INTERRUPT = """
import signal
if os.environ["LAUNCH_ATTEMPT"] == "1" and rankloop.rank == 1 and done == 70:  # of 128
    os.kill(os.getpid(), signal.SIGUSR2)
"""


def train(folder: Path, size: int, script: str, batch: int) -> tuple[RunDir, bytes]:
    """Run it on some ranks; return the run, and what it has saved at its end."""
    folder.mkdir()
    (folder / "train.py").write_text(script)
    words = ["--backend", "local", "--sample-hz", "0", "--name", "r", "--nodes", str(size), "--max-attempts", "2"]
    command = [PYTHON, ROOT / "launch/inside/rankloop/__main__.py", *words, "train.py", str(batch), "1"]
    done = subprocess.run(
        command, cwd=folder, env=environment(PYTHONPATH=""), capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    show = "import torch, json; print(json.dumps([v.double().sum().item() for v in torch.load('model.pt').values()]))"
    told = subprocess.run([PYTHON, "-c", show], cwd=folder, capture_output=True, text=True, check=True)
    return RunDir(folder / "runs" / "r"), json.loads(told.stdout)


@pytest.mark.skipif(not HAS_TORCH, reason="no PyTorch here: name a Python that has it in RANKLOOP_TORCH")
def test_the_script_of_the_page(tmp_path: Path):
    one, alone = train(tmp_path / "one", 1, SCRIPT, 64)
    two, shared = train(tmp_path / "two", 2, SCRIPT, 32)
    assert shared == pytest.approx(alone, abs=0.05)  # other examples in a step, as the sampler deals them by ranks
    assert one.result()["steps"] == two.result()["steps"] == 128 and two.result()["metrics"]["loss"] > 0
    assert one.result()["throughput_examples_per_s"] > 0 < two.result()["throughput_examples_per_s"]
    line = "        done += 1\n"
    assert SCRIPT.count(line) == 1
    interrupt = line + "".join(f"        {each}\n" for each in INTERRUPT.splitlines() if each)
    run, stopped = train(tmp_path / "stopped", 2, SCRIPT.replace(line, interrupt), 32)
    assert [event["outcome"] for event in run.events("ended")] == ["stopped", "done"]
    assert stopped == shared and run.result()["steps"] == 127  # but for the step in which it left
