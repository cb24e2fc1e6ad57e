"""python -m launch status [RUN|FOLDER ...] [--json]: how runs are; without a name, those in the folder runs."""

import dataclasses
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from launch import options, runs
from launch.walltime import clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to show them."""

    json: bool = False  # all that is known, as a list of objects, for programs


def main(argv: list[str]) -> int:
    """Print a line a run; return 0.

    Raises
    ------
    Refusal
        If something named is no run and no folder with runs.
    """
    chosen, words = options.with_words(Options, argv, "status")
    known, silence = runs.look(runs.find(words or ["runs"]))
    if chosen.json:
        print(json.dumps(as_json(known), indent=1))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print("\n".join(line[:width] for line in table(known)))
    if silence:
        print(f"launch: Slurm does not answer ({silence}): its states are those that the runs noted", file=sys.stderr)
    return 0


def as_json(known: Sequence[runs.Known]) -> list[dict[str, Any]]:
    """The fields of `launch.runs.Known`, an object a run."""
    return [dataclasses.asdict(one) | {"path": str(one.path)} for one in known]


def table(known: Sequence[runs.Known]) -> list[str]:
    """Lines of a table; a column that is empty for all runs is left out."""
    rows = [_row(one) for one in known]
    names = [name for name in rows[0] if name in ("run", "state") or any(row[name] for row in rows)]
    lines = [names, *([row[name] for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]


def _row(one: runs.Known) -> dict[str, str]:
    shape = f"{one.nodes}x{one.ranks // one.nodes}" if one.nodes and one.ranks else ""
    return {
        "run": str(one.path),
        "state": one.state,
        "job": one.job or "",
        "shape": shape,
        "step": "" if one.step is None else f"{one.step}/{one.steps or '?'}",
        "epoch": "" if one.epoch is None else f"{one.epoch:.2f}/{one.epochs:g}",
        "loss": "" if one.loss is None else f"{one.loss:.4g}",
        "examples/s": "" if one.examples_per_s is None else f"{one.examples_per_s:.4g}",
        "left": "" if one.left_s is None else clock(int(one.left_s)),
        "attempts": str(one.attempts) if one.attempts > 1 else "",
        "nodes": one.hosts,
        "reason": one.reason,
    }
