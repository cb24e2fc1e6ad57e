"""A study -> the runs that can be compared, one throughput each, and which were left out and why."""

import dataclasses
import functools
import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.errors import Refusal, command
from launch.plan import figures
from launch.plan.figures import Scaling
from launch.record.contents import Entry, Event, PlanRecord, Result, StudyIndex, Surroundings, TrainingRecord
from launch.record.figures import Throughput, throughput
from launch.record.files import Unreadable
from launch.record.rundir import RunDir, read_index, strangers
from profiling import text
from profiling.study import programs, steps
from profiling.study.steps import Steps
from profiling.telemetry import readings

SOFTWARE = ("python", "tensorflow", "tensorflow-cpu", "keras", "torch", "horovod", "openmpi", "mpi4py", "numpy")
"""Whose versions may change a speed: the runs of a series have the same."""
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0, "min": 60.0, "h": 3600.0, "hours": 3600.0}
"""Units of a time that a program prints."""


@dataclass(frozen=True)
class Run:
    """A finished run of a study."""

    directory: RunDir
    name: str
    series: str  # the workload and the values of the axes, by which runs are compared
    nodes: int
    ranks: int
    repeat: int
    plan: PlanRecord
    environment: Surroundings
    training: TrainingRecord | None  # None of a program of the user's own
    result: Result
    events: Sequence[Event]
    started: float | None  # Unix seconds, first attempt
    ended: float | None
    steps: Steps
    printed: Throughput | None = None  # what its figures of merit say of it
    work: float | None = None  # that it reports, of all ranks: examples per step, or a figure; None where it does not
    work_unit: str | None = None

    @property
    def throughput(self) -> float:
        """Over all ranks."""
        return self.printed.value if self.printed else self.steps.throughput

    @property
    def unit(self) -> str:
        """Of its throughput."""
        return self.printed.unit if self.printed else self.steps.unit

    @property
    def seconds(self) -> float:
        """Mean length of a step; of a run without steps its time, as it has printed it or else as a whole."""
        for name in figures.names(self.plan.get("fom") or {}, ["time"]) if self.steps.whole else ():
            factor = SECONDS.get((self.result.get("units") or {}).get(name, "s"))
            value = (self.result.get("metrics") or {}).get(name)
            if factor and isinstance(value, int | float) and value > 0:
                return factor * value
        return float(self.steps.rank0_seconds.mean())

    @property
    def all_steps(self) -> int:
        """How many steps it made, with those that are not timed."""
        return self.training["steps"] if self.training else self.result.get("steps", len(self.steps.number))

    @property
    def versions(self) -> dict[str, str]:
        """Of `SOFTWARE`, as installed, or better as imported."""
        versions = {**(self.environment.get("packages") or {}), **(self.result.get("versions") or {})}
        return {name: versions[name] for name in SOFTWARE if name in versions}

    @property
    def phases(self) -> dict[str, float]:
        """Seconds of the phases that are known."""
        return {name: spent for name, spent in (self.result.get("phases_s") or {}).items() if spent is not None}

    @property
    def gpus(self) -> int:
        """Of all nodes."""
        return self.plan.get("gpus_per_node", 0) * self.nodes

    @property
    def made_with(self) -> dict[str, str]:
        """What changes a speed, and must be the same in all runs of a series."""
        hardware = {name: self.environment.get(name) for name in ("cpu", "driver")}
        gpus = ", ".join(sorted(set(self.environment.get("gpus") or [])))
        others = {"GPUs": gpus, "throughput in": self.unit}
        return {name: str(value) for name, value in {**self.versions, **hardware, **others}.items() if value}


@dataclass(frozen=True)
class Study:
    """The runs of a study, or of one of its series."""

    folder: Path
    index: StudyIndex
    runs: tuple[Run, ...]
    left_out: dict[str, str]  # runs that are not in the table -> why

    @property
    def series(self) -> list[str]:
        """Names: one for each combination of the axes, seeds apart."""
        return list(dict.fromkeys(run.series for run in self.runs))

    @property
    def unit(self) -> str:
        """Of the throughput of its runs."""
        return self.runs[0].unit

    @property
    def whole(self) -> bool:
        """Whether its runs have no steps."""
        return any(run.steps.whole for run in self.runs)

    @functools.cached_property
    def by_ranks(self) -> dict[int, list[Run]]:
        """The repeats of each number of ranks, by rising number."""
        sizes = sorted({run.ranks for run in self.runs})
        return {ranks: [run for run in self.runs if run.ranks == ranks] for ranks in sizes}

    def only(self, series: str) -> "Study":
        """One series of it."""
        entries = [entry for entry in self.index["runs"] if _series(self.index, entry) == series]
        names = {entry["run"] for entry in entries}
        return dataclasses.replace(
            self,
            index=self.index | {"runs": entries},
            runs=tuple(run for run in self.runs if run.series == series),
            left_out={name: why for name, why in self.left_out.items() if name in names},
        )


def read(
    folder: Path, states: Callable[[Sequence[Path]], Sequence[str]] | None = None, scaling: Scaling | None = None
) -> Study:
    """The runs of a study that have finished and can be compared.

    ``states`` says of runs without a result why they have none; it is asked once for all of them. ``scaling`` is that
    of programs that do not report their work, by default what the study was asked for.

    Raises
    ------
    Refusal
        If there is none: no run in the index, or none that has finished and can be timed.
    """
    found = read_index(folder)
    if not found or not found["runs"]:
        raise Refusal(f"{folder} is a study without runs: make one with {command('--nodes 1,2,4 WORKLOAD')}")
    index: StudyIndex = {**found, "scaling": scaling or found.get("scaling", "weak")}
    runs: list[Run] = []
    why: dict[str, str] = {}
    unfinished: dict[str, Path] = {}
    for entry in index["runs"]:
        path = folder / entry["run"]
        try:
            if run := _run(RunDir(path), _series(index, entry), entry, index.get("scaling", "weak")):
                runs.append(run)
            else:
                unfinished[entry["run"]] = path
        except steps.Unusable as reason:
            why[entry["run"]] = str(reason)
        except Unreadable as error:
            why[entry["run"]] = error.reason
    paths = list(unfinished.values())
    why |= zip(unfinished, states(paths) if states and paths else ["it has no result"] * len(paths))
    for series in dict.fromkeys(run.series for run in runs):
        why |= _unlike([run for run in runs if run.series == series])
    left_out = {entry["run"]: why[entry["run"]] for entry in index["runs"] if entry["run"] in why}
    runs = programs.speeds([run for run in runs if run.name not in why])
    if not runs:
        some = "; ".join(f"{name}: {reason}" for name, reason in itertools.islice(left_out.items(), 3))
        advice = f": resume it: {command('resume', folder)}" if unfinished else ""
        raise Refusal(f"no run of {folder} can be timed ({some}){advice}")
    return Study(folder, index, tuple(runs), left_out)


def kind(study: Study) -> str:
    """Weak or strong, by what the runs of a series did and not by what the study was called.

    Raises
    ------
    Refusal
        If neither the work per rank nor that of all is held.
    """
    works = [run.work for run in study.runs if run.work is not None]
    if len(works) < len(study.runs):
        return study.index.get("scaling", "weak")
    if programs.alike(work / run.ranks for work, run in zip(works, study.runs)):
        return "weak"
    if programs.alike(works):
        return "strong"
    some = "; ".join(f"{run.name}: {run.work:.15g} on {text.plural(run.ranks, 'rank')}" for run in study.runs[:6])
    raise Refusal(f"{study.folder} holds neither the work per rank (weak scaling) nor that of all (strong): {some}")


def notes(study: Study) -> list[str]:
    """What the reader of a table must know of the runs behind it: what was timed, and what was left out and why."""
    timed = sum(len(run.steps.number) for run in study.runs)
    left = sum((Counter(run.steps.left_out) for run in study.runs), Counter())
    training = all(run.training for run in study.runs)
    extent = "from the wait for the batch to the update of the weights" if training else "as the program recorded them"
    counted = f": {', '.join(f'{count} {reason}' for reason, count in left.items())}" if left else ""
    runs = text.plural(len(study.runs), "run")
    lines = [f"{timed} steps of {runs} are timed, {extent}; {left.total()} are left out{counted}"]
    if study.whole:
        lines = [
            f"{runs} without records of steps are timed as a whole: from the start of the ranks, start-up included, to "
            "the end"
        ]
    if any(run.printed for run in study.runs):
        lines[:1] = [programs.printed_note(study), *lines[: not study.whole]]
    if any(run.work is None for run in study.runs):
        lines.append(programs.scaling_note(study))
    if apart := programs.cooperation_note(study):
        lines.append(apart)
    lines += [f"{run.name}: {doubt}" for run in study.runs for doubt in run.steps.doubts]
    lines += [f"{run.name}: not known: {trouble}" for run in study.runs for trouble in run.result.get("troubles", [])]
    lines += [
        f"{run.name}: readings/{path.name} is damaged and left out"
        for run in study.runs
        for path in readings.parquet(run.directory.readings).damaged
    ]
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, why in study.left_out.items():
        reasons[why].append(name)
    lines += [f"left out: {', '.join(names)}: {why}" for why, names in reasons.items()]
    lines += [f"{name} is not a part of the study and does not count" for name in strangers(study.folder)]
    planned = Counter(entry["nodes"] for entry in study.index["runs"])
    timed_runs = Counter(run.nodes for run in study.runs)
    lines += [
        f"{text.plural(nodes, 'node')}: {timed_runs[nodes]} of {text.plural(count, 'repeat')} are in the table"
        for nodes, count in planned.items()
        if timed_runs[nodes] < count
    ]
    return lines


def _series(index: StudyIndex, entry: Entry) -> str:
    workload = Path(index.get("workload", "")).name  # of a script, without its folder
    values = ", ".join(f"{name}={value}" for name, value in entry["values"].items() if name != "seed")
    return f"{workload} {values}".strip()


def _run(run: RunDir, series: str, entry: Entry, scaling: Scaling) -> Run | None:
    """A run of a study; None without a result."""
    if not os.path.lexists(run.run_json):
        raise steps.Unusable(f"it is missing: there is no run.json; run it again: {command('resume', run.path.parent)}")
    plan, result, training = run.record(), run.result(), run.training()
    if result is None:
        return None
    if training is None and plan.get("kind", "workload") == "workload":
        raise steps.Unusable("it is not the training of a workload: there is no training.json")
    nodes = result.get("nodes", plan["nodes"])
    ranks = result.get("ranks", nodes * plan["ranks_per_node"])
    events, fom = run.events(), plan.get("fom") or {}
    work = programs.work(fom, result)
    printed = throughput(fom, result, scaling, ranks)
    try:
        timed = steps.read(run, ranks, scaling)
    except steps.Unusable as reason:
        if training or not (printed or isinstance(reason, steps.Unrecorded)):
            raise
        timed = steps.of_run(result, events, ranks, scaling, work)
    if training and timed.examples != training["global_batch"]:
        raise steps.Unusable(
            f"its steps are of {timed.examples} examples, but it was to train with {training['global_batch']}"
        )
    counted = timed.examples if timed.unit == steps.UNIT else None
    return Run(
        directory=run,
        name=entry["run"],
        series=series,
        nodes=nodes,
        ranks=ranks,
        repeat=entry["repeat"],
        plan=plan,
        environment=run.surroundings(),
        training=training,
        result=result,
        events=events,
        started=min((event["time"] for event in events if event["event"] == "started"), default=None),
        ended=max((event["time"] for event in events if event["event"] == "ended"), default=None),
        steps=timed,
        printed=printed,
        work=work.value if work else counted,
        work_unit=work.unit if work else None if counted is None else "examples",
    )


def _unlike(runs: Sequence[Run]) -> dict[str, str]:
    """The runs of a series that were made with other software or hardware than most: name -> why."""
    usual = dict(Counter(tuple(sorted(run.made_with.items())) for run in runs).most_common(1)[0][0])
    unlike = {}
    for run in runs:
        differs = [
            f"{name} {run.made_with.get(name, 'absent')}, others {usual.get(name, 'absent')}"
            for name in sorted({*run.made_with, *usual})
            if run.made_with.get(name) != usual.get(name)
        ]
        if run.unit != usual["throughput in"] and (troubles := run.result.get("troubles")):
            unlike[run.name] = f"its throughput is not known: {'; '.join(troubles)}"
        elif differs:
            unlike[run.name] = f"made with something else than most of the runs: {'; '.join(differs)}"
    return unlike
