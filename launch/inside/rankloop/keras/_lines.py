"""What is told to the user, without any framework."""

from __future__ import annotations

from typing import NoReturn

import rankloop


def refuse(line: str) -> NoReturn:
    """End the program with one line, where there is no way on."""
    raise SystemExit(f"rankloop: {line}")


def say(line: str) -> None:
    """Print a line, on rank 0."""
    if rankloop.rank == 0:
        print(f"rankloop: {line}", flush=True)
