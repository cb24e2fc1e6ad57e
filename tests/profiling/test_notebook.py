"""The notebook of docs/ is run as it stands, and gives what it shows."""

import json
import re
import subprocess
import sys
from pathlib import Path

from launched import ROOT, environment

SHOWN = ROOT / "docs" / "notebook.ipynb"


def headings(notebook: dict) -> list[list[tuple[str, list[str]]]]:
    """Of each output of each cell its kind and its words: not its numbers, which are of that day."""
    return [
        [
            (output["output_type"], re.findall(r"[a-z]{3,}", "".join(output.get("text", output.get("data", {}).get("text/plain", [])))[:200]))
            for output in cell["outputs"]
        ]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]  # fmt: skip


def test_it_runs_and_gives_what_it_shows(tmp_path: Path):
    copy = tmp_path / "notebook.ipynb"
    copy.write_bytes(SHOWN.read_bytes())
    command = [sys.executable, ROOT / "tests" / "profiling" / "notebook.py", copy]
    env = environment(PYTHONPATH=str(ROOT / "launch" / "inside"))
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    made, shown = json.loads(copy.read_text()), json.loads(SHOWN.read_text())
    assert headings(made) == headings(shown)
    assert str(ROOT) not in SHOWN.read_text() and "/tmp/" not in SHOWN.read_text()
