"""How far and how fast a run is, from the last steps that its rank 0 has recorded."""

import contextlib
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from launch.record.contents import StepRecord
from launch.record.files import Unreadable, read_end
from launch.record.performance.figures import UNCOUNTED, UNIT
from launch.record.performance.steps import StepReader, of_rank0
from launch.record.rundir import RunDir

_TAIL = 65536  # bytes of steps/ that are read: some hundred steps
_WINDOW_S = 20.0  # period over which the throughput is averaged


class Pace(NamedTuple):
    """How far a run is; None for what is not known."""

    step: int | None = None
    steps: int | None = None
    epoch: float | None = None
    epochs: float | None = None
    loss: float | None = None
    throughput: float | None = None  # over all ranks
    unit: str = UNIT  # unit of the throughput
    left_s: float | None = None  # seconds until the last step, at this speed


def pace(run: RunDir, begin: Sequence[int] = (0, 0)) -> Pace:
    """Return how far a run is, as far as its files can be read. A file that cannot be read must not end the launcher.

    Parameters
    ----------
    run : RunDir
        The run.
    begin : pair of int
        Bytes to skip at the beginning of the files of rank 0, because they belong to earlier attempts.
    """
    training, recorded = None, []
    with contextlib.suppress(Unreadable):
        training = run.training()
    with contextlib.suppress(Unreadable):
        reader = StepReader(run)
        for path, skipped in zip(of_rank0(run), begin):
            recorded += reader.steps(path, read_end(path, _TAIL, skipped).split(b"\n"))
    newest_first = (step for step in reversed(recorded) if step["rank"] == 0)
    last = next(newest_first, None)
    known = Pace(last and last["step"], loss=last and last.get("loss"))
    if training:
        known = known._replace(steps=training["steps"], epochs=training["epochs"])
    if last is None:
        return known
    since = last["start"] - _WINDOW_S
    recent = itertools.takewhile(
        lambda step: step["attempt"] == last["attempt"] and step["start"] >= since, newest_first
    )
    timed = [step["seconds"] for step in (last, *recent) if not step.get("compiled") and math.isfinite(step["seconds"])]
    rate = len(timed) / sum(timed) if sum(timed) > 0 else None
    if training:
        known = known._replace(epoch=round(last["step"] / training["steps_per_epoch"], 3))
        if rate:
            left = max(0.0, (training["steps"] - last["step"]) / rate)
            known = known._replace(throughput=rate * training["global_batch"], left_s=left)
    elif rate and "examples" in last:
        known = known._replace(throughput=rate * last["examples"] * _recording(run, recorded))
    elif rate:  # the rank's own rate, as it is not known whose work a step is
        known = known._replace(throughput=rate, unit=UNCOUNTED["strong"])
    return known


def _recording(run: RunDir, of_first_node: Sequence[StepRecord]) -> int:
    """Return how many ranks record steps: all, or only rank 0, whose examples are then those of all."""
    others = any(step["rank"] for step in of_first_node)
    with contextlib.suppress(Unreadable, OSError):
        plan = run.record()
        if others or any(path not in of_rank0(run) for path in run.steps.iterdir()):
            return plan["nodes"] * plan["ranks_per_node"]
    return 1
