"""How far and how fast a run is, from the last steps that its ranks have recorded."""

import contextlib
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from launch.record.contents import StepRecord, TrainingRecord
from launch.record.files import Unreadable, read_end
from launch.record.performance.figures import UNCOUNTED, UNIT
from launch.record.performance.steps import StepReader, of_rank0
from launch.record.rundir import RunDir

_TAIL = 65536  # bytes that are read of a file of rank 0: some hundred steps
_OTHERS, _OTHERS_TAIL = 16, 8192  # how many files of other ranks are read, which stand for all, and bytes of each
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
    training: TrainingRecord | None = None
    reader, recorded = None, list[StepRecord]()
    with contextlib.suppress(Unreadable):
        training = run.training()
    with contextlib.suppress(Unreadable):
        reader = StepReader(run)
        for path, skipped in zip(of_rank0(run), begin):
            recorded += reader.steps(path, read_end(path, _TAIL, skipped).split(b"\n"))
    own = [step for step in recorded if step["rank"] == 0]
    if not own or reader is None:
        return Pace(steps=training["steps"], epochs=training["epochs"]) if training else Pace()
    last = own[-1]
    known = Pace(last["step"], loss=last.get("loss"))
    timed = _recent(own)
    seconds = sum(step["seconds"] for step in timed)
    rate = len(timed) / seconds if seconds > 0 else None
    if training:
        known = known._replace(steps=training["steps"], epochs=training["epochs"])
        known = known._replace(epoch=round(last["step"] / training["steps_per_epoch"], 3))
        if rate:
            left = max(0.0, (training["steps"] - last["step"]) / rate)
            known = known._replace(throughput=rate * training["global_batch"], left_s=left)
    elif rate and "examples" in last:
        known = known._replace(throughput=_examples_per_s(reader, run, recorded, last["attempt"]))
    elif rate:  # the rank's own rate, as it is not known whose work a step is
        known = known._replace(throughput=rate, unit=UNCOUNTED["strong"])
    return known


def _recent(steps: Sequence[StepRecord]) -> list[StepRecord]:
    """Return the last timed steps of a rank, from the attempt of the very last."""
    last = steps[-1]
    of_window = (s for s in steps if s["attempt"] == last["attempt"] and s["start"] >= last["start"] - _WINDOW_S)
    return [step for step in of_window if not step.get("compiled") and math.isfinite(step["seconds"])]


def _examples_per_s(reader: StepReader, run: RunDir, first: Sequence[StepRecord], attempt: float) -> float | None:
    """Return the examples that all ranks together compute in a second, from the steps of the first node and the last
    steps of other files; None if a rank does not count its examples."""
    first_files = set(of_rank0(run))
    others = [path for path in reader.files() if path not in first_files]
    tail = _OTHERS_TAIL * max(1, reader.ranks_per_node // 16)  # the file of a node has the steps of all its ranks
    read, more = others[:_OTHERS], list[StepRecord]()
    for path in read:
        with contextlib.suppress(Unreadable):
            more += reader.steps(path, read_end(path, tail).split(b"\n"))
    total = _sum(first, attempt) + _sum(more, attempt) * len(others) / max(len(read), 1)
    return total if math.isfinite(total) else None


def _sum(steps: Sequence[StepRecord], attempt: float) -> float:
    """Return the sum of the examples per second of the ranks that have made steps in an attempt; NaN if they are not
    known."""
    of_rank: dict[float, list[StepRecord]] = defaultdict(list)
    for step in steps:
        if step["attempt"] == attempt:
            of_rank[step["rank"]].append(step)
    total = 0.0
    for own in map(_recent, of_rank.values()):
        if seconds := sum(step["seconds"] for step in own):
            total += sum(step.get("examples", math.nan) for step in own) / seconds
    return total
