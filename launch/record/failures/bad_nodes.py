"""Finds nodes that keep failing, from the attempts of runs under Slurm."""

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from launch.errors import Refusal
from launch.plan import hostlist
from launch.record.contents import Event
from launch.record.failures import causes, job_log
from launch.record.rundir import RunDir

GONE = "went away, and the job script with it"
"""The error of the first node of an attempt that has recorded no end, and that Slurm has not ended."""


class BadNode(NamedTuple):
    """A node that is better avoided."""

    host: str
    failed: int  # attempts in which this node failed first
    attempts: int  # attempts in which it took part
    error: str  # error of the last of these failures
    runs: tuple[Path, ...]  # runs in which the node failed


class _Fault(NamedTuple):
    host: str
    error: str
    time: float
    run: Path


def among(runs: Iterable[RunDir]) -> list[BadNode]:
    """Return the bad nodes among those on which runs ran.

    A node is bad if it was lost or has a broken GPU. It is also bad if it was the first to fail in two or more
    attempts, in a way in which no other node fails: what fails elsewhere too is the program's fault. A node is cleared
    once it has completed an attempt.

    Parameters
    ----------
    runs : iterable of RunDir
        Runs on this machine are ignored, as it has no other node.
    """
    faults: dict[str, list[_Fault]] = defaultdict(list)
    took_part: dict[str, int] = defaultdict(int)
    well: dict[str, float] = defaultdict(float)
    for run in runs:
        with contextlib.suppress(Refusal):  # a run that cannot be read shows nothing
            for hosts, fault, cleared in _attempts(run):
                for host in hosts:
                    took_part[host] += 1
                    well[host] = max(well[host], cleared)
                if fault is not None:
                    faults[fault.host].append(fault)
    kinds = defaultdict(set)
    for fault in (fault for of_host in faults.values() for fault in of_host):
        kinds[_kind(fault)].add(fault.host)
    bad = []
    for host, found in sorted(faults.items()):
        found = sorted((fault for fault in found if fault.time > well[host]), key=lambda fault: fault.time)
        own = [fault for fault in found if len(kinds[_kind(fault)]) == 1]
        if len(own) >= 2 or any(causes.is_of_the_node(fault.error) for fault in found):
            paths = tuple(dict.fromkeys(fault.run for fault in found))
            bad.append(BadNode(host, len(found), max(took_part[host], len(found)), found[-1].error, paths))
    return bad


def said(bad: Iterable[BadNode]) -> list[str]:
    """Return a line per node."""
    return [
        f"{node.host} was the first to fail in {node.failed} of the {node.attempts} attempts it was in: "
        f"{' '.join(node.error.split())[:120]}"
        for node in bad
    ]


def _attempts(run: RunDir) -> Iterator[tuple[list[str], _Fault | None, float]]:
    """Yield, for each attempt with usable records, its hosts, its evidence against one of them, and when it cleared
    them all."""
    started = [event for event in run.events("started") if "nodes" in event and "attempt" in event]
    ended = {event["attempt"]: event for event in run.events("ended") if "attempt" in event}
    for begin in started:
        end = ended.get(begin.get("attempt", 0))
        hosts = hostlist.expand(begin.get("nodes", ""))
        if not hosts or (end is None and begin is started[-1]):
            continue  # the last attempt may be under way
        fault = _fault(run, begin, end, hosts[0])
        yield hosts, fault, end["time"] if end and fault is None and "hang" not in end else 0.0


def _fault(run: RunDir, begin: Event, end: Event | None, first: str) -> _Fault | None:
    """Return the evidence of an attempt against a node; ``first`` is the node that ran the job script."""
    if end is None and "allocation" in begin:  # the launcher is gone, on whatever node it ran
        return None
    if end is None:
        # Slurm has started the job again. If it did not say that it ended this attempt, the node of the job script has
        # died.
        if job_log.ended_by_slurm(run, begin.get("attempt")):
            return None
        return _Fault(first, GONE, begin["time"], run.path)
    if hang := end.get("hang"):
        return _Fault(hang["host"], "hung", end["time"], run.path) if "host" in hang else None
    failure = end.get("first_failure")
    # What ranks report when another one has gone is not evidence against their own nodes.
    if not failure or causes.is_cascade(failure["error"]):
        return None
    return _Fault(failure["host"], failure["error"], end["time"], run.path)


def _kind(fault: _Fault) -> str:
    """Return the error, without parts that differ from node to node."""
    return re.sub(r"\d+", "0", fault.error.replace(fault.host, "HOST"))
