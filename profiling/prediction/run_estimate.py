"""What further runs would take, from a forecast of their throughput: time, hours of the allocation, energy.

The interval of each number is that of the throughput; everything else is taken as the study measured it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from launch.errors import Refusal
from profiling import text
from profiling.prediction.prediction import Forecast
from profiling.study import resource_usage
from profiling.study.cost import JOULES_PER_KWH, NO_TARIFF, Tariff
from profiling.study.runs import Study
from profiling.study.steps import UNIT

_ALIKE = 0.05  # relative difference of work that still counts as the same: a last batch may be left out
_BESIDE = ("queue", "train", "trace")  # phases that do not count as time outside the steps


@dataclass(frozen=True)
class Bounded:
    """A number and its interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Bounded":
        """Return the number and its interval times a factor, as in another unit."""
        return Bounded(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Estimate:
    """What one run would take; not measured."""

    nodes: int
    gpus: int
    step_seconds: Bounded | None  # None where the runs have no steps
    training_seconds: Bounded | None = (
        None  # the whole run, start to result; None if the study does not say how long it is
    )
    hours: Bounded | None = None  # hours of GPUs, or of nodes if these have no GPUs
    energy_j: Bounded | None = None  # energy of all GPUs during the steps; None if no power was read


@dataclass(frozen=True)
class Rates:
    """What the runs of a study tell, as the basis for estimates of others."""

    ranks_per_node: int
    gpus_per_node: int
    batch: float  # work of a step: per rank (weak) or of all ranks (strong)
    kind: str
    work: dict[str, float]  # what all runs did equally, "examples" or "steps", and how many; empty if neither
    beside_s: float  # seconds of a run outside its steps, on the largest number of ranks
    beside_ranks: int
    watts_per_gpu: float | None  # power on the largest number of ranks for which it was read; None if never
    whole: bool = False  # whether its runs have no steps: the batch is then what a run does, in the unit of throughput

    @property
    def unit(self) -> str:
        """Unit of the hours."""
        return "GPU-hours" if self.gpus_per_node else "node-hours"

    @property
    def hours_key(self) -> str:
        """Key of the hours in JSON."""
        return self.unit.lower().replace("-", "_")


def rates(study: Study, kind: str) -> Rates:
    """Return what the runs of a study of one series tell about further runs.

    Raises
    ------
    Refusal
        If its nodes do not have equally many ranks and GPUs.
    """
    shapes = {(run.plan["ranks_per_node"], run.plan.get("gpus_per_node", 0)) for run in study.runs}
    if len(shapes) > 1:
        listed = ", ".join(f"{ranks} ranks and {gpus} GPUs" for ranks, gpus in sorted(shapes))
        raise Refusal(f"nodes of {study.folder} differ ({listed} per node): give --workers in place of --nodes")
    ((ranks_per_node, gpus_per_node),) = shapes
    largest = study.by_ranks[max(study.by_ranks)]
    beside = [sum(spent for name, spent in run.phases.items() if name not in _BESIDE) for run in largest]
    ranks = largest[0].ranks
    done, work = largest[0].steps.examples, _work(study)
    if largest[0].printed:
        done = largest[0].throughput * largest[0].seconds
    if study.whole:  # the work of a run, from its throughput and its time
        amounts = [run.throughput * run.seconds / (run.ranks if kind == "weak" else 1) for run in study.runs]
        work = {"steps": 1.0} if max(amounts) <= (1 + _ALIKE) * min(amounts) else {}
    watts = None
    for runs in study.by_ranks.values():
        power = resource_usage.of_point(runs).get("power_w")
        watts = power / runs[0].gpus if power is not None and runs[0].gpus else watts
    return Rates(
        ranks_per_node,
        gpus_per_node,
        done / ranks if kind == "weak" else done,
        kind,
        work,
        0.0 if study.whole else sum(beside) / len(beside),
        ranks,
        watts,
        study.whole,
    )


def estimate(rates: Rates, forecast: Forecast) -> Estimate:
    """Estimate what one run with the throughput of a forecast would take."""
    batch = rates.batch * forecast.workers if rates.kind == "weak" else rates.batch
    # The slowest throughput takes longest.
    step = Bounded(batch / forecast.throughput, batch / forecast.high, batch / forecast.low)
    nodes = ceil(forecast.workers / rates.ranks_per_node)
    gpus = rates.gpus_per_node * nodes
    if not rates.work:
        return Estimate(nodes, gpus, None if rates.whole else step)
    steps = rates.work["steps"] if "steps" in rates.work else ceil(rates.work["examples"] / batch)
    stepping = step.times(steps)
    whole = Bounded(*(seconds + rates.beside_s for seconds in (stepping.value, stepping.low, stepping.high)))
    energy = stepping.times(rates.watts_per_gpu * gpus) if rates.watts_per_gpu is not None and gpus else None
    return Estimate(nodes, gpus, None if rates.whole else step, whole, whole.times((gpus or nodes) / 3600), energy)


def price(rates: Rates, estimate: Estimate, tariff: Tariff) -> Bounded | None:
    """Return the price of a run; None without a price in the tariff, or if it is unknown how long a run takes."""
    if estimate.training_seconds is None:
        return None
    hour = tariff.paid(3600, estimate.nodes, rates.gpus_per_node * estimate.nodes)
    return None if hour is None else estimate.training_seconds.times(hour / 3600)


def as_json(rates: Rates, forecast: Forecast, tariff: Tariff = NO_TARIFF) -> dict[str, Any]:
    """Return the keys of an estimate for JSON: each number with its bounds, None if unknown, and the tariff's costs."""
    made = estimate(rates, forecast)
    row = asdict(made)
    row[rates.hours_key] = row.pop("hours")
    if tariff.kg_per_kwh is not None:
        row["carbon_kg"] = made.energy_j and asdict(made.energy_j.times(tariff.kg_per_kwh / JOULES_PER_KWH))
    if tariff.price is not None:
        cost = price(rates, made, tariff)
        row["price"] = cost and asdict(cost)
    return row


def columns(
    rates: Rates, confidence: float, forecasts: Sequence[dict[str, Any]], tariff: Tariff = NO_TARIFF
) -> list[tuple[str, text.Form]]:
    """Return the columns of a table of what `as_json` returned for some forecasts, without those that have no value."""
    level = f"{confidence:.0%} interval"
    numbers = (
        ("step_seconds", "step [ms]", 1e3),
        ("training_seconds", "run [s]" if rates.whole else "training [s]", 1.0),
        (rates.hours_key, rates.unit, 1.0),
        ("energy_j", "GPU energy [kWh]", 1 / JOULES_PER_KWH),
        ("carbon_kg", "CO2e [kg]", 1.0),
        ("price", f"price [{tariff.currency}]" if tariff.currency else "price", 1.0),
    )
    present = [number for number in numbers if any(forecast.get(number[0]) for forecast in forecasts)]
    return [
        ("nodes", text.value("nodes", str)),
        *([("GPUs", text.value("gpus", str))] if rates.gpus_per_node else []),
        *(column for key, title, factor in present for column in bounded(key, title, level, factor)),
    ]


def bounded(key: str, title: str, level: str, factor: float) -> list[tuple[str, text.Form]]:
    """Return a column for a `Bounded`, and one for its interval."""
    value, interval = text.estimate("value", "low", "high", factor)
    return [(title, text.value(key, value)), (level, text.value(key, interval))]


def notes(rates: Rates) -> list[str]:
    """Return notes on what the numbers are based on."""
    lines = []
    if rates.whole and rates.work:
        lines.append("a run does the work of those of the study, and its time is taken as theirs is in the report")
    elif rates.whole:
        lines.append("throughput times time differs between the runs of the study: how long a run takes is not known")
    for unit, amount in rates.work.items() if not rates.whole else ():
        lines.append(
            f"a training is {text.number(amount, 6)} {unit}, as in the runs of the study, and "
            f"{text.number(rates.beside_s, 3)} s for start, compilation, evaluation and checkpoints, as on "
            f"{rates.beside_ranks} ranks; the wait in the queue is not in it"
        )
    if not lines and not rates.whole:
        lines.append("the runs of the study differ in examples and in steps: how long a training takes is not known")
    if rates.watts_per_gpu is not None:
        watts = text.number(rates.watts_per_gpu, 4)
        lines.append(f"energy: {watts} W per GPU, as measured on the largest number of ranks that was read")
    return lines


def _work(study: Study) -> dict[str, float]:
    """Return what is the same in all runs: examples (a constant number of epochs), else steps."""
    amounts = {"steps": [run.all_steps for run in study.runs]}
    if all(run.steps.unit == UNIT and not run.printed for run in study.runs):
        amounts = {"examples": [run.all_steps * run.steps.examples for run in study.runs], **amounts}
    for unit, each in amounts.items():
        if max(each) <= (1 + _ALIKE) * min(each):
            return {unit: max(each)}
    return {}
