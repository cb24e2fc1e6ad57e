"""How far a training is, and how fast: from the last steps that its chief has recorded."""

import contextlib
import itertools

from launch.record.contents import StepRecord
from launch.record.files import Unreadable, objects, read_end
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
        step, steps, epoch, epochs, loss, examples_per_s (over all ranks), left_s; None where it is not known yet, or where
        the file that says it cannot be read: whoever watches a run goes on.
    """
    pace: dict[str, float | None] = dict.fromkeys(
        ("step", "steps", "epoch", "epochs", "loss", "examples_per_s", "left_s")
    )
    training, lines = None, b""
    with contextlib.suppress(Unreadable):
        training = run.training()
    if training:
        pace |= {"steps": training["steps"], "epochs": training["epochs"]}
    with contextlib.suppress(Unreadable):
        lines = read_end(run.steps / "node0.jsonl", _TAIL, begin)
    newest_first = (step for step in objects(reversed(lines.split(b"\n")), StepRecord) if step["rank"] == 0)
    last: StepRecord | None = next(newest_first, None)
    if last is None:
        return pace
    pace |= {"step": last["step"], "loss": last.get("loss")}
    if not training:
        return pace
    pace["epoch"] = round(last["step"] / training["steps_per_epoch"], 3)
    since = last.get("start", 0.0) - _WINDOW_S
    recent = itertools.takewhile(
        lambda step: step.get("attempt") == last.get("attempt") and step.get("start", 0.0) >= since, newest_first
    )
    timed = [step.get("seconds", 0.0) for step in (last, *recent) if not step.get("compiled")]
    if sum(timed) > 0:
        rate = len(timed) / sum(timed)
        pace["examples_per_s"] = rate * training["global_batch"]
        pace["left_s"] = max(0.0, (training["steps"] - last["step"]) / rate)
    return pace
