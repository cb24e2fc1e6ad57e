"""Where the steps of a trace are: by their marks, else by what repeats on the busiest line, else all of it is one."""

import re
from collections import defaultdict
from dataclasses import dataclass, field

from launch.errors import Refusal
from profiling.traces import xplane
from profiling.traces.xplane import Capture, Event, Line

LEAST = 3  # repetitions that make a step
_PYTORCH = re.compile(r"ProfilerStep#(\d+)")


@dataclass(frozen=True)
class Steps:
    """The steps of a trace, numbered, in the order of their starts."""

    spans: list[tuple[int, float, float]]  # number, start, end
    how: str  # how they were found, for the reader
    marks: set[str] = field(default_factory=set)  # names of the events that are marks, and not work of the host


def find(capture: Capture) -> Steps:
    """Find the steps of any trace."""
    host = [event for line in capture.lines if line.plane == xplane.HOST for event in line.events]
    by_name: dict[str, list[Event]] = defaultdict(list)
    for event in host:
        if isinstance(event.stats.get("step_num"), int):
            by_name[event.name].append(event)
    if by_name:
        name, events = max(by_name.items(), key=lambda item: len(item[1]))
        return Steps(_once([(event.stats["step_num"], event) for event in events]), f"marked as {name!r}", {name})
    numbered = [(int(found[1]), event) for event in host if (found := _PYTORCH.fullmatch(event.name))]
    if numbered:
        return Steps(_once(numbered), "marked by the profiler of PyTorch", {event.name for _, event in numbered})
    for line in capture.lines:
        if line.name == "Steps" and line.events:
            return Steps(_once(list(enumerate(line.events, 1))), f"marked on {line.plane}")
    busiest = max(_working(capture), key=lambda line: sum(e.end - e.start for e in line.events), default=None)
    if busiest and (spans := _repeated(busiest)):
        first = next(event.name for event in busiest.events if event.start == spans[0][1])
        return Steps(spans, f"not marked; found by repetition: {len(spans)} times from one {first[:60]!r} to the next")
    events = [event for line in _working(capture) for event in line.events]
    if not events:
        raise Refusal("the trace holds no event: was anything run while it was traced?")
    start, end = min(event.start for event in events), max(event.end for event in events)
    return Steps([(1, start, end)], "not marked, and nothing repeats: the whole capture is shown as one")


def _working(capture: Capture) -> list[Line]:
    """Return the streams of GPUs; for a trace without any, its threads."""
    on_gpu = [line for line in capture.lines if line.plane.startswith(xplane.GPU) and line.name.startswith("Stream")]
    return [line for line in on_gpu or capture.lines if line.events]


def _once(numbered: list[tuple[int, Event]]) -> list[tuple[int, float, float]]:
    """Return each step once, by the longest of the marks that have its number."""
    longest: dict[int, Event] = {}
    for number, event in numbered:
        if number not in longest or event.end - event.start > longest[number].end - longest[number].start:
            longest[number] = event
    return sorted(((number, event.start, event.end) for number, event in longest.items()), key=lambda span: span[1])


def _repeated(line: Line) -> list[tuple[int, float, float]]:
    """Return the longest spans from one run of an operation to its next that all hold the same operations."""
    named = [event.name for event in line.events]
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(named):
        places[name].append(place)
    best: list[int] = []
    for found in places.values():
        gaps = {later - before for before, later in zip(found, found[1:])}
        period = min(gaps, default=0)
        if len(found) < LEAST or len(gaps) != 1 or period < 2 or best and period <= best[1] - best[0]:
            continue
        cycles = [named[start : start + period] for start in found[:-1]]
        if all(cycle == cycles[0] for cycle in cycles):
            best = found
    if not best:
        return []
    period = best[1] - best[0]
    ends = [*best[1:], best[-1] + period]
    spans = []
    for number, (start, end) in enumerate(zip(best, ends), 1):
        if end < len(line.events):
            spans.append((number, line.events[start].start, line.events[end].start))
        elif end == len(line.events):
            spans.append((number, line.events[start].start, line.events[-1].end))
    return spans if len(spans) >= LEAST - 1 else []
