"""The figures of merit of a run, and the throughput from them."""

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from launch.errors import Refusal
from launch.plan import figures, patterns
from launch.plan.figures import Figure, Scaling
from launch.plan.plan import Plan
from launch.record.contents import PlanRecord, Result
from launch.record.files import Unreadable
from launch.record.performance import printed
from launch.record.rundir import RunDir

UNIT = "examples/s"
"""The default unit of a throughput, for steps that count their examples."""
UNCOUNTED: dict[str, str] = {"weak": "rank-steps/s", "strong": "steps/s"}
"""The units for steps that count none: steps per rank (weak scaling) or of all ranks together (strong)."""

SEARCH_S = 60.0  # the time limit for finding a figure
_GLANCE, _GLANCE_S = 65536, 0.2  # bytes of a log, and seconds, for a look at what a run has reached so far


_TOGETHER = {"sum": "the sum", "max": "the longest", "mean": "the mean"}


class Throughput(NamedTuple):
    """The throughput of all ranks of a run together."""

    value: float
    unit: str
    work: float | None = None  # the work whose speed this is, if it is a speed and the work is reported
    kind: Literal["rate", "speed", "runs"] = "rate"  # a speed does not grow with the work; runs are counted, not work


def result(run: RunDir, plan: Plan, recorded: Result, begins: Sequence[int]) -> Result:
    """Return the result of a program's run that has ended well.

    Parameters
    ----------
    run : RunDir
        The run.
    plan : Plan
        Its plan, with the figures to look for.
    recorded : Result
        The part of the result that its recorded steps give.
    begins : sequence of int
        Bytes of each node's log that belong to earlier attempts; empty if there are none.
    """
    metrics: dict[str, Any] = dict(recorded.get("metrics") or {})
    units: dict[str, str] = {}
    of_ranks: dict[str, str] = {}
    troubles = list(recorded.get("troubles") or [])
    for name, figure in plan.fom.items():
        try:
            with patterns.within(SEARCH_S):
                found = printed.find(run, name, figure, plan.nodes, plan.ranks_per_node, begins, plan.on_their_own)
        except printed.NotFound as why:
            troubles.append(f"{name}: {why}")
            continue
        except TimeoutError:
            troubles.append(
                f"{name}: what the ranks printed could not be looked through in {SEARCH_S:g} s: make its pattern "
                "simpler"
            )
            continue
        except Refusal as error:  # as for a pattern that was changed in run.json: the end must still be recorded
            troubles.append(f"{name}: {getattr(error, 'reason', error)}")
            continue
        metrics[name] = found.value
        if found.value <= 0 and figure["kind"] in (*figures.OF_THE_RUN, "work"):
            troubles.append(f"{name}: {found.value:g} is not above 0, so nothing is made of it")
        if found.unit:
            units[name] = found.unit
        if found.of_ranks:
            of_ranks[name] = found.of_ranks
    known: Result = {**recorded}
    if metrics:
        known["metrics"] = metrics
    if units:
        known["units"] = units
    if of_ranks:
        known["of_ranks"] = of_ranks
    if troubles:
        known["troubles"] = troubles
    if made := throughput(plan.fom, known, plan.scaling, plan.size):
        known.pop("throughput_examples_per_s", None)
        known |= {"throughput": made.value, "unit": made.unit}
        if made.work is not None:
            known["work"] = made.work
    return known


def so_far(run: RunDir, plan: PlanRecord) -> Throughput | None:
    """Return the throughput that a run under way has printed last, on its first node; None if a quick look finds none,
    or if the ranks work on their own, as each prints only a part of it."""
    if plan["nodes"] * plan["ranks_per_node"] > 1 and (plan.get("independent") or plan.get("cooperation") == ""):
        return None
    for name, figure in (plan.get("fom") or {}).items():
        if figure["kind"] not in ("rate", "speed") or "ranks" in figure:
            continue
        with contextlib.suppress(printed.NotFound, TimeoutError, Unreadable, OSError), patterns.within(_GLANCE_S):
            before = next((event.get("logs", []) for event in reversed(run.events("started"))), [])
            begin = max(os.stat(run.node_log(0)).st_size - _GLANCE, *before[:1], 0)
            found = printed.find(run, name, figure, 1, plan["ranks_per_node"], [begin])
            return Throughput(found.value, found.unit or printed.NO_UNIT)
    return None


def throughput(asked: Mapping[str, Figure], known: Result, scaling: Scaling, ranks: int) -> Throughput | None:
    """Return the throughput from the figures of a run; None if they give none.

    A rate or a speed is the throughput itself. A time is that of the work, if there is a figure for the work; otherwise
    that of one problem: one per run, or in weak scaling one per rank. Ranks that work on their own advance one each.

    Parameters
    ----------
    asked : dict of str to Figure
        The figures that were looked for.
    known : Result
        The figures that were found, as metrics and units.
    scaling : "weak" or "strong"
        The scaling of the study.
    ranks : int
        Number of ranks of the run.
    """
    units = known.get("units") or {}
    positive = {name: value for name, value in (known.get("metrics") or {}).items() if _is_positive(value)}
    work = next((name for name in figures.names(asked, ["work"]) if name in positive), None)
    amount = None if work is None else positive[work]
    for name in figures.names(asked, figures.OF_THE_RUN):
        if name not in positive:
            continue
        value, kind = positive[name], asked[name]["kind"]
        unit = units.get(name, "s" if kind == "time" else printed.NO_UNIT)
        problems = ranks if amount is None and (known.get("of_ranks") or {}).get(name) == "all" else 1
        if kind == "rate":
            return Throughput(value, unit)
        how: Literal["rate", "speed"] = "speed" if problems == 1 else "rate"
        if kind == "speed":
            return Throughput(problems * value, unit, amount, how)
        of_one, slash, part = unit.partition("/")
        if slash:  # the time for part of the problem, as in s/step: its inverse is a speed
            return Throughput(problems / value, f"{part}/{of_one}", amount, how)
        if work is not None and amount is not None:
            return Throughput(amount / value, f"{units.get(work, work)}/{unit}")
        return Throughput(*of_time(value, unit, scaling, ranks), kind="runs")
    return None


def of_ranks(asked: Mapping[str, Figure], known: Result) -> list[str]:
    """Return a line for each figure that several ranks printed, which says what was made of their numbers."""
    lines = []
    for name, which in (known.get("of_ranks") or {}).items():
        how = _TOGETHER.get(figures.over_ranks(asked[name]), "") if name in asked else ""
        lines.append(
            f"{name}: {how} of those of all ranks, which work on their own"
            if which == "all"
            else f"{name}: other ranks printed it too, and that of rank {which} is taken: --fom-as {name}={which} says "
            f"that this is meant, --fom-as {name}=all takes {how} of all"
        )
    return lines


def is_of_one_rank(asked: Mapping[str, Figure], known: Result) -> bool:
    """Return whether the throughput is made of the number of one rank, although others printed theirs."""
    which = known.get("of_ranks") or {}
    return any(which.get(name, "all") != "all" for name in figures.names(asked, figures.OF_THE_RUN))


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf


def of_time(value: float, unit: str, scaling: str, ranks: int) -> tuple[float, str]:
    """Return the throughput of a run that took this long and counted no work, and its unit."""
    return (1 / value, f"runs/{unit}") if scaling == "strong" else (ranks / value, f"rank-runs/{unit}")


def of_result(result: Result) -> Throughput | None:
    """Return the throughput in a result: examples/s has a key of its own, any other is stored with its unit."""
    if (rate := result.get("throughput_examples_per_s")) is not None:
        return Throughput(rate, UNIT)
    value = result.get("throughput")
    return None if value is None else Throughput(value, result.get("unit", ""), result.get("work"))
