"""What runs cost: the energy of their GPUs, the CO2e of its generation, and the price of the hours that they hold.

Nothing is assumed: how much CO2e a kWh causes and what an hour costs differ by place, time and contract, so both are
given by the user, with their units.
"""

import os
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from launch.errors import Refusal
from launch.record.contents import Event
from launch.record.rundir import RunDir
from profiling import text
from profiling.telemetry import coverage, notes
from profiling.telemetry.usage import POWER, Span, Usage, cards, usages

JOULES_PER_KWH = 3.6e6
_WHOLE = 0.9  # share of a run's time that must have been read if its energy is to count as known
COLUMNS = (
    ("energy_kwh", "GPU energy [kWh]"),
    ("carbon_kg", "CO2e [kg]"),
    ("price", "price{currency}"),
)
"""Keys and titles of the costs of a run."""


@dataclass(frozen=True)
class Tariff:
    """What the user states about costs; nothing is assumed in its place."""

    kg_per_kwh: float | None = None  # CO2e of the electricity
    price: float | None = None  # price of an hour
    per: str = ""  # what the hour is of, "GPU" or "node"; empty: a GPU if the nodes have some, else a node
    currency: str = ""

    def __bool__(self) -> bool:
        return self.kg_per_kwh is not None or self.price is not None

    def hour(self, gpus: int) -> str:
        """Return what the price is per hour of, "GPU" or "node", for runs with this many GPUs."""
        return self.per or ("GPU" if gpus else "node")

    def paid(self, seconds: float, nodes: int, gpus: int) -> float | None:
        """Return the price of a run that held its nodes this long; None without a price, or the GPUs that it is of."""
        count = gpus if self.hour(gpus) == "GPU" else nodes
        return None if self.price is None or not count else self.price * count * seconds / 3600

    def notes(self, gpus: int) -> list[str]:
        """Return notes on what the numbers mean."""
        said = []
        if gpus:
            said.append("energy: of the GPUs, from the start of a run to its end; not known if they were not all read")
        if self.kg_per_kwh is not None:
            said.append(
                f"CO2e: {text.number(self.kg_per_kwh)} kg/kWh of the GPUs' energy; processors, network and cooling are "
                "not in it"
            )
        if self.price is not None and self.hour(gpus) == "GPU" and not gpus:
            said.append("price: not known, as --price is of a GPU-hour and no GPUs were asked for: state a node-hour")
        elif self.price is not None:
            money = " ".join(filter(None, [text.number(self.price), self.currency]))
            said.append(f"price: {money} per {self.hour(gpus)}-hour of all nodes of a run, from its start to its end")
        return said


NO_TARIFF = Tariff()


def tariff(carbon_intensity: str | None, price: str | None) -> Tariff:
    """Parse the options of costs.

    Raises
    ------
    Refusal
        If an option is not understood, or lacks a unit that it needs.
    """
    of_carbon = {} if carbon_intensity is None else {"kg_per_kwh": _carbon(carbon_intensity)}
    return Tariff(**of_carbon, **({} if price is None else _price(price)))


def _carbon(word: str) -> float:
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(k?g)(?:\s*CO2e?q?)?\s*/\s*kWh\s*", word, re.IGNORECASE)
    if not match:
        raise Refusal(f"--carbon-intensity is {word!r}: give it with its unit, as 380g/kWh or 0.38kg/kWh")
    return float(match[1]) / (1000 if match[2].lower() == "g" else 1)


def _price(word: str) -> dict[str, Any]:
    match = re.fullmatch(
        r"(?P<price>\d+\.?\d*|\.\d+)\s*(?P<currency>[^\d\s/.,-]{1,8})?\s*(/\s*(?P<per>GPU|node)[ -]?h(our)?)?",
        word.strip(),
        re.IGNORECASE,
    )
    if not match:
        raise Refusal(f"--price is {word!r}: give what an hour costs, as 2.5, 2.5/GPU-hour or 12EUR/node-hour")
    per = {"gpu": "GPU", "node": "node", "": ""}[(match["per"] or "").lower()]
    return {"price": float(match["price"]), "per": per, "currency": match["currency"] or ""}


def of_runs(runs: Sequence[RunDir], tariff: Tariff) -> list[dict[str, float]]:
    """Return what each run has cost so far: ``energy_kwh``, ``carbon_kg`` and ``price``; what is unknown is absent.

    The energy is known if all GPUs were read for nine tenths of the time of the run.
    """
    found: list[dict[str, float]] = []
    of_all = usages([Span(run.readings) for run in runs], [POWER])
    for run, used, read in zip(runs, of_all, coverage.read(runs)):
        plan, costs = run.record(), {}
        powered = [one for one in cards(used) if POWER in one.numbers]
        if powered and _whole(run, used, read):
            costs["energy_kwh"] = sum(one.energised_w * one.seconds for one in powered) / JOULES_PER_KWH
            if tariff.kg_per_kwh is not None:
                costs["carbon_kg"] = costs["energy_kwh"] * tariff.kg_per_kwh
        seconds = attempt_seconds(run.events(), _finished(run))
        nodes = plan["nodes"] + plan.get("spare_nodes", 0)
        paid = None if seconds is None else tariff.paid(seconds, nodes, plan.get("gpus_per_node", 0) * nodes)
        found.append(costs | ({} if paid is None else {"price": paid}))
    return found


def _whole(run: RunDir, used: Sequence[Usage], read: Sequence[coverage.Read]) -> bool:
    """Return whether the readings are of all GPUs of a run, and of nearly all of its time."""
    plan, noted = run.record(), notes.read(run)
    nodes, hz = (run.result() or {}).get("nodes", plan["nodes"]), plan.get("sample_hz") or 0.0
    unread = coverage.unread_share(run, nodes, hz, noted, read)
    if coverage.without_gpus(used, noted, nodes, plan) or unread > 1 - _WHOLE:
        return False
    return all(one.powered_s >= _WHOLE * one.seconds for one in cards(used) if one.lost)


def of_point(runs: Sequence[RunDir], tariff: Tariff) -> dict[str, float]:
    """Return the mean costs over the repeats of a point, as far as they are known for all of them."""
    costs = of_runs(runs, tariff)
    return {key: sum(of[key] for of in costs) / len(costs) for key, _ in COLUMNS if all(key in of for of in costs)}


def attempt_seconds(events: Iterable[Event], finished: float) -> float | None:
    """Return the seconds of a run's attempts, without the time between them; None if the end of one is unknown.

    If the end of the last attempt is not recorded yet, it is the Unix time ``finished``.
    """
    spent, started = 0.0, None
    for event in events:
        if event["event"] == "started":
            if started is not None:
                return None
            started = event["time"]
        elif event["event"] == "ended" and started is not None:
            spent, started = spent + event["time"] - started, None
    if started is not None:
        spent += finished - started
    return spent if spent > 0 else None


def _finished(run: RunDir) -> float:
    """Return when a run ended that has not noted it: when its result was written, or now if there is none."""
    try:
        return os.stat(run.result_json).st_mtime
    except OSError:
        return time.time()
