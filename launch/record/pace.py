"""How far a training is, and how fast: from the last steps that its chief has recorded."""

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launch.record.files import read_json
from launch.record.rundir import RunDir

_TAIL = 65536  # bytes of steps/ that are read: some hundred steps
_WINDOW_S = 20.0  # over which examples/s are averaged


def pace(run: RunDir, begin: int = 0) -> dict[str, float | None]:
    """How far a training is.

    Parameters
    ----------
    run : RunDir
        The run.
    begin : int
        Bytes at the head of steps/node0.jsonl that are not looked at, as they are those of earlier attempts.

    Returns
    -------
    dict
        step, steps, epoch, epochs, loss, examples_per_s (over all ranks), left_s; None where it is not known yet.
    """
    training = read_json(run.training_json) or {}
    found = dict.fromkeys(("step", "steps", "epoch", "epochs", "loss", "examples_per_s", "left_s"))
    found |= {name: training.get(name) for name in ("steps", "epochs")}
    steps_back = (line for line in last_lines(run.steps / "node0.jsonl", _TAIL, begin) if line["rank"] == 0)
    last = next(steps_back, None)
    if last is None:
        return found
    found |= {"step": last["step"], "loss": last["loss"]}
    if not training:
        return found
    found["epoch"] = round(last["step"] / training["steps_per_epoch"], 3)
    recent = itertools.takewhile(
        lambda line: line.get("attempt") == last.get("attempt") and line["start"] >= last["start"] - _WINDOW_S,
        steps_back,
    )
    timed = [line["seconds"] for line in (last, *recent) if not line["compiled"]]
    if sum(timed) > 0:
        rate = len(timed) / sum(timed)
        found["examples_per_s"] = rate * training["global_batch"]
        found["left_s"] = max(0.0, (training["steps"] - last["step"]) / rate)
    return found


def last_lines(path: Path, tail: int, begin: int = 0) -> Iterator[dict[str, Any]]:
    """The values of the lines at the end of a file of JSON lines, the newest first.

    Parameters
    ----------
    path : Path
        The file; none is one without lines.
    tail : int
        Bytes at its end that are read.
    begin : int
        Bytes at its head that are not.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(begin, size - tail))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return
    for line in reversed(text.split("\n")):
        try:
            value = json.loads(line)
        except ValueError:  # cut short: by a kill, or by where the tail begins
            continue
        if isinstance(value, dict):  # the end of a number is a number
            yield value
