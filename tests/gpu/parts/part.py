"""What the parts share: where their numbers go, the GPU that is measured, and runs of the launcher."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from launch import gpus
from profiling.telemetry.nvml import Card, open_cards

ROOT = Path(__file__).resolve().parents[3]
_ABSENT = 3  # measure.ABSENT


class Absent(Exception):
    """Something that a part needs is not here; the message is one line."""


class Part:
    """A part on its way: RESULTS SECONDS [--tiny] [WORD ...]."""

    def __init__(self, argv: list[str]) -> None:
        self._path, self._end = Path(argv[0]), time.monotonic() + float(argv[1])
        self.tiny = "--tiny" in argv
        self.words = [word for word in argv[2:] if word != "--tiny"]

    @property
    def left(self) -> float:
        """Seconds until it will be stopped."""
        return self._end - time.monotonic()

    @property
    def folder(self) -> Path:
        """For its runs."""
        return self._path.with_suffix("")

    def row(self, what: str, value: float | str, unit: str = "", note: str = "") -> None:
        """Keep a number."""
        with open(self._path, "a") as file:
            file.write(json.dumps({"what": what, "value": value, "unit": unit, "note": note}) + "\n")

    def launch(self, *words: str, **environment: str) -> subprocess.CompletedProcess:
        """Run the launcher to its end, as a user would; what it printed is the part's output too."""
        command = [sys.executable, "-m", "launch", "--backend", "local", "--runs", str(self.folder), "--no-snapshot"]
        done = subprocess.run([*command, *words], env=os.environ | environment, text=True, stdout=-1, stderr=-2)
        print("$", *words, f"\n{done.stdout}", flush=True)
        return done


def card() -> Card:
    """The first GPU.

    Raises
    ------
    Absent
        If there is none.
    """
    visible = gpus.visible()
    uuids, fault = gpus.identities(visible[:1])
    if not visible or fault:
        raise Absent(f"no NVIDIA GPU{': ' + fault if fault else ''}")
    cards, missing = open_cards(uuids)
    if not cards:
        raise Absent(f"no NVIDIA GPU that can be read: {'; '.join(missing.values())}")
    return cards[0]


def gpu_of_jax() -> bool:
    """Whether JAX computes on a GPU."""
    import jax

    return jax.default_backend() == "gpu"


def main(measure: Callable[[Part], Any]) -> None:
    """Run a part by its function."""
    try:
        measure(Part(sys.argv[1:]))
    except Absent as absent:
        print(absent)
        sys.exit(_ABSENT)
