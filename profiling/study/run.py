"""A finished run of a study: its properties, and one throughput."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from launch.plan import figures
from launch.plan.figures import Scaling
from launch.record.contents import Event, PlanRecord, Result, Surroundings, TrainingRecord
from launch.record.performance.figures import Throughput, throughput
from launch.record.rundir import RunDir
from launch.record.study import Entry
from profiling import text
from profiling.study import programs, steps
from profiling.study.steps import Steps

SOFTWARE = ("python", "tensorflow", "tensorflow-cpu", "keras", "torch", "horovod", "openmpi", "mpi4py", "numpy")
"""Packages whose version may change a speed: all runs of a series have the same."""
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0, "min": 60.0, "h": 3600.0, "hours": 3600.0}
"""Units of times that a program prints."""


@dataclass(frozen=True)
class Run:
    """A finished run of a study."""

    directory: RunDir
    name: str
    series: str  # the workload and the values of the axes; runs of one series are compared
    nodes: int
    ranks: int
    repeat: int
    plan: PlanRecord
    environment: Surroundings
    training: TrainingRecord | None  # None for a program of the user's own
    result: Result
    events: Sequence[Event]
    started: float | None  # Unix seconds, first attempt
    ended: float | None
    steps: Steps
    printed: Throughput | None = None  # throughput by its figures of merit
    work: float | None = None  # reported work of all ranks: examples per step, or a figure; None if unreported
    work_unit: str | None = None

    @property
    def throughput(self) -> float:
        """Throughput of all ranks."""
        return self.printed.value if self.printed else self.steps.throughput

    @property
    def unit(self) -> str:
        """Unit of its throughput."""
        return self.printed.unit if self.printed else self.steps.unit

    @property
    def seconds(self) -> float:
        """Mean length of a step; without steps, the time of the run as it printed it, else that of the whole run."""
        for name in figures.names(self.plan.get("fom") or {}, ["time"]) if self.steps.whole else ():
            factor = SECONDS.get((self.result.get("units") or {}).get(name, "s"))
            value = (self.result.get("metrics") or {}).get(name)
            if factor and isinstance(value, int | float) and value > 0:
                return factor * value
        return float(self.steps.lengths.mean())

    @property
    def all_steps(self) -> int:
        """Number of steps that the run made, including those that are not timed."""
        return self.training["steps"] if self.training else self.result.get("steps", len(self.steps.number))

    @property
    def versions(self) -> dict[str, str]:
        """Versions of `SOFTWARE`, as imported if known, else as installed."""
        versions = {**(self.environment.get("packages") or {}), **(self.result.get("versions") or {})}
        return {name: versions[name] for name in SOFTWARE if name in versions}

    @property
    def phases(self) -> dict[str, float]:
        """Seconds of the phases that are known."""
        return {name: spent for name, spent in (self.result.get("phases_s") or {}).items() if spent is not None}

    @property
    def crowded(self) -> list[str]:
        """What the ranks share because there are fewer than ranks; with the local backend all nodes are one machine."""
        together = self.ranks if self.plan["backend"] == "local" else self.plan["ranks_per_node"]
        needed, cores = together * (self.plan.get("cpus_per_task") or 1), self.environment.get("cores")
        each = "core" if needed == together else f"set of {self.plan.get('cpus_per_task')} cores"
        shared = [f"{text.plural(cores, 'core')} of a node, not one {each} each"] if cores and needed > cores else []
        gpus = self.plan.get("gpus_per_node", 0)
        if 0 < gpus < self.plan["ranks_per_node"]:
            shared.append(f"{text.plural(gpus, 'GPU')} of a node, not one GPU each")
        return shared

    @property
    def gpus(self) -> int:
        """Number of GPUs of all nodes."""
        return self.plan.get("gpus_per_node", 0) * self.nodes

    @property
    def made_with(self) -> dict[str, str]:
        """What changes a speed, and must therefore be the same in all runs of a series."""
        hardware = {name: self.environment.get(name) for name in ("cpu", "driver")}
        gpus = ", ".join(sorted(set(self.environment.get("gpus") or [])))
        others = {"GPUs": gpus, "throughput in": self.unit}
        return {name: str(value) for name, value in {**self.versions, **hardware, **others}.items() if value}


def finished(run: RunDir, series: str, entry: Entry, scaling: Scaling) -> Run | None:
    """Return the run of an entry in a study's index; None if it has no result.

    Raises
    ------
    steps.Unusable
        If the run cannot be timed; the message says why.
    """
    if not os.path.lexists(run.run_json):
        raise steps.Unusable("it is missing: there is no run.json; resume its study to run it again")
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
        timed = steps.read(run, ranks, scaling, plan, events)
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
