"""A study -> the runs that can be compared, one throughput each, and which were left out and why."""

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from launch.errors import Refusal, command
from launch.record.contents import Entry, Event, PlanRecord, Result, StudyIndex, Surroundings, TrainingRecord
from launch.record.files import Unreadable
from launch.record.rundir import INDEX, RunDir, read_index
from launch.submit import states as known
from profiling.study import steps
from profiling.study.steps import Steps
from profiling.telemetry import readings


@dataclass(frozen=True)
class Run:
    """A finished run of a study."""

    name: str
    series: str  # the workload and the values of the axes, by which runs are compared
    nodes: int
    ranks: int
    repeat: int
    plan: PlanRecord
    surroundings: Surroundings
    training: TrainingRecord | None  # None of a program of the user's own
    result: Result
    events: Sequence[Event]
    started: float | None  # Unix seconds, first attempt
    ended: float | None
    steps: Steps

    @property
    def throughput(self) -> float:
        """Over all ranks: work over time, as rates demand (Hoefler & Belli, SC15, rule 3)."""
        return self.steps.throughput

    @property
    def all_steps(self) -> int:
        """How many steps it made, those included that are not timed."""
        return self.training["steps"] if self.training else self.result.get("steps", len(self.steps.number))

    @property
    def versions(self) -> dict[str, str]:
        """Of `SOFTWARE`, as installed, or better as imported."""
        found = {**(self.surroundings.get("packages") or {}), **(self.result.get("versions") or {})}
        return {name: found[name] for name in SOFTWARE if name in found}

    @property
    def gpus(self) -> int:
        """Of all nodes."""
        return self.plan.get("gpus_per_node", 0) * self.nodes


SOFTWARE = ("python", "tensorflow", "tensorflow-cpu", "keras", "torch", "horovod", "openmpi", "mpi4py", "numpy")
"""Whose versions may change a speed: the runs of a series have the same."""


class LeftOut(NamedTuple):
    """A run that is not in the table."""

    run: str
    why: str


@dataclass(frozen=True)
class Study:
    """The runs of a study, or of one of its series."""

    folder: Path
    index: StudyIndex
    runs: tuple[Run, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def series(self) -> list[str]:
        """Names: one for each combination of the axes, seeds apart."""
        return list(dict.fromkeys(run.series for run in self.runs))

    @property
    def unit(self) -> str:
        """Of the throughputs of its runs."""
        return self.runs[0].steps.unit

    def only(self, series: str) -> "Study":
        """One series of it."""
        index = self.index | {"runs": [entry for entry in self.index["runs"] if _series(self.index, entry) == series]}
        names = {entry["run"] for entry in index["runs"]}
        runs = tuple(run for run in self.runs if run.series == series)
        return dataclasses.replace(
            self, index=index, runs=runs, left_out=tuple(left for left in self.left_out if left.run in names)
        )


def is_study(path: Path) -> bool:
    """Whether a path is the folder of a study."""
    return os.path.isfile(path / INDEX)


def read(folder: Path) -> Study:
    """The runs of a study that have finished and can be compared.

    Parameters
    ----------
    folder : Path
        Of the study.

    Raises
    ------
    Refusal
        If there is none: no run in the index, or none that has finished and can be timed.
    """
    index = read_index(folder)
    if not index or not index["runs"]:
        raise Refusal(f"{folder} is a study without runs: make one with python -m launch --nodes 1,2,4 WORKLOAD")
    found, left_out = [], []
    for entry in index["runs"]:
        try:
            scaling = index.get("scaling", "weak")
            found.append(_run(RunDir(folder / entry["run"]), _series(index, entry), entry, scaling))
        except steps.Unusable as why:
            left_out.append(LeftOut(entry["run"], str(why)))
        except Unreadable as error:
            left_out.append(LeftOut(entry["run"], error.reason))
        except KeyError as error:
            left_out.append(LeftOut(entry["run"], f"a file of it lacks {error}"))
    for series in dict.fromkeys(run.series for run in found):
        left_out += _unlike([run for run in found if run.series == series])
    names = {left.run for left in left_out}
    found = [run for run in found if run.name not in names]
    if not found:
        why = "; ".join(f"{left.run}: {left.why}" for left in left_out[:3])
        unfinished = any(not RunDir(folder / entry["run"]).result_json.exists() for entry in index["runs"])
        advice = f": go on with it: {command('resume', folder)}" if unfinished else ""
        raise Refusal(f"no run of {folder} can be timed ({why}){advice}")
    order = [entry["run"] for entry in index["runs"]]
    return Study(folder, index, tuple(found), tuple(sorted(left_out, key=lambda left: order.index(left.run))))


def kind(study: Study) -> str:
    """Weak or strong, by what the runs of a series did and not by what the study was called.

    Raises
    ------
    Refusal
        If neither the batch of a rank nor that of all is held.
    """
    together = {run.steps.examples for run in study.runs}
    a_rank = {run.steps.examples / run.ranks for run in study.runs}
    if len(a_rank) > 1 and len(together) > 1:
        said = "; ".join(f"{run.name}: {run.steps.examples} on {run.ranks} ranks" for run in study.runs[:6])
        raise Refusal(
            f"{study.folder} holds neither the batch of a rank (weak scaling) nor that of all ranks (strong): {said}"
        )
    return "weak" if len(a_rank) == 1 else "strong"


def notes(study: Study) -> list[str]:
    """What the reader of a table must know of the runs behind it: what was timed, and what was left out and why."""
    timed = sum(len(run.steps.number) for run in study.runs)
    left = sum((Counter(run.steps.left_out) for run in study.runs), Counter())
    training = all(run.training for run in study.runs)
    what = "from the wait for the batch to the update of the weights" if training else "as the program recorded them"
    counted = f": {', '.join(f'{count} {reason}' for reason, count in left.items())}" if left else ""
    said = [f"{timed} steps of {len(study.runs)} runs are timed, {what}; {left.total()} are left out{counted}"]
    said += [f"{run.name}: {doubt}" for run in study.runs for doubt in run.steps.doubts]
    said += [
        f"{run.name}: readings/{path.name} is damaged and left out"
        for run in study.runs
        for path in readings.parquet(RunDir(study.folder / run.name).readings).damaged
    ]
    reasons: dict[str, list[str]] = {}
    for name, why in study.left_out:
        reasons.setdefault(why, []).append(name)
    said += [f"left out: {', '.join(names)}: {why}" for why, names in reasons.items()]
    planned = Counter(entry["nodes"] for entry in study.index["runs"])
    made = Counter(run.nodes for run in study.runs)
    said += [
        f"{nodes} node{'s' * (nodes > 1)}: {made[nodes]} of {count} repeats are in the table"
        for nodes, count in planned.items()
        if made[nodes] < count
    ]
    return said


def program(index: StudyIndex) -> str:
    """What a study runs: a module, or the name of a file without the folders of the machine."""
    return str(index.get("workload")).rpartition("/")[2]


def _series(index: StudyIndex, entry: Entry) -> str:
    values = ", ".join(f"{name}={value}" for name, value in entry["values"].items() if name != "seed")
    return f"{program(index)} {values}".strip()


def _run(run: RunDir, series: str, entry: Entry, scaling: str) -> Run:
    if not os.path.lexists(run.run_json):
        raise steps.Unusable("it is gone: there is no run.json")
    result, training, plan = run.result(), run.training(), run.record()
    if result is None:
        raise steps.Unusable(_state(run))
    if training is None and plan.get("kind", "workload") == "workload":
        raise steps.Unusable("it is not the training of a workload: there is no training.json")
    timed = steps.read(run, result["ranks"], scaling)
    if training and timed.examples != training["global_batch"]:
        raise steps.Unusable(
            f"its steps are of {timed.examples} examples, but it was to train with {training['global_batch']}"
        )
    events = run.events()
    return Run(
        name=entry["run"],
        series=series,
        nodes=result["nodes"],
        ranks=result["ranks"],
        repeat=entry["repeat"],
        plan=plan,
        surroundings=run.surroundings(),
        training=training,
        result=result,
        events=events,
        started=min((event["time"] for event in events if event["event"] == "started"), default=None),
        ended=max((event["time"] for event in events if event["event"] == "ended"), default=None),
        steps=timed,
    )


def _state(run: RunDir) -> str:
    """Why there is no result, as python -m launch status says it."""
    (state,), _ = known.look([run.path])
    if state.state == "done":
        return "it is done, but its result.json is gone"
    return f"{state.state}{f' ({state.reason})' if state.reason else ''}"


def _unlike(runs: Sequence[Run]) -> list[LeftOut]:
    """The runs of a series that other software or hardware made than most of the others."""
    made = [_made_with(run) for run in runs]
    usual = Counter(tuple(sorted(each.items())) for each in made).most_common(1)[0][0]
    left_out = []
    for run, each in zip(runs, made):
        differs = [
            f"{name} {each.get(name, 'absent')}, others {dict(usual).get(name, 'absent')}"
            for name in sorted({*each, *dict(usual)})
            if each.get(name) != dict(usual).get(name)
        ]
        if differs:
            left_out.append(LeftOut(run.name, f"made with something else than most of the runs: {'; '.join(differs)}"))
    return left_out


def _made_with(run: Run) -> dict[str, str]:
    """What changes a speed, and must be the same in all runs of a series."""
    here = run.surroundings
    hardware = {name: here.get(name) for name in ("cpu", "driver")} | {"unit": run.steps.unit}
    gpus = ", ".join(sorted(set(here.get("gpus") or [])))
    return {name: str(value) for name, value in {**run.versions, **hardware, "GPUs": gpus}.items() if value}
