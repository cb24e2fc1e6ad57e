"""What times and rates are of: runs, steps, or time that is simulated."""

import re
from dataclasses import replace

from profiling.tables import names, scaling
from profiling.tables.cells import numbers
from profiling.tables.cells.counts import counted
from profiling.tables.cells.numbers import Number
from profiling.tables.columns import Column
from profiling.tables.names import SECONDS, UNLIKELY, Heading

_SIMULATED = ("ps", "fs", "year", "month", "yr", "sy")  # besides the units of times
_STEP = "(?:time ?)?step|iteration|iter"
_STEPS = rf"(?:[ -]+(?!per|for|of)[a-z]+)?(?: +(?:{_STEP})s| ?-(?:{_STEP}))\b"  # MD steps, -step
_RATE = re.compile(
    rf"(?:(?:md|train\w*|global|solver|simulation|optimi[sz]er)[ -])?(?:{_STEP}|it|batche?|frame)s?\s*(?:/|\bper\b).*"
    r"|it|fps|sypd|sdpd|simulated \w+\s*(?:/|\bper\b).*",
    re.IGNORECASE,
)


def rate_of_steps(unit: str) -> bool:
    """Return whether a rate is that of steps or of simulated time, whose worth depends on the work of a step."""
    of, _, per = (part.strip().lower() for part in unit.partition("/"))
    return bool(_RATE.fullmatch(unit.strip())) or of in SECONDS and per in SECONDS


def in_a_time(heading: Heading) -> tuple[float, str]:
    """Return how much is done in the time that a heading names, and the unit of its rate: 1000 and steps/s."""
    simulated = re.fullmatch(r"(?:1 )?((?:simulated |model(?:led)? )?(\w+))", heading.per)
    if simulated and (names.is_time(simulated[2]) or simulated[2] in _SIMULATED):
        return 86400.0, f"{simulated[1]}{'s' * (len(simulated[2]) > 2)}/day"
    words = re.sub(r"[_()\[\]]", " ", heading.text.lower())
    if found := re.search(rf"(?<![\w.])(\d+(?:[,.' ]\d{{3}})*(?:e\d+)?\s?[km]?){_STEPS}", words):
        (count,) = numbers.column([found[1].upper().replace("E", "e")], "thousands")
        return (count.value if isinstance(count, Number) else 1.0), "steps/s"
    one = re.search(rf"(?<![\w-])(?:{_STEP})(?![\w-])", words) or heading.per in ("it", "batch")
    return 1.0, "steps/s" if one else "runs/s"


def directed(column: Column, workers: Column) -> Column:
    """Return a column of time per time, such as days/hour, as one of times if it falls while the workers rise."""
    if column.heading.meaning != "throughput" or not column.heading.per:
        return column
    pairs = sorted((n, value) for n, value in zip(counted(workers), column.values()) if isinstance(n, int) and value)
    if not pairs or pairs[0][1] < scaling.CLEARLY * pairs[-1][1]:
        return column
    return replace(column, heading=replace(column.heading, meaning="time", rank=column.heading.rank + UNLIKELY))
