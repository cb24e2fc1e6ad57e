"""Variables with which a user asks more of Python: they concern the user's program, not the toolkit around it."""

import subprocess
import sys
from pathlib import Path

import pytest
from launched import environment

from launch import START

# A process that it forks ends as a rank does, and must not warn of what it has not opened.
FORKS = (
    "import os, sys\nif not os.fork(): sys.exit(0)\nos.wait()\nprint('ok', flush=True)\nsys.exit(int(sys.argv[1]))\n"
)


@pytest.mark.parametrize("status", [0, 3])
@pytest.mark.parametrize(
    "variable", ["PYTHONDEVMODE=1", "PYTHONWARNINGS=error", "PYTHONINSPECT=1", "PYTHONWARNDEFAULTENCODING=1"]
)
def test_what_python_is_asked_for_is_for_the_program(tmp_path: Path, variable: str, status: int):
    (tmp_path / "forks.py").write_text(FORKS)
    name, _, value = variable.partition("=")
    done = subprocess.run(
        [sys.executable, START, "--backend", "local", "--runs", tmp_path, "--name", "run", "forks.py", str(status)],
        cwd=tmp_path, env=environment(PYTHONPATH="", **{name: value}), stdin=subprocess.DEVNULL, capture_output=True,
        text=True,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == (1 if status else 0) and "Warning" not in said and "SystemExit" not in said, said
    assert (tmp_path / "run/logs/node0.log").read_text() == "0: ok\n"
    assert (tmp_path / "run/readings/errors.log").read_text() == ""
    assert f"failed first: exit status {status}\n" in said or not status
