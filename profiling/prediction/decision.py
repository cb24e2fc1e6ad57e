"""How many nodes to use: the time and the cost of a run on several numbers of nodes, against a deadline and a budget.

Both limits are limits of throughput: a run on given nodes is over in time, and cheap enough, if it is fast enough. So
the probability of meeting them is that of one throughput being exceeded, in the prediction for one further run.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from launch.errors import Refusal
from profiling import text
from profiling.prediction import posterior, prediction, run_estimate
from profiling.prediction.run_estimate import Bounded, Rates
from profiling.study.cost import Tariff
from profiling.study.tables import Series

SURE = 0.9  # probability of meeting the limits from which a choice counts as sure; the cheapest sure one is taken
AHEAD = 4  # multiple of the largest measured number of nodes up to which numbers are tried if none are asked for


@dataclass(frozen=True)
class Limits:
    """The time and budget that a run may take; None for no limit."""

    seconds: float | None = None
    budget: float | None = None  # in the currency of the price; without a price, in hours of GPUs or nodes


@dataclass(frozen=True)
class Choice:
    """A number of nodes, and what one run on them takes; predicted, not measured."""

    nodes: int
    seconds: Bounded
    hours: Bounded
    price: Bounded | None
    probability: float  # probability that one run meets all limits


def tried(series: Series, rates: Rates) -> list[int]:
    """Return the numbers of nodes to compare if none are asked for: the measured ones, and doublings beyond them."""
    measured = sorted({math.ceil(workers / rates.ranks_per_node) for workers in series.workers})
    ahead = [measured[-1] * 2**power for power in range(1, round(math.log2(AHEAD)) + 1)]
    return [*measured, *ahead]


def choices(
    series: Series, rates: Rates, tariff: Tariff, limits: Limits, nodes: Sequence[int], confidence: float
) -> list[Choice]:
    """Predict what a run takes on each number of nodes, and how probably it meets the limits.

    Raises
    ------
    Refusal
        If no law describes the series, or nothing says how long a run takes.
    """
    if reasons := prediction.problems(series):
        raise Refusal(f"{series.name}: no number of nodes can be named, as the {reasons[0]}")
    if not rates.work:
        raise Refusal(f"{run_estimate.notes(rates)[0]}, so neither a deadline nor a budget can be held against it")
    counts = sorted(set(nodes))
    workers = [count * rates.ranks_per_node for count in counts]
    mixtures = posterior.fit(series, workers).mixtures
    forecasts = prediction.predict(series, workers, confidence).forecasts
    made = []
    for count, mixture, forecast in zip(counts, mixtures, forecasts, strict=True):
        estimate = run_estimate.estimate(rates, forecast)
        assert estimate.training_seconds and estimate.hours  # known, as the work of a run is
        price = run_estimate.price(rates, estimate, tariff)
        cost = price or estimate.hours
        longest = math.inf if limits.seconds is None else limits.seconds
        if limits.budget is not None and cost.value > 0:
            longest = min(longest, limits.budget * estimate.training_seconds.value / cost.value)
        stepping = longest - rates.beside_s
        made.append(
            Choice(
                count,
                estimate.training_seconds,
                estimate.hours,
                price,
                0.0
                if stepping <= 0
                else prediction.exceeded(
                    mixture,
                    forecast.workers,
                    forecast.throughput * (estimate.training_seconds.value - rates.beside_s) / stepping,
                ),
            )
        )
    return made


def best(made: Sequence[Choice]) -> Choice:
    """Return the cheapest choice that meets the limits with a probability of `SURE`, else the most probable one."""
    sure = [choice for choice in made if choice.probability >= SURE]
    if sure:
        return min(sure, key=lambda choice: (choice.price or choice.hours).value)
    return max(made, key=lambda choice: choice.probability)


def as_json(made: Sequence[Choice], limits: Limits) -> dict[str, Any]:
    """Return the decision as a value; docs/prediction.md describes the keys."""
    return {"limits": asdict(limits), "nodes": best(made).nodes, "choices": [asdict(choice) for choice in made]}


def as_text(decision: dict[str, Any], rates: Rates, tariff: Tariff, confidence: float) -> str:
    """Return the decision in a sentence, and the choices in a table."""
    limits, found = decision["limits"], decision["choices"]
    chosen = next(choice for choice in found if choice["nodes"] == decision["nodes"])
    money = f"price{f' [{tariff.currency}]' if tariff.currency else ''}"
    level = f"{confidence:.0%} interval"
    unit_of_time, factor = _unit(chosen["seconds"]["value"])
    bounded = [("seconds", f"time [{unit_of_time}]", factor), ("hours", rates.unit, 1.0)]
    bounded += [("price", money, 1.0)] if chosen["price"] else []
    columns: list[tuple[str, text.Form]] = [("nodes", text.value("nodes", str))]
    for key, title, factor in bounded:
        columns += run_estimate.bounded(key, title, level, factor)
    columns.append(("meets the limits", text.value("probability", _probable)))
    asked = []
    if limits["seconds"] is not None:
        name, part = _unit(limits["seconds"])
        asked.append(f"{text.number(part * limits['seconds'])} {name}")
    if limits["budget"] is not None:
        what = tariff.currency or "in price" if chosen["price"] else rates.unit
        asked.append(f"{text.number(limits['budget'])} {what}")
    why = "the cheapest that does so with 90 % or more"
    if chosen["probability"] < SURE:
        why = "the most probable: none meets them with 90 %"
    time, cost = factor * chosen["seconds"]["value"], (chosen["price"] or chosen["hours"])["value"]
    unit = (tariff.currency or "in price") if chosen["price"] else rates.unit
    more = ["more nodes do more work here: the runs of the study have equally many steps, of a batch that grows"]
    more = more if rates.kind == "weak" and "steps" in rates.work else []
    taken = f"{text.number(time, 3)} {unit_of_time}, {text.number(cost, 3)} {unit}"
    return "\n".join(
        [
            f"use {text.plural(chosen['nodes'], 'node')}: {taken}; a run meets the limits "
            f"({', '.join(asked)}) with {_probable(chosen['probability'])}: {why}",
            *more,
            "",
            text.table(columns, found),
        ]
    )


def _unit(seconds: float) -> tuple[str, float]:
    """Return the unit in which a time reads best, and the factor from seconds to it."""
    return ("h", 1 / 3600) if seconds >= 7200 else ("min", 1 / 60) if seconds >= 120 else ("s", 1.0)


def _probable(value: float) -> str:
    """Format a probability, never as more certain than the prediction can be."""
    return "above 99 %" if value > 0.99 else "below 1 %" if value < 0.01 else f"{100 * value:.0f} %"
