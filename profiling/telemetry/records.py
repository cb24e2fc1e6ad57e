"""The record of each step: its schema, and the writer of the lines in steps/."""

import json
import os
import time
from pathlib import Path
from typing import NamedTuple, Self


class Field(NamedTuple):
    """One key of a step's line."""

    name: str
    type: type
    unit: str
    meaning: str


STEP = (
    Field("rank", int, "", "rank that made the step"),
    Field("attempt", int, "", "start of the run, counted from 1"),
    Field("epoch", int, "", "pass over the training set, counted from 0"),
    Field("step", int, "", "optimizer step, counted from 1 over the whole run; a step lost in a kill appears again"),
    Field("start", float, "s", "Unix time at which the rank began to wait for the step's batch"),
    Field("seconds", float, "s", "from start to the end of the weights' update, the wait for the batch included"),
    Field("input_seconds", float, "s", "of these, the wait for the batch"),
    Field(
        "own_seconds",
        float,
        "s",
        "of these, until its own gradients were ready; the rest is waiting for other ranks, and the update",
    ),
    Field("examples", int, "examples", "batch of this rank"),
    Field("loss", float, "", "mean over all ranks"),
    Field("learning_rate", float, "", "with which the step was made"),
    Field("traced", bool, "", "a profiler ran: not to be timed"),
    Field("compiled", bool, "", "the step was compiled first, within its seconds: not to be timed"),
)
"""Every key of a line of steps/, in its order."""


class StepWriter:
    """Appends a line for each step to the file that the ranks of a node share.

    Lines wait in memory until the oldest is a second old. Each write is one call with whole lines on a descriptor with
    O_APPEND, so lines of several ranks do not mix and a kill loses at most a second of records.

    Parameters
    ----------
    path : Path
        File, created if absent.
    rank, attempt : int
        Rank and attempt that every line contains.
    """

    INTERVAL = 1.0  # seconds

    def __init__(self, path: Path, rank: int, attempt: int) -> None:
        self._common = {"rank": rank, "attempt": attempt}
        self._lines: list[str] = []
        self._flushed = time.monotonic()
        path.parent.mkdir(exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **values: float) -> None:
        """Record a step: a value for each field of STEP except rank and attempt."""
        values |= self._common
        line = {field.name: field.type(values.pop(field.name)) for field in STEP}
        if values:
            raise TypeError(f"not in the schema of a step: {', '.join(values)}")
        self._lines.append(json.dumps(line, separators=(",", ":")))
        if time.monotonic() - self._flushed >= self.INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Hand the waiting lines to the operating system."""
        data = "".join(line + "\n" for line in self._lines).encode()
        self._lines.clear()
        self._flushed = time.monotonic()
        while data:  # a write is cut short only by a full disk, and then the next one raises
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        """Flush, and close the file."""
        self.flush()
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
