"""Which parts of a run were not read: a sampler that was killed, that hangs in a driver or that has crashed with it."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from launch.record.contents import Event
from launch.record.rundir import RunDir
from profiling import text
from profiling.telemetry import readings
from profiling.telemetry.notes import Notes

_LATE_S = 2.0  # s, and two readings: how early a good sampler may stop before the end
_START_S = 30.0  # s until all ranks of a node may have started
_MISSING = 0.2  # share of the readings in between that a machine that is too busy may leave out


class _Read(NamedTuple):
    node: int
    attempt: int
    first: float  # Unix seconds
    last: float
    count: int


def gaps(run: RunDir, nodes: int, hz: float, notes: Notes, under_way: bool) -> list[str]:
    """Return what the readings of a run do not cover, a line for each node and attempt.

    Parameters
    ----------
    run : RunDir
        Run with the readings.
    nodes : int
        Number of nodes of the run.
    hz : float
        Readings per second that were asked for; at 0 none are missing.
    notes : Notes
        Notes of the run's samplers.
    under_way : bool
        Whether the run goes on, so that readings should reach to this moment.
    """
    lines = [_hang(*hang) for hang in notes.hangs]
    if hz <= 0:
        return lines
    found = {(one.node, one.attempt): one for one in _found(run)}
    for attempt, (begin, end) in _attempts(run.events(), found.values(), under_way).items() if found else ():
        unread, later = [], f", attempt {attempt}" if attempt > 1 else ""
        for node in range(nodes):
            ended = (node, attempt) in notes.ended
            if one := found.get((node, attempt)):
                lines += _of_node(f"node {node}{later}", one, begin, end, hz, ended)
            elif not ended and end - begin > _late(hz):
                unread.append(node)
        if unread:
            some = ", ".join(map(str, unread[:8])) + (f" and {len(unread) - 8} more" if len(unread) > 8 else "")
            lines.append(f"not read: node{'s' * (len(unread) > 1)} {some}{later}")
    return lines


def _of_node(where: str, one: _Read, begin: float, end: float, hz: float, ended: bool) -> Iterable[str]:
    of = f"of {text.number(end - begin, 3)} s"
    if one.first - begin > _START_S and one.first - begin > 0.1 * (end - begin):
        yield f"{where}: readings begin {text.number(one.first - begin, 3)} s after the run does, {of}"
    short = min(end - one.last, end - begin)
    if not ended and short > _late(hz):
        yield f"{where}: readings end {text.number(short, 3)} s before the run does, {of}"
    wanted = round((one.last - one.first) * hz) + 1
    if wanted - one.count > max(2, _MISSING * wanted):
        yield f"{where}: {wanted - one.count} of {wanted} readings are missing"


def _late(hz: float) -> float:
    return _LATE_S + 2 / hz


def _hang(node: int, attempt: int, device: str, when: float) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(when))
    what = f"the driver of {device}" if device else "a driver, when it was opened,"
    later = f" of attempt {attempt}" if attempt > 1 else ""
    return f"{what} on node {node} did not answer any more at {clock}: GPUs there are not read from then on{later}"


def _attempts(events: Sequence[Event], found: Collection[_Read], under_way: bool) -> Mapping[int, tuple[float, float]]:
    """Return when each attempt began and ended, Unix seconds; an end that is not noted is any node's last reading."""
    begun: dict[int, float] = {}
    over: dict[int, float] = {}
    for event in events:
        if event["event"] == "started":
            begun[event.get("attempt", len(begun) + 1)] = event["time"]
        elif event["event"] == "ended" and begun:
            over.setdefault(event.get("attempt", max(begun)), event["time"])
    last = max(begun, default=0)
    if under_way and last and last not in over:
        over[last] = time.time()
    for attempt in begun:
        over.setdefault(attempt, max((one.last for one in found if one.attempt == attempt), default=begun[attempt]))
    return {attempt: (begin, over[attempt]) for attempt, begin in begun.items() if over[attempt] > begin}


def _found(run: RunDir) -> list[_Read]:
    """Return the readings of the nodes themselves; none if nothing was read, or nothing here can read it."""
    database = readings.view(run.readings)
    if database is None:
        return []
    query = """
        SELECT node, attempt, min(time_ms) / 1000, max(time_ms) / 1000, count(*)
        FROM reading WHERE rank IS NULL AND device IS NULL GROUP BY ALL"""
    with readings.unharmed([run.readings]), database:
        return [_Read(*row) for row in database.execute(query).fetchall()]
