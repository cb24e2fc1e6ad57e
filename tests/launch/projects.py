"""A user's own project, for tests: a repository, and the command in it."""

import subprocess
import sys
from pathlib import Path

from launched import environment

from launch import START


def git(folder: Path, *words: str) -> str:
    """What git says in a folder."""
    own = ["git", "-C", str(folder), "-c", "user.name=u", "-c", "user.email=e", "-c", "protocol.file.allow=always"]
    return subprocess.run([*own, *words], capture_output=True, text=True, check=True).stdout.strip()


def repository(folder: Path, **files: str) -> Path:
    """A repository with one commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text("data/\nruns/\n*.log\n")
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm1")
    return folder.resolve()


def launched(cwd: Path, *words: object) -> subprocess.CompletedProcess:
    """The command in a folder of the user's."""
    env = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    command = [sys.executable, START, *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
