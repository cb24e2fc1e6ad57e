"""A summary of the readings of each GPU, rank and node of a run over a span of time."""

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from profiling.telemetry import readings
from profiling.telemetry.metrics import METRICS, OF_POWER, POWER, Metric
from profiling.telemetry.power import Power, power

# SQL within an attempt, and over the attempts. A rate is over the time, a mean over the readings, that have the column.
_TIME = "max(CASE WHEN {0} IS NOT NULL THEN clock_ms END) - min(CASE WHEN {0} IS NOT NULL THEN clock_ms END)"
_INNER = {
    "mean": "avg({0}) AS {1}, count({0}) AS {1}_n",
    "peak": "max({0}) AS {1}",
    "least": "min({0}) AS {1}",
    "deviation": "stddev_samp({0}) AS {1}",
    "count": "count({0}) AS {1}",
    "total": "max({0}) - min({0}) AS {1}",
    "rate": f"max({{0}}) - min({{0}}) AS {{1}}, {_TIME} AS {{1}}_ms",
    "time": f"{_TIME} AS {{1}}",
}
_OUTER = {
    "mean": "sum({0} * {0}_n) / nullif(sum({0}_n), 0)",
    "peak": "max({0})",
    "least": "min({0})",
    "deviation": "max({0})",
    "count": "sum({0})",
    "total": "sum({0})",
    "rate": "1000 * sum({0}) / nullif(sum({0}_ms), 0)",
    "time": "sum({0})",
}

_GROUPED = frozenset({"time_ms", "clock_set_ms", "node", "attempt", "rank", "device"})
TOGETHER = 250  # runs per query
_EVER_MS = 2**62


class Usage(NamedTuple):
    """Numbers of one GPU, rank or node, by the names of `METRICS`; a number that was not read is absent.

    ``power_w`` is the mean power over the time for which it is known. For GPUs it is their energy over that time, if
    that can be believed, because power itself is read for an instant only.
    """

    node: int
    rank: int | None
    held: tuple[tuple[int, str], ...]  # attempt and its GPU, by attempt; empty for a node, or a rank without one
    readings: int
    seconds: float  # from first to last reading of each attempt
    numbers: dict[str, float]
    power: Power | None = None  # power of a GPU, and how it was determined
    powered_s: float = 0.0  # seconds for which the power is known

    @property
    def device(self) -> str | None:
        """The GPU, of several attempts the last one's; None where there is none."""
        return self.held[-1][1] if self.held else None

    @property
    def card(self) -> tuple[object, ...]:
        """Identity of the GPU: in an attempt, a UUID is of one card only, and a device number of one node."""
        return tuple(one if one[1].startswith(("GPU-", "MIG-")) else (self.node, *one) for one in self.held)

    @property
    def lost(self) -> bool:
        """Whether the power is known for only a part of the time: more than two readings and a second are missing."""
        if self.power is None or self.readings < 2:
            return False
        return self.seconds - self.powered_s > max(1.0, 2 * self.seconds / (self.readings - 1))

    @property
    def energised_w(self) -> float:
        """Known energy over the time of all readings, W."""
        return self.numbers[POWER] * (self.powered_s / self.seconds if self.lost else 1.0)


def cards(found: Iterable[Usage]) -> list[Usage]:
    """Return the GPUs among some usages, each once: two that were the same in all attempts are one."""
    return list({used.card: used for used in found if used.device}.values())


class Span(NamedTuple):
    """A span of a run whose readings are to be summarised."""

    folder: Path  # ``readings`` of the run
    begin: float | None = None  # Unix seconds; None: from the first reading on
    end: float | None = None  # Unix seconds; None: to the last reading


def usage(
    folder: Path, begin: float | None = None, end: float | None = None, names: Collection[str] | None = None
) -> list[Usage]:
    """Summarise the readings of a run.

    Counters restart in each attempt, so differences are taken within attempts and added up.

    Parameters
    ----------
    folder : Path
        Folder ``readings`` of the run.
    begin, end : float, optional
        Span to summarise, Unix seconds; by default all.
    names : collection of str, optional
        Names of the metrics that are wanted, and ``power_w``, as each takes its time; by default all.

    Returns
    -------
    list of Usage
        Usages by node and rank: the ranks with their GPUs, then GPUs that belong to no single rank, and the nodes.

    Raises
    ------
    Refusal
        If a file of the readings is damaged in its middle.
    """
    return usages([Span(folder, begin, end)], names)[0]


def usages(spans: Sequence[Span], names: Collection[str] | None = None) -> list[list[Usage]]:
    """Summarise the readings of many runs, as `usage` does for one; small runs take a third of the time this way."""
    wanted = [metric for metric in METRICS if names is None or metric.name in names]
    wanted += OF_POWER if names is None or POWER in names else ()
    found: list[list[Usage]] = [[] for _ in spans]
    columns = _GROUPED.union(*(re.findall(r"\w+", metric.expression) for metric in wanted))
    sources = [(index, span, files) for index, span in enumerate(spans) if (files := readings.files(span.folder))]
    for first in range(0, len(sources), TOGETHER):
        some = sources[first : first + TOGETHER]
        rows = readings.rows([path for *_, files in some for path in files], columns)
        if rows is None:
            return found
        with readings.unharmed(span.folder for _, span, _ in some), readings.cursor() as database:
            made = database.execute(_query(wanted, "NULL", rows, some)).fetchall()
            if any(rank is None and any(devices) for _, _, rank, _, devices, *_ in made):
                made = database.execute(_query(wanted, "CASE WHEN rank IS NULL THEN device END", rows, some)).fetchall()
            for index, *row in made:
                found[index].append(_usage(wanted, *row))
    for of_run in found:
        of_run.sort(key=lambda one: (one.node, one.rank is None, one.rank or 0, one.device is None, one.device or ""))
    return found


def _query(metrics: Sequence[Metric], card: str, rows: str, sources: Sequence[tuple[int, Span, Sequence[Path]]]) -> str:
    """Return a query that passes once over the readings of all runs, whose files say which is whose.

    The rows of a rank have one GPU. Grouping by the names of GPUs would take longer than all the rest, so it is done
    only if there are GPUs in rows of their own, whose names the expression ``card`` returns. Another attempt may have
    other GPUs: the first of a node follows the first, and so on.
    """
    inner = "".join(f", {_INNER[m.kind].format(m.expression, m.name)}" for m in metrics)
    outer = "".join(f", {_OUTER[m.kind].format(m.name)}" for m in metrics)
    return f"""
        SELECT run, node, rank, list(attempt ORDER BY attempt), list(device ORDER BY attempt),
               sum(n), sum(seconds){outer} FROM (
            SELECT *, dense_rank() OVER (PARTITION BY run, node, attempt ORDER BY card NULLS FIRST) AS place FROM (
                SELECT run, node, attempt, rank, {card} AS card, any_value(device) AS device, count(*) AS n,
                       (max(clock_ms) - min(clock_ms)) / 1000 AS seconds{inner}
                FROM ({within(rows, sources)}) GROUP BY ALL))
        GROUP BY run, node, rank, place"""


def within(rows: str, sources: Sequence[tuple[int, Span, Sequence[Path]]]) -> str:
    """Return SQL for readings within the spans, with the number of their run. A join for one run is a tenth slower."""
    if len(sources) == 1:
        ((index, span, _),) = sources
        first, last = _times(span)
        columns = f"{index} AS run, *, {readings.CLOCK} AS clock_ms"
        return f"SELECT {columns} FROM ({rows}) WHERE time_ms BETWEEN {first} AND {last}"
    whose = (
        f"({readings.quoted(path)}, {index}, {first}, {last})"
        for index, span, files in sources
        for first, last in [_times(span)]
        for path in files
    )
    return f"""
        SELECT *, {readings.CLOCK} AS clock_ms
        FROM ({rows}) JOIN (VALUES {", ".join(whose)}) span (filename, run, first_ms, last_ms) USING (filename)
        WHERE time_ms BETWEEN first_ms AND last_ms"""


def _times(span: Span) -> tuple[int, int]:
    return (
        -_EVER_MS if span.begin is None else round(span.begin * 1000),
        _EVER_MS if span.end is None else round(span.end * 1000),
    )


def _usage(
    metrics: Sequence[Metric],
    node: int,
    rank: int | None,
    attempts: Sequence[int],
    devices: Sequence[str | None],
    count: int,
    seconds: float,
    *values: Any,
) -> Usage:
    numbers = {metric.name: metric.factor * float(value) for metric, value in zip(metrics, values) if value is not None}
    told = {m.name.removeprefix("power_of_"): numbers.pop(m.name) for m in OF_POWER if m.name in numbers}
    powered = told.get("seconds", 0.0)
    held = tuple((attempt, device) for attempt, device in zip(attempts, devices) if device)
    made = power(told, powered) if held else None
    if made and made.watts is not None:
        numbers[POWER] = made.watts
    return Usage(node, rank, held, int(count), float(seconds), numbers, made, powered)
