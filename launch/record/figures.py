"""The figures of merit of a run, from what its ranks have printed into logs/, and the throughput that they make.

Logs may be long, and a pattern may be bad: they are read from their end, and each figure has a time in which it has to be found.
"""

import contextlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from launch.errors import Refusal
from launch.plan import figures, patterns
from launch.plan.figures import Figure, Scaling
from launch.plan.plan import Plan
from launch.record.contents import PlanRecord, Result
from launch.record.files import Unreadable, lines_from_end
from launch.record.rundir import RunDir

UNIT = "examples/s"
"""Of a throughput, where nothing else is said: of steps that count their examples."""
UNCOUNTED: dict[str, str] = {"weak": "rank-steps/s", "strong": "steps/s"}
"""Of steps that count none: steps per rank (weak scaling) or of all together (strong)."""

NO_UNIT = "no unit"
"""Of a rate for which none is given."""

SEARCH_S = 60.0  # in which a figure has to be found
_GLANCE, _GLANCE_S = 65536, 0.2  # bytes of a log, and the time, for a look at what a run has reached so far
_LINE = 65536  # bytes of a line that are looked through, its last ones
_LABEL = re.compile(rb"\s*([0-9]{1,9}): ?")
_NUMBER = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eEdD][+-]?[0-9]+)?")


class Found(NamedTuple):
    """A figure as it was printed."""

    value: float
    unit: str  # empty where it has none


class NotFound(Exception):
    """Why a figure is not known, in words that follow its name."""


class Throughput(NamedTuple):
    """The throughput of a run of all its ranks together."""

    value: float
    unit: str
    work: float | None = None  # in weak scaling, that it is the speed of; None of a rate of all work


def result(run: RunDir, plan: Plan, recorded: Result, begins: Sequence[int]) -> Result:
    """What is known of a run of a program that has ended well.

    Parameters
    ----------
    run : RunDir
        The run; a log of it that cannot be read is passed over.
    plan : Plan
        Its plan, with the figures that are looked for.
    recorded : Result
        What its steps say.
    begins : sequence of int
        Bytes of the log of each node that are of earlier attempts; none where there are none.
    """
    metrics: dict[str, Any] = dict(recorded.get("metrics") or {})
    units: dict[str, str] = {}
    troubles = []
    for name, figure in plan.fom.items():
        try:
            with patterns.within(SEARCH_S):
                found = find(run, name, figure, plan.nodes, plan.ranks_per_node, begins)
        except NotFound as why:
            troubles.append(f"{name}: {why}")
            continue
        except TimeoutError:
            troubles.append(
                f"{name}: what the ranks printed could not be looked through in {SEARCH_S:g} s: make its pattern simpler"
            )
            continue
        except Refusal as error:  # also of a pattern that somebody has changed in run.json: the run is to note its end
            troubles.append(f"{name}: {getattr(error, 'reason', error)}")
            continue
        metrics[name] = found.value
        if found.value <= 0 and figure["kind"] in (*figures.OF_THE_RUN, "work"):
            troubles.append(f"{name}: {found.value:g} is not above 0, so nothing is made of it")
        if found.unit:
            units[name] = found.unit
    known: Result = {**recorded}
    if metrics:
        known["metrics"] = metrics
    if units:
        known["units"] = units
    if troubles:
        known["troubles"] = troubles
    if made := throughput(plan.fom, known, plan.scaling, plan.size):
        known.pop("throughput_examples_per_s", None)
        known |= {"throughput": made.value, "unit": made.unit}
        if made.work is not None:
            known["work"] = made.work
    return known


def find(
    run: RunDir,
    name: str,
    figure: Figure,
    nodes: int,
    ranks_per_node: int,
    begins: Sequence[int] = (),
) -> Found:
    """A figure, in the logs of an attempt behind their first bytes, as many as ``begins`` has for each node.

    Raises
    ------
    NotFound
        If nobody has printed it, or what they printed is not a finite number.
    Unreadable
        If a log cannot be read.
    """
    pattern = patterns.compiled(name, figure["pattern"])
    group, ranks, take = patterns.group(pattern), figure.get("ranks"), figures.take(figure)
    last = ranks == "all" or take == "last"  # of each rank
    found: dict[int, _Numbers] = {}
    for node in range(nodes) if ranks in (None, "all") else [int(ranks) // ranks_per_node]:
        own = range(node * ranks_per_node, (node + 1) * ranks_per_node)
        wanted = set(own) if ranks == "all" else {own[0] if ranks is None else int(ranks)}
        for rank, match in _matches(run.node_log(node), begins[node] if node < len(begins) else 0, pattern):
            if rank not in (own if ranks in (None, "all") else wanted) or last and rank in found:
                continue
            found.setdefault(rank, _Numbers()).read(match, group, figure.get("unit", ""))
            if last and not wanted - found.keys():
                break
        if found and ranks is None:
            break
    if not found:
        of_rank = "" if ranks in (None, "all") else f" of rank {ranks}"
        raise NotFound(f"its pattern matches nothing that the ranks printed{of_rank}")
    if ranks != "all":
        return found[min(found)].reduced(take)
    if len(found) < nodes * ranks_per_node:
        raise NotFound(f"{len(found)} of {nodes * ranks_per_node} ranks have printed it")
    together = _Numbers()
    for numbers in found.values():
        together.add(numbers.reduced("last"))
    return together.reduced(take)


class _Numbers:
    """The numbers of matches, of which the last comes first: kept as what can be made of them, as they may be many."""

    def __init__(self) -> None:
        self.count, self.total, self.least, self.most = 0, 0.0, math.inf, -math.inf
        self.last = Found(math.nan, "")
        self.wrong = ""  # what is, with one of them

    def read(self, match: re.Match[bytes], group: int, unit: str) -> None:
        """Add the number of a match, with the unit that stands in it or else the given one."""
        text = (match[group] or b"").strip()
        value = float(text.lower().replace(b"d", b"e")) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(value):
            self.wrong = self.wrong or f"{_shown(text)!r} is not a finite number"
            return
        printed = match.groupdict().get("unit")
        self.add(Found(value, _shown(printed) if printed else unit))

    def add(self, number: Found) -> None:
        """Add a number."""
        if not self.count:
            self.last = number
        elif number.unit != self.last.unit:
            self.wrong = f"it is printed in two units, {number.unit or NO_UNIT} and {self.last.unit or NO_UNIT}"
        self.count += 1
        self.total += number.value
        self.least, self.most = min(self.least, number.value), max(self.most, number.value)

    def reduced(self, take: figures.Take) -> Found:
        """What is made of them."""
        if self.wrong:
            raise NotFound(self.wrong)
        if take == "last":
            return self.last
        made = {"sum": self.total, "mean": self.total / self.count, "min": self.least, "max": self.most}[take]
        return Found(made, self.last.unit)


def _matches(path: Path, begin: int, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, re.Match[bytes]]]:
    """The lines of a log that match, the last one first, each with its rank; a line that \\r redraws is several."""
    search, label_of = pattern.search, _LABEL.match
    within = patterns.literal(pattern.pattern.decode(errors="surrogateescape"))
    for line in lines_from_end(path, begin, within):
        if label := label_of(line):
            said = line[max(label.end(), len(line) - _LINE) :]
            for state in reversed(said.split(b"\r")) if b"\r" in said else (said,):
                if match := search(state):
                    yield int(label[1]), match


def so_far(run: RunDir, plan: PlanRecord) -> Throughput | None:
    """The throughput that a run under way has printed last, on its first node; None where none is seen at a glance."""
    for name, figure in (plan.get("fom") or {}).items():
        if figure["kind"] not in ("rate", "speed") or "ranks" in figure:
            continue
        with contextlib.suppress(NotFound, TimeoutError, Unreadable, OSError), patterns.within(_GLANCE_S):
            before = next((event.get("logs", []) for event in reversed(run.events("started"))), [])
            begin = max(os.stat(run.node_log(0)).st_size - _GLANCE, *before[:1], 0)
            found = find(run, name, figure, 1, plan["ranks_per_node"], [begin])
            return Throughput(found.value, found.unit or NO_UNIT)
    return None


def _shown(text: bytes) -> str:
    """What was printed, as a word for people."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in text.decode(errors="replace"))
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def throughput(asked: Mapping[str, Figure], known: Result, scaling: Scaling, ranks: int) -> Throughput | None:
    """The throughput that the figures of a run make; None where they make none.

    Of a rate it is the rate, of a speed the speed. A time is that of the work where there is a figure of it, else of the problem of
    one run, which in weak scaling each rank has one of.

    Parameters
    ----------
    asked : dict of str to Figure
        The figures that were looked for.
    known : Result
        Those that were found, as metrics and units.
    scaling : "weak" or "strong"
        As the study was asked for.
    ranks : int
        Of the run.
    """
    units = known.get("units") or {}
    positive = {name: value for name, value in (known.get("metrics") or {}).items() if _is_positive(value)}
    work = next((name for name in figures.names(asked, ["work"]) if name in positive), None)
    amount = None if work is None else positive[work]
    for name in figures.names(asked, figures.OF_THE_RUN):
        if name not in positive:
            continue
        value, kind = positive[name], asked[name]["kind"]
        unit = units.get(name, "s" if kind == "time" else NO_UNIT)
        if kind == "rate":
            return Throughput(value, unit)
        if kind == "speed":
            return Throughput(value, unit, amount)
        of_one, slash, part = unit.partition("/")
        if slash:  # the time of a part of the problem, as s/step: its inverse is a speed
            return Throughput(1 / value, f"{part}/{of_one}", amount)
        if work is not None and amount is not None:
            return Throughput(amount / value, f"{units.get(work, work)}/{unit}")
        return Throughput(*of_time(value, unit, scaling, ranks))
    return None


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf


def of_time(value: float, unit: str, scaling: str, ranks: int) -> tuple[float, str]:
    """The throughput of a run that took so long and counted no work, and its unit."""
    return (1 / value, f"runs/{unit}") if scaling == "strong" else (ranks / value, f"rank-runs/{unit}")


def of_result(result: Result) -> Throughput | None:
    """The throughput that stands in a result: examples/s under a key of its own, any other with its unit."""
    if (rate := result.get("throughput_examples_per_s")) is not None:
        return Throughput(rate, UNIT)
    value = result.get("throughput")
    return None if value is None else Throughput(value, result.get("unit", ""), result.get("work"))
