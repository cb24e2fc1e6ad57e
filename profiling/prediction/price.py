"""What runs that were not made would take, from a forecast of their throughput: time, hours of the allocation, energy.

The interval of each number is that of the throughput: what else goes into it is held as the study measured it.
"""

from dataclasses import dataclass
from math import ceil

from launch.errors import Refusal
from profiling import text
from profiling.prediction.prediction import Forecast
from profiling.study import cost
from profiling.study.runs import Study
from profiling.study.steps import UNIT

_ABOUT = (
    0.05  # by which what all runs did may differ and still be called the same: a last batch is left out here and there
)
_BESIDE = ("queue", "train", "trace")  # phases that are no part of what a training takes beside its steps


@dataclass(frozen=True)
class Bounded:
    """A number and its interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Bounded":
        """All of it, in another unit."""
        return Bounded(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Price:
    """What one run would take; not measured."""

    nodes: int
    gpus: int
    step_seconds: Bounded
    training_seconds: (
        Bounded | None
    )  # the whole run, start to result; None where the study does not tell how long it is
    hours: Bounded | None  # of GPUs, or of nodes where there are none
    energy_j: Bounded | None  # of all GPUs while steps are made; None where no power was read


@dataclass(frozen=True)
class Rates:
    """What a study tells of its runs, to price others."""

    ranks_per_node: int
    gpus_per_node: int
    batch: float  # of a rank (weak) or of all (strong)
    kind: str
    work: dict[str, float]  # what all its runs did alike: examples, or steps; empty where neither is so
    beside_s: float  # seconds of a run beside its steps, on the largest number of ranks
    beside_ranks: int
    watts_per_gpu: float | None  # on the largest number of ranks of which it was read
    notes: tuple[str, ...]

    @property
    def unit(self) -> str:
        """Of the hours."""
        return "GPU-hours" if self.gpus_per_node else "node-hours"

    @property
    def hours_key(self) -> str:
        """Of the hours, in JSON."""
        return self.unit.lower().replace("-", "_")


def rates(study: Study, kind: str) -> Rates:
    """What the runs of a study tell.

    Parameters
    ----------
    study : Study
        Of one series.
    kind : str
        ``weak`` or ``strong``.

    Raises
    ------
    Refusal
        If its nodes do not have equally many ranks and GPUs.
    """
    shapes = {(run.plan["ranks_per_node"], run.plan["gpus_per_node"]) for run in study.runs}
    if len(shapes) > 1:
        said = ", ".join(f"{ranks} ranks and {gpus} GPUs" for ranks, gpus in sorted(shapes))
        raise Refusal(f"nodes of {study.folder} differ ({said} a node): give --workers in place of --nodes")
    ((ranks_per_node, gpus_per_node),) = shapes
    largest = [run for run in study.runs if run.ranks == max(each.ranks for each in study.runs)]
    beside = [
        sum(seconds or 0 for name, seconds in run.result.get("phases_s", {}).items() if name not in _BESIDE)
        for run in largest
    ]
    examples = largest[0].steps.examples
    watts = None
    for ranks in sorted({run.ranks for run in study.runs}):
        used = [run for run in study.runs if run.ranks == ranks]
        power = cost.of_point(study, used).get("power_w")
        watts = power / used[0].gpus if power is not None and used[0].gpus else watts
    work = _work(study)
    notes = (
        [] if work else ["the runs of the study differ in examples and in steps: how long a training is, is not told"]
    )
    return Rates(
        ranks_per_node,
        gpus_per_node,
        examples / largest[0].ranks if kind == "weak" else examples,
        kind,
        work,
        sum(beside) / len(beside),
        largest[0].ranks,
        watts,
        tuple(notes),
    )


def price(known: Rates, forecast: Forecast) -> Price:
    """What one run would take that has the throughput of a forecast."""
    batch = known.batch * forecast.workers if known.kind == "weak" else known.batch
    # The slowest throughput takes longest.
    step = Bounded(batch / forecast.throughput, batch / forecast.high, batch / forecast.low)
    nodes = ceil(forecast.workers / known.ranks_per_node)
    gpus = known.gpus_per_node * nodes
    if not known.work:
        return Price(nodes, gpus, step, None, None, None)
    steps = known.work["steps"] if "steps" in known.work else ceil(known.work["examples"] / batch)
    stepping = step.times(steps)
    whole = Bounded(*(each + known.beside_s for each in (stepping.value, stepping.low, stepping.high)))
    energy = stepping.times(known.watts_per_gpu * gpus) if known.watts_per_gpu is not None and gpus else None
    return Price(nodes, gpus, step, whole, whole.times((gpus or nodes) / 3600), energy)


def notes(known: Rates) -> list[str]:
    """What the numbers rest on."""
    said = list(known.notes)
    if known.work:
        ((what, amount),) = known.work.items()
        said.append(
            f"a training is {text.number(amount, 6)} {what}, as in the runs of the study, and {text.number(known.beside_s, 3)} s for start, compilation, evaluation "
            f"and checkpoints, as on {known.beside_ranks} ranks; the wait in the queue is not in it"
        )
    if known.watts_per_gpu is not None:
        said.append(
            f"energy: {text.number(known.watts_per_gpu, 4)} W a GPU, as measured on the largest number of ranks that was read"
        )
    return said


def _work(study: Study) -> dict[str, float]:
    """What is the same in all runs: examples (a number of epochs that is held), else steps."""
    amounts = {"steps": [run.all_steps for run in study.runs]}
    if study.unit == UNIT:
        amounts = {"examples": [run.all_steps * run.steps.examples for run in study.runs], **amounts}
    for what, each in amounts.items():
        if max(each) <= (1 + _ABOUT) * min(each):
            return {what: max(each)}
    return {}
