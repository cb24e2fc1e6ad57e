"""The examples of docs/your_program.md: their files and commands, as a reader takes them from the page."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from launched import ROOT, environment

_PAGE = (ROOT / "docs" / "your_program.md").read_text()


def section(heading: str) -> str:
    """The text under a heading."""
    return re.search(rf"^### {re.escape(heading)}\n(.*?)(?=^##|\Z)", _PAGE, re.DOTALL | re.MULTILINE)[1]


def block(language: str, heading: str) -> str:
    """The code in a language that stands there."""
    return re.search(rf"```{language}\n(.*?)```", section(heading), re.DOTALL)[1]


def follow(heading: str, folder: Path, python: str = sys.executable, **replaced: str) -> subprocess.CompletedProcess:
    """Write the file of an example and give its commands, with some options replaced; return the last, which is rankloop's."""
    name, code = re.search(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", section(heading), re.DOTALL).groups()
    (folder / name).write_text(code)
    env = environment(PYTHONPATH="", PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    *before, last = (shlex.split(line) for line in re.findall(r"^    \$ (.*)", section(heading), re.MULTILINE))
    for words in before:
        subprocess.run(words, cwd=folder, env=env, check=True)
    assert last[0] == "rankloop"
    for option, value in replaced.items():
        last[last.index(f"--{option}") + 1] = value
    command = [python, ROOT / "launch" / "inside" / "rankloop" / "__main__.py", *last[1:]]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
