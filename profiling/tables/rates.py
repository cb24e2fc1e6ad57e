"""The throughput of the rows of a series, from what was measured; and whether it scales weakly or strongly."""

import re
from collections.abc import Sequence

from launch.errors import Refusal
from profiling.tables import names, scaling, steps, work
from profiling.tables.cells import numbers
from profiling.tables.cells.numbers import Number
from profiling.tables.choice import Chosen
from profiling.tables.columns import Asked, Column
from profiling.tables.rows import Row, as_given, ratio, whole


def kind(chosen: Chosen, group: Sequence[Row], asked: Asked, words: Sequence[str]) -> tuple[str, str]:
    """Return "weak", "strong" or empty, and the reason; it raises as `scaling.kind` does."""
    if asked.kind:
        return asked.kind, ""
    if chosen.kind:
        return group[0].kind, ""
    rates = seconds = pace = None
    if chosen.measure == "time":
        seconds = [in_seconds(row, asked) for row in group]
    elif chosen.measure in ("throughput", "rate of one"):
        rates, unit = _of_rates(chosen, group, asked)
        of_steps = steps.rate_of_steps(unit) and group[0].measured.key != "throughput"
        pace = [1 / rate for rate in rates] if of_steps else None
        beside = _time_beside(chosen, group)
        seconds = whole(group, beside) if beside else None
    counted = work.of_all(chosen, group)
    sizes = [(column.key, values) for column in chosen.of("size") if (values := whole(group, column))]
    key, size = next((each for each in sizes if len(set(each[1])) > 1), sizes[0] if sizes else ("", None))
    given = {
        what: [ratio(row, column) for row in group]
        for what in ("speed-up", "efficiency")
        for column in chosen.of(what)[:1]
    }
    known = scaling.Evidence(
        workers=[row.workers for row in group],
        seconds=seconds,
        pace=pace,
        rates=rates,
        work=counted.values if counted else None,
        size=size,
        # An example is more work for a larger model, a floating-point operation is not.
        models=bool(re.search("model|param", key)) and "flop" not in group[0].measured.key,
        speedup=given.get("speed-up"),
        efficiency=given.get("efficiency"),
        words=words,
    )
    return scaling.kind(known)


def in_seconds(row: Row, asked: Asked) -> float:
    """Return the time of a row in seconds, by the unit of its cell, of the user, or of the heading, else seconds."""
    odd = "" if row.value.unit or row.unit or asked.unit else names.odd_unit(row.measured.heading)
    unit = odd or (row.value.unit or row.unit or asked.unit or row.measured.heading.unit or "s").lower()
    unit = re.split(r"\s*(?:/|\bper\b)", unit)[0] if row.measured.heading.per else unit  # days/hour
    if odd or unit not in names.SECONDS:
        raise Refusal(
            f"{row.where}: {row.measured.name} is {as_given(row.cells[row.measured.place])}, "
            f"and {unit!r} is no unit of time: say --unit s, ms or min"
        )
    return row.value.value * names.SECONDS[unit]


def throughput(chosen: Chosen, group: Sequence[Row], kind: str, asked: Asked) -> tuple[list[float], str]:
    """Return the throughput of each row, and its unit."""
    measured = group[0].measured
    marked = [bool(row.value.unit or row.unit) for row in group]
    if chosen.measure in ("time", "throughput", "rate of one") and any(marked) and not all(marked):
        if not (measured.heading.unit or asked.unit):
            row = group[marked.index(False)]
            raise Refusal(
                f"{row.where}: {measured.name} has no unit while others have: give all of them theirs, or say --unit"
            )
    if chosen.measure == "time":
        return _of_times(chosen, group, kind, asked)
    if chosen.measure in ("speed-up", "efficiency"):
        return _of_ratios(chosen, group)
    rates, unit = _of_rates(chosen, group, asked)
    if not steps.rate_of_steps(unit) or measured.key == "throughput":  # the documented column is that of all
        return rates, unit
    counted = work.of_all(chosen, group, kind)
    if counted and counted.batch:
        return [rate * each for rate, each in zip(rates, counted.values)], "examples/s"
    workers = [row.workers for row in group]
    if kind != "weak" or scaling.grows(workers, rates):  # in weak scaling only a rate of the steps of all can grow
        return rates, unit
    each, unit = (counted.values, f"{counted.noun} x {unit}") if counted else (workers, _of_one_worker(unit))
    return [rate * amount for rate, amount in zip(rates, each)], unit


def _of_times(chosen: Chosen, group: Sequence[Row], kind: str, asked: Asked) -> tuple[list[float], str]:
    """Return the throughput from times: of the work if it does not follow from the kind, else of runs or steps."""
    done, unit = steps.in_a_time(group[0].measured.heading)
    workers = [row.workers for row in group]
    each = [float(n) if kind == "weak" else 1.0 for n in workers]
    counted = work.of_all(chosen, group, kind)
    of_steps = counted and counted.batch and (unit == "steps/s" or "batch" in group[0].measured.key)
    if counted and (of_steps or not scaling.follows(workers, counted.values)):
        of_work = f"{counted.noun}/s" if unit.endswith("/s") else f"{counted.noun} x {unit}"
        each, unit = counted.values, "examples/s" if of_steps else of_work
    elif kind == "weak":
        unit = _of_one_worker(unit)
    return [done * amount / in_seconds(row, asked) for amount, row in zip(each, group)], unit


def _of_one_worker(unit: str) -> str:
    of, per, time = unit.partition("/")
    return f"{of} of one worker{per}{time}"


def _of_ratios(chosen: Chosen, group: Sequence[Row]) -> tuple[list[float], str]:
    """Return speed-ups and efficiencies as throughput, in units of the workers to which they are relative."""
    percent = group[0].measured.heading.unit == "%"
    values = [row.value.value / 100 if percent or row.value.unit == "%" else row.value.value for row in group]
    base = min(row.workers for row in group)
    of_base = next(value for value, row in zip(values, group) if row.workers == base)
    if chosen.measure == "efficiency":
        values = [value / 100 for value in values] if of_base > 1.5 else values
        of_base = of_base / 100 if of_base > 1.5 else of_base
    relative = base > 1 and abs(of_base - 1) <= scaling.HELD / 10
    if chosen.measure == "efficiency":
        values = [value * row.workers / (base if relative else 1) for value, row in zip(values, group)]
    return values, f"times {base} {names.plural(chosen.workers.heading.worker)}" if relative else "times one worker"


def _of_rates(chosen: Chosen, group: Sequence[Row], asked: Asked) -> tuple[list[float], str]:
    """Return the rates of all workers, as the table gives them or as those of one worker times the workers."""
    measured = group[0].measured
    said = {row.unit for row in group if row.unit}
    in_cells = {row.value.unit.lower().rstrip("."): row.value.unit for row in group if row.value.unit}
    if len(said) > 1 or len(in_cells) > 1:
        some = sorted(said) if len(said) > 1 else list(in_cells.values())
        raise Refusal(
            f"has throughput in different units ({', '.join(some)}): keep those that can be compared, "
            "or name series by --series-column"
        )
    unit = asked.unit or next(iter(said), "") or measured.heading.unit or next(iter(in_cells.values()), "")
    unit = unit or ("examples/s" if measured.key == "throughput" else work.noun_of(measured))
    unit, worker = names.of_all(unit)
    rates = [row.value.value for row in group]
    if measured.heading.per and not chosen.named and max(rates) < scaling.CLEARLY * min(rates):
        named = f"--throughput-column {measured.name!r} or --time-column {measured.name!r}"
        raise Refusal(f"does not say whether {measured.name} is a rate or the time of what is simulated: say {named}")
    if chosen.measure == "rate of one" or worker:
        rates = work.times_workers(chosen, group, rates, worker or measured.heading.worker)
    return rates, unit


def times(chosen: Chosen, group: Sequence[Row], asked: Asked) -> list[float | None]:
    """Return the seconds of each row; None if the table does not say how long its runs took."""
    if chosen.measure == "time":
        return [in_seconds(row, asked) for row in group]
    column = _time_beside(chosen, group)
    if not column:
        return [None] * len(group)
    cells = numbers.column([row.cells[column.place] for row in group], column.comma or "thousands", time=True)
    unit = column.heading.unit
    return [
        cell.value * names.SECONDS.get((cell.unit or unit or "s").lower(), 1.0) if isinstance(cell, Number) else None
        for cell in cells
    ]


def _time_beside(chosen: Chosen, group: Sequence[Row]) -> Column | None:
    """Return the column of how long runs took beside their throughput: not one that was set, as the time step is."""
    heading = group[0].measured.heading
    of_steps = steps.rate_of_steps(heading.unit or heading.text)
    for column in chosen.of("time"):
        of_model = re.search(r"^time ?step|\bdt\b|simulated" + "|simulation|model" * of_steps, column.key)
        values = whole(group, column) or []
        if column.heading.rank < 2 and not of_model and len(set(values)) != 1:
            return column
    return None
