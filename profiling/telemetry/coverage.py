"""Which parts of a run were not read: a sampler that was killed, that hangs in a driver or that has crashed with it."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from launch.record.contents import Event, PlanRecord
from launch.record.rundir import RunDir
from profiling import text
from profiling.telemetry import readings
from profiling.telemetry.notes import Notes
from profiling.telemetry.usage import TOGETHER, Span, Usage, within

_COLUMNS = {"node", "attempt", "rank", "device", "time_ms", "clock_set_ms"}
_LATE_S = 2.0  # s, and two readings: how early a good sampler may stop before the end
_START_S = 30.0  # s until all ranks of a node may have started
_MISSING = 0.2  # share of the readings in between that a machine that is too busy may leave out


class Read(NamedTuple):
    """The readings of a node in an attempt."""

    node: int
    attempt: int
    first: float  # Unix seconds
    last: float
    count: int
    seconds: float  # from first to last by a clock that nobody sets
    measured: bool  # whether that clock was recorded


class _Gap(NamedTuple):
    line: str
    seconds: float = 0.0  # that nothing was read for; readings that are missing in between are none of these


def gaps(run: RunDir, nodes: int, hz: float, notes: Notes, found: Sequence[Read], under_way: bool = False) -> list[str]:
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
    found : sequence of Read
        What `read` returns for the run.
    under_way : bool
        Whether the run goes on, so that readings should reach to this moment.
    """
    lines = [_hang(*hang) for hang in notes.hangs]
    return lines + [gap.line for gap in _gaps(run, nodes, hz, notes, found, under_way)[0]]


def unread_share(run: RunDir, nodes: int, hz: float, notes: Notes, found: Sequence[Read]) -> float:
    """Return the share of the time of a run's nodes, in all attempts, in which they were not read."""
    unread, seconds = _gaps(run, nodes, hz, notes, found, under_way=False)
    return sum(gap.seconds for gap in unread) / seconds if seconds else 0.0


def without_gpus(found: Iterable[Usage], notes: Notes, nodes: int, plan: PlanRecord) -> list[int]:
    """Return the nodes of which not every rank's GPU was read, in a run of which any GPU was.

    A GPU that was read may report no power: an MI250X is two of which one reports that of both.
    """
    gpus = [one for one in found if one.device]
    instances = any((one.device or "").startswith("MIG-") for one in gpus)
    # A rank may hold several GPUs. Those that no rank holds are not read.
    least = min(plan.get("gpus_per_node", 0), 1 if instances else plan["ranks_per_node"])
    read = Counter(one.node for one in gpus)
    return [node for node in range(nodes) if read[node] < least or node in notes.lacking] if gpus else []


def _gaps(
    run: RunDir, nodes: int, hz: float, notes: Notes, read: Sequence[Read], under_way: bool
) -> tuple[list[_Gap], float]:
    """Return the gaps, and the seconds of all nodes in all attempts."""
    lines: list[_Gap] = []
    found = {(one.node, one.attempt): one for one in read} if hz > 0 else {}
    attempts = _attempts(run.events(), found.values(), under_way) if found else {}
    for attempt, (begin, end) in attempts.items():
        unread, later = [], f", attempt {attempt}" if attempt > 1 else ""
        for node in range(nodes):
            ended = (node, attempt) in notes.ended
            if one := found.get((node, attempt)):
                lines += _of_node(run, f"node {node}{later}", one, begin, end, hz, ended)
            elif not ended and end - begin > _late(hz):
                unread.append(node)
        if unread:
            some = ", ".join(map(str, unread[:8])) + (f" and {len(unread) - 8} more" if len(unread) > 8 else "")
            line = f"not read: node{'s' * (len(unread) > 1)} {some}{later}"
            lines.append(_Gap(line, len(unread) * (end - begin)))
    return lines, nodes * sum(end - begin for begin, end in attempts.values())


def _of_node(run: RunDir, where: str, one: Read, begin: float, end: float, hz: float, ended: bool) -> Iterable[_Gap]:
    of = f"of {text.number(end - begin, 3)} s"
    late = one.first - begin
    if late > _START_S and late > 0.1 * (end - begin):
        yield _Gap(f"{where}: readings begin {text.number(late, 3)} s after the run does, {of}", late)
    short = min(end - one.last, end - begin)
    if not ended and short > _late(hz):
        yield _Gap(f"{where}: readings end {text.number(short, 3)} s before the run does, {of}", short)
    wanted = round(one.seconds * hz) + 1
    missing, some = wanted - one.count, max(2, _MISSING * wanted)
    longest = _longest(run, one) if missing > some and not one.measured else 0.0
    if longest * hz > missing / 2 > 0:
        nothing = f"nothing was read for {text.number(longest, 3)} s, or its clock was set forward"
        yield _Gap(f"{where}: {nothing}: rates, power and energy may be wrong", longest)
    elif missing > some:
        yield _Gap(f"{where}: {missing} of {wanted} readings are missing")
    elif -missing > some:
        many = f"{one.count} readings at {hz:g} Hz within {text.number(one.seconds, 3)} s"
        why = "they are there twice, or its clock was set back"
        yield _Gap(f"{where}: {many}: {why}: rates, power and energy may be wrong", -missing / hz)


def _late(hz: float) -> float:
    return _LATE_S + 2 / hz


def _hang(node: int, attempt: int, device: str, when: float) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(when))
    what = f"the driver of {device}" if device else "a driver, when it was opened,"
    later = f" of attempt {attempt}" if attempt > 1 else ""
    return f"{what} on node {node} did not answer any more at {clock}: GPUs there are not read from then on{later}"


def _attempts(events: Sequence[Event], found: Collection[Read], under_way: bool) -> Mapping[int, tuple[float, float]]:
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


def read(runs: Sequence[RunDir]) -> list[list[Read]]:
    """Return which times the readings of nodes themselves cover, for each run; none if nothing was read, or nothing
    here can read it. Many small runs are read at once, which takes a fraction of the time."""
    found: list[list[Read]] = [[] for _ in runs]
    sources = [
        (at, Span(run.readings), files) for at, run in enumerate(runs) if (files := readings.files(run.readings))
    ]
    for first in range(0, len(sources), TOGETHER):
        some = sources[first : first + TOGETHER]
        rows = readings.rows([path for *_, files in some for path in files], _COLUMNS)
        if rows is None:
            break
        query = f"""
            SELECT run, node, attempt, min(time_ms) / 1000, max(time_ms) / 1000, count(*),
                   (max(clock_ms) - min(clock_ms)) / 1000, count(clock_set_ms) > 0
            FROM ({within(rows, some)}) WHERE rank IS NULL AND device IS NULL GROUP BY ALL"""
        with readings.unharmed(span.folder for _, span, _ in some), readings.cursor() as database:
            for at, *values in database.execute(query).fetchall():
                found[at].append(Read(*values))
    return found


def _longest(run: RunDir, one: Read) -> float:
    """Return the longest time between two readings of a node in an attempt, in seconds."""
    database = readings.view(run.readings)
    if database is None:
        return 0.0
    query = """
        SELECT coalesce(max(apart), 0) / 1000 FROM (
            SELECT time_ms - lag(time_ms) OVER (ORDER BY time_ms) AS apart
            FROM reading WHERE node = ? AND attempt = ? AND rank IS NULL AND device IS NULL)"""
    with database:
        ((longest,),) = database.execute(query, [one.node, one.attempt]).fetchall()
    return longest
