"""Runs the commands of schedulers."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from launch.plan import inherited


def command(words: Sequence[str], timeout: float = 60) -> subprocess.CompletedProcess | None:
    """Run one of a scheduler's commands in an environment without traces of another job; return None if there is no
    answer."""
    try:
        return subprocess.run(
            words, capture_output=True, encoding="utf-8", errors="replace", timeout=timeout, env=inherited.clean()
        )
    except (subprocess.TimeoutExpired, OSError):
        return None
