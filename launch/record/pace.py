"""How far a training is, and how fast: from the last steps that its chief has recorded."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from launch.record.contents import StepRecord
from launch.record.files import Unreadable, objects, read_end
from launch.record.rundir import RunDir

_TAIL = 65536  # bytes of steps/ that are read: some hundred steps
_WINDOW_S = 20.0  # over which examples/s are averaged


class Pace(NamedTuple):
    """How far a training is; None where it is not known."""

    step: int | None = None
    steps: int | None = None
    epoch: float | None = None
    epochs: float | None = None
    loss: float | None = None
    examples_per_s: float | None = None  # over all ranks
    left_s: float | None = None  # until the last step, at this speed


def pace(run: RunDir, begin: int = 0) -> Pace:
    """How far a training is, as far as its files can be read: one that cannot must not end whoever watches.

    Parameters
    ----------
    run : RunDir
        The run.
    begin : int
        Bytes at the head of steps/node0.jsonl that are not looked at, as they are those of earlier attempts.
    """
    training, lines = None, b""
    with contextlib.suppress(Unreadable):
        training = run.training()
    with contextlib.suppress(Unreadable):
        lines = read_end(run.steps / "node0.jsonl", _TAIL, begin)
    steps: Iterator[StepRecord] = objects(reversed(lines.split(b"\n")), StepRecord)
    newest_first = (step for step in steps if step["rank"] == 0)
    last = next(newest_first, None)
    known = Pace(last and last["step"], loss=last and last.get("loss"))
    if not training:
        return known
    known = known._replace(steps=training["steps"], epochs=training["epochs"])
    if last is None:
        return known
    since = last.get("start", 0.0) - _WINDOW_S
    recent = itertools.takewhile(
        lambda step: step.get("attempt") == last.get("attempt") and step.get("start", 0.0) >= since, newest_first
    )
    timed = [step.get("seconds", 0.0) for step in (last, *recent) if not step.get("compiled")]
    known = known._replace(epoch=round(last["step"] / training["steps_per_epoch"], 3))
    if not sum(timed) > 0:
        return known
    rate = len(timed) / sum(timed)
    left_s = max(0.0, (training["steps"] - last["step"]) / rate)
    return known._replace(examples_per_s=rate * training["global_batch"], left_s=left_s)
