"""The version of the toolkit and, if it is in its own repository, the commit."""

import os
import subprocess

from launch import HOME, VERSION


def text() -> str:
    """Return the line of --version."""
    top, commit = _git("rev-parse", "--show-toplevel"), _git("rev-parse", "--short", "HEAD")
    if not commit or os.path.realpath(top) != os.path.realpath(HOME):  # installed, perhaps inside another repository
        return f"rankloop {VERSION}"
    changed = ", with changes" if _git("status", "--porcelain", "--untracked-files=no") else ""
    return f"rankloop {VERSION} (commit {commit}{changed})"


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", HOME, *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout.strip()
