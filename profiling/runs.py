"""A study's runs -> readings of a scaling table: one throughput a run, from the records of its steps."""

from pathlib import Path
from typing import Any, NamedTuple

from launch.errors import Refusal
from launch.rundir import RunDir, read_json, read_lines
from launch.study import INDEX

WARM_UP = 0.1
"""Part of a run's steps, the first ones, that is not timed: caches fill, clocks rise, allocators grow."""


class Measured(NamedTuple):
    """What the records of a run say of its speed."""

    throughput: float  # examples/s over all ranks: examples of the timed steps over their time
    timed: int  # steps
    left_out: int  # steps: compiled, traced, or warm-up


def is_study(path: Path) -> bool:
    """Whether a path is the folder of a study."""
    return (path / INDEX).is_file()


def cells(folder: Path) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
    """The readings of a study, and notes on what stands behind them.

    Parameters
    ----------
    folder : Path
        Of the study.

    Returns
    -------
    list of (str, dict)
        Name of the run; workers (ranks), throughput (examples/s), kind and name of the series: one series for each
        combination of the study's axes.
    list of str
        How the speed was measured, and which runs are missing.

    Raises
    ------
    Refusal
        If no run has finished, or if neither the batch of a rank nor that of all is held.
    """
    index = read_json(folder / INDEX)
    readings, measured, missing = [], [], []
    for entry in index["runs"]:
        run = RunDir(folder / entry["run"])
        training = read_json(run.training_json)
        if run.result() is None or training is None:
            missing.append(entry["run"])
            continue
        speed = measure(run, training["global_batch"])
        measured.append(speed)
        values = ", ".join(f"{name}={value}" for name, value in entry["values"].items() if name != "seed")
        ranks = run.result()["ranks"]
        reading = {"workers": ranks, "throughput": speed.throughput, "unit": "examples/s"}
        reading |= {"name": f"{index['workload']} {values}".strip(), "batch": training["global_batch"]}
        readings.append((entry["run"], reading))
    if not readings:
        raise Refusal(f"no training of {folder} has finished: go on with it: python -m launch resume {folder}")
    for name in {reading["name"] for _, reading in readings}:
        _tell_kind(folder, [(run, reading) for run, reading in readings if reading["name"] == name])
    timed, left_out = sum(speed.timed for speed in measured), sum(speed.left_out for speed in measured)
    notes = [
        f"{timed} steps of {len(measured)} runs are timed, from the wait for the batch to the update of the weights; {left_out} are "
        f"left out: compiled, traced, or among the first {WARM_UP:.0%} of a run"
    ]
    if missing:
        notes.append(f"not finished, so not in the table: {', '.join(missing)}")
    return readings, notes


def measure(run: RunDir, global_batch: int) -> Measured:
    """The speed of a run: work over time, as rates demand (Hoefler & Belli, SC15, rule 3).

    The chief's records stand for all: a step ends on every rank when the gradients of all have met. Of a step that a kill
    made necessary again, the last record counts.

    Raises
    ------
    Refusal
        If there are too few steps to time.
    """
    steps = {line["step"]: line for line in read_lines(run.steps / "node0.jsonl") if line["rank"] == 0}
    usable = [steps[number] for number in sorted(steps) if not (steps[number]["compiled"] or steps[number]["traced"])]
    timed = usable[max(1, round(WARM_UP * len(usable))) :]
    if not timed:
        raise Refusal(f"{run.path} has {len(steps)} steps, too few to time: train for longer")
    seconds = sum(step["seconds"] for step in timed)
    return Measured(global_batch * len(timed) / seconds, len(timed), len(steps) - len(timed))


def _tell_kind(folder: Path, readings: list[tuple[str, dict[str, Any]]]) -> None:
    """Weak or strong by what the runs did, not by what they were called."""
    together = {reading["batch"] for _, reading in readings}
    a_rank = {reading["batch"] / reading["workers"] for _, reading in readings}
    if len(a_rank) > 1 and len(together) > 1:
        said = "; ".join(f"{run}: {reading['batch']} on {reading['workers']} ranks" for run, reading in readings[:6])
        raise Refusal(
            f"{folder} holds neither the batch of a rank (weak scaling) nor that of all ranks (strong): {said}"
        )
    for _, reading in readings:
        reading["kind"] = "weak" if len(a_rank) == 1 else "strong"
