"""What a table can hardly mean: it is refused, or noted for the reader."""

from collections import defaultdict
from collections.abc import Sequence

from launch.errors import Refusal
from profiling import text
from profiling.tables import scaling
from profiling.tables.choice import Chosen
from profiling.tables.columns import Asked, Column
from profiling.tables.rows import Row, ratio, shown

UNLIKE = 3  # factor by which repeats are unlikely to differ
FAR = 1.5  # efficiency above which a column is probably not what it seems


def note(chosen: Chosen, group: Sequence[Row], rates: Sequence[float], asked: Asked, notes: list[str], of: str) -> None:
    """Refuse what can hardly be a throughput; note what is doubtful."""
    points: dict[int, list[float]] = defaultdict(list)
    for row, rate in zip(group, rates):
        points[row.workers].append(rate)
    workers = sorted(points)
    mean = [sum(points[n]) / len(points[n]) for n in workers]
    column = group[0].measured
    apart = [n for n in workers if max(points[n]) > UNLIKE * min(points[n])]
    if len(apart) > 1 and not (asked.series_column or chosen.name or chosen.kind):
        one, other = ([row for row in group if row.workers == apart[0]][place] for place in (0, -1))
        raise Refusal(
            f"{of}{one.where} and {other.where} have {text.plural(apart[0], 'worker')} and differ by more than a "
            f"factor of {UNLIKE}: are they of one problem? say --series-column NAME, or --series-column none if "
            "they are "
            "repeats"
        )
    if chosen.measure == "throughput" and not chosen.named and not asked.unit and len(workers) > 2:
        looks = scaling.fallen(workers, mean)
        named = f"{column.name!r}"
        if looks == "times":
            raise Refusal(
                f"{of}{column.name} falls as 1/workers: are these times (seconds)? say "
                f"--time-column {named}; if it is throughput, --throughput-column {named}"
            )
        if looks == "rate of one":
            raise Refusal(
                f"{of}{column.name} stays the same: is it the rate of one worker? say "
                f"--unit UNIT/worker; if it is that of all, --throughput-column {named}"
            )
    at, best = max(((n, rate * workers[0] / n / mean[0]) for n, rate in zip(workers, mean)), key=lambda pair: pair[1])
    if best > FAR:
        notes.append(
            f"{of}an efficiency of {best:.0%} at {text.plural(at, 'worker')} is far above 100 %: "
            "are all rows of the same problem, and in the same unit?"
        )
    for what in ("speed-up", "efficiency"):
        for given in chosen.of(what)[:1]:
            _compare(given, group, dict(zip(workers, mean)), notes, of)


def _compare(given: Column, group: Sequence[Row], mean: dict[int, float], notes: list[str], of: str) -> None:
    """Note if the speed-up or efficiency in the table differs from that of its measurements."""
    base = min(mean)
    by_base = next((ratio(row, given) for row in group if row.workers == base), None)
    percent = given.heading.unit == "%" or (by_base or 0) > 10 and given.heading.meaning == "efficiency"
    for row in group:
        said = ratio(row, given)
        if said is None or row.workers == base or by_base is None:
            continue
        said = said / 100 if percent and said > 1.5 else said
        own = mean[row.workers] / mean[base]
        if given.heading.meaning == "efficiency":
            own *= base / row.workers
        elif by_base > 1.01:
            own *= by_base
        if not 0.9 <= said / own <= 1.1:
            shown_own = f"{own:.0%}" if given.heading.meaning == "efficiency" else text.number(own, 3)
            notes.append(
                f"{of}{given.name} is {shown(row.cells[given.place])} at {text.plural(row.workers, 'worker')} in the "
                f"table, and {shown_own} by its measurements"
            )
            return
