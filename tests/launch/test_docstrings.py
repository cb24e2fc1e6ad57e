"""The examples in docstrings do what they show."""

import subprocess
import sys
from pathlib import Path

from launched import ROOT, environment

CODE = """
import doctest, importlib, sys
failed = 0
for name in sys.argv[1:]:
    failed += doctest.testmod(importlib.import_module(name)).failed
sys.exit(failed > 0)
"""


def test_examples_in_docstrings(tmp_path: Path):
    sources = [source for package in ("launch", "profiling", "workloads") for source in (ROOT / package).rglob("*.py")]
    names = [
        ".".join(source.relative_to(ROOT).with_suffix("").parts)
        .removeprefix("launch.inside.")
        .removesuffix(".__init__")
        for source in sources
        if ">>> " in source.read_text()
    ]
    assert {"rankloop", "launch.errors", "profiling.api", "workloads.api"} <= set(names)
    env = environment(PYTHONPATH=f"{ROOT}:{ROOT / 'launch' / 'inside'}")
    done = subprocess.run([sys.executable, "-c", CODE, *names], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
