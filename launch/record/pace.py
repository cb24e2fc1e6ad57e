"""How far a run is, and how fast: from the last steps that its chief has recorded."""

import contextlib
import itertools
import math
from collections.abc import Sequence

from launch.record.contents import StepRecord
from launch.record.files import Unreadable, read_end
from launch.record.rundir import RunDir
from launch.record.steps import StepReader, of_chief

_TAIL = 65536  # bytes of steps/ that are read: some hundred steps
_WINDOW_S = 20.0  # over which examples/s are averaged


def pace(run: RunDir, begin: Sequence[int] = (0, 0)) -> dict[str, float | None]:
    """How far a run is.

    Parameters
    ----------
    run : RunDir
        The run.
    begin : pair of int
        Bytes at the heads of the files of its chief that are not looked at, as they are those of earlier attempts.

    Returns
    -------
    dict
        step, steps, epoch, epochs, loss, examples_per_s (over all ranks), left_s; None where it is not known yet, or where
        the file that says it cannot be read: whoever watches a run goes on.
    """
    pace: dict[str, float | None] = dict.fromkeys(
        ("step", "steps", "epoch", "epochs", "loss", "examples_per_s", "left_s")
    )
    training, recorded = None, []
    with contextlib.suppress(Unreadable):
        training = run.training()
    if training:
        pace |= {"steps": training["steps"], "epochs": training["epochs"]}
    with contextlib.suppress(Unreadable):
        reader = StepReader(run)
        for path, skipped in zip(of_chief(run), begin):
            recorded += reader.steps(path, read_end(path, _TAIL, skipped).split(b"\n"))
    newest_first = (step for step in reversed(recorded) if step["rank"] == 0)
    last: StepRecord | None = next(newest_first, None)
    if last is None:
        return pace
    pace |= {"step": last["step"], "loss": last.get("loss")}
    since = last["start"] - _WINDOW_S
    recent = itertools.takewhile(
        lambda step: step["attempt"] == last["attempt"] and step["start"] >= since, newest_first
    )
    timed = [step["seconds"] for step in (last, *recent) if not step.get("compiled") and math.isfinite(step["seconds"])]
    rate = len(timed) / sum(timed) if sum(timed) > 0 else None
    if training:
        pace["epoch"] = round(last["step"] / training["steps_per_epoch"], 3)
        if rate:
            pace["examples_per_s"] = rate * training["global_batch"]
            pace["left_s"] = max(0.0, (training["steps"] - last["step"]) / rate)
    elif rate and "examples" in last:
        pace["examples_per_s"] = rate * last["examples"] * _recording(run, recorded)
    return pace


def _recording(run: RunDir, of_first_node: Sequence[StepRecord]) -> int:
    """How many ranks record steps: all, or the chief alone, whose examples are then those of all."""
    others = any(step["rank"] for step in of_first_node)
    with contextlib.suppress(Unreadable, OSError):
        plan = run.record()
        if others or any(path not in of_chief(run) for path in run.steps.iterdir()):
            return plan["nodes"] * plan["ranks_per_node"]
    return 1
