"""Messages to the user, which need no framework."""

from __future__ import annotations

from typing import NoReturn

import rankloop


def refuse(line: str) -> NoReturn:
    """End the program with one line that says why it cannot continue."""
    raise SystemExit(f"rankloop: {line}")


def say(line: str) -> None:
    """Print a line, on rank 0."""
    if rankloop.rank == 0:
        print(f"rankloop: {line}", flush=True)
