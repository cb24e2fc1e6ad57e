"""The examples of docs/your_program.md, by the commands of the page, on fewer ranks and without repeats."""

import os
import re
import subprocess
import sys
from pathlib import Path

import page
import pytest

PYTHONS = {"torch": os.environ.get("RANKLOOP_TORCH"), "jax": os.environ.get("RANKLOOP_JAX")}
NEEDED = {"Keras": "horovod", "PyTorch": "torch", "JAX": "jax", "C with MPI": "mpi4py"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("heading", "unit", "program"),
    [
        ("Keras", "examples/s", "train.py"),
        ("PyTorch", "examples/s", "train.py"),
        ("JAX", "examples/s", "train.py"),
        ("C with MPI", "examples/s", "heat"),
        ("LAMMPS and other known codes", "atoms x ns/day", "lmp"),
        ("A shell script", "kterms/s", "zeta.sh"),
    ],
)
def test_an_example_ends_with_a_table_and_a_prediction(tmp_path: Path, heading: str, unit: str, program: str):
    needed = NEEDED.get(heading, "os")
    python = PYTHONS.get(needed) or sys.executable
    if subprocess.run([python, "-c", f"import {needed}"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip(f"{python} has no {needed}")
    done = page.follow(heading, tmp_path, python, nodes="1,2", repeats="1")
    assert done.returncode == 0, done.stdout + done.stderr
    table, _, prediction = done.stdout.partition(f"\n{program}\n\n")[2].partition("PREDICTION, not measured")
    assert f"throughput [{unit}]" in table and f"throughput [{unit}]" in prediction, done.stdout
    assert re.findall(r"^ +(\d+) +1 ", table, re.MULTILINE) == ["1", "2"]  # workers, repeats
    assert "on its own" not in done.stdout
