"""The resources that simultaneous runs divide among them: the GPUs and cores of this machine, or the nodes of an
allocation."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from launch import gpus
from launch.plan.plan import Plan
from launch.plan.shape import gpus_of, runs_at_once
from launch.plan.within.allocation import Allocation


class Place(NamedTuple):
    """The resources that a run has for itself; None for those that are not divided."""

    gpus: tuple[str, ...] | None = None
    cores: tuple[int, ...] | None = None
    nodes: tuple[str, ...] | None = None


class Room(Protocol):
    """The resources that are divided among runs."""

    def take(self, plan: Plan) -> Place | None:
        """Return a place for a run; None while there is none."""

    def give(self, place: Place) -> None:
        """Give back a place."""


class ThisMachine:
    """The GPUs and cores of this machine, divided among the runs that take place at the same time.

    Parameters
    ----------
    plans : sequence of Plan
        Plans of the runs.
    throttle : int
        Maximum number of runs at a time.
    """

    def __init__(self, plans: Sequence[Plan], throttle: int) -> None:
        self._throttle, self._at_work = throttle, 0
        self._gpus = tuple(gpus.visible(plans[0].gpu_variable)) if any(map(gpus_of, plans)) else ()
        self._cores = tuple(sorted(os.sched_getaffinity(0)))
        self._most = min(len(plans), runs_at_once(plans, throttle, len(self._gpus), len(self._cores)))
        self._share = len(self._cores) // self._most

    def take(self, plan: Plan) -> Place | None:
        """Return the first free GPUs and cores; a run that is alone gets everything."""
        gpus = gpus_of(plan)
        cores = plan.cpus_per_task * plan.size if plan.cpus_per_task else self._share
        fits = self._most > 1 and gpus <= len(self._gpus) and cores <= len(self._cores)
        if self._at_work == self._throttle or (self._at_work and not fits):
            return None
        self._at_work += 1
        if not fits:
            return Place()
        place = Place(self._gpus[:gpus] if gpus else None, self._cores[:cores] or None)
        self._gpus, self._cores = self._gpus[gpus:], self._cores[cores:]
        return place

    def give(self, place: Place) -> None:
        """Free a place again."""
        self._at_work -= 1
        self._gpus += place.gpus or ()
        self._cores = tuple(sorted(self._cores + (place.cores or ())))


class Nodes:
    """The nodes of an allocation, each for one run at a time, whichever launcher has started it.

    A taken node is a locked byte of a file that the launchers of an allocation share. If the file system has no locks,
    or the file cannot be written, Slurm and Flux make the step of a run wait for its nodes.

    Parameters
    ----------
    allocation : Allocation
        The allocation that has the nodes.
    throttle : int
        Maximum number of runs at a time.
    """

    def __init__(self, allocation: Allocation, throttle: int) -> None:
        self._left, self._nodes = throttle, allocation.nodes
        self._free = set(range(len(self._nodes)))
        self._file: IO[bytes] | None = None
        with contextlib.suppress(OSError):
            folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "rankloop"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = open(folder / f"nodes-of-{allocation.id}", "ab")

    def take(self, plan: Plan) -> Place | None:
        """Return the first free nodes."""
        if not self._left:
            return None
        taken: list[int] = []
        for index in sorted(self._free):
            if len(taken) < plan.nodes and self._lock(index, fcntl.LOCK_EX | fcntl.LOCK_NB):
                taken.append(index)
        if len(taken) < plan.nodes:
            for index in taken:
                self._lock(index, fcntl.LOCK_UN)
            return None
        self._left, self._free = self._left - 1, self._free - set(taken)
        return Place(nodes=tuple(self._nodes[index] for index in taken))

    def give(self, place: Place) -> None:
        """Free a place again."""
        self._left += 1
        for index in map(self._nodes.index, place.nodes or ()):
            self._free.add(index)
            self._lock(index, fcntl.LOCK_UN)

    def _lock(self, index: int, how: int) -> bool:
        try:
            if self._file is not None:
                fcntl.lockf(self._file, how, 1, index)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # this file system has no locks
            self._file = None
        return True

    @contextlib.contextmanager
    def tidied(self) -> Iterator[None]:
        """Remove the file at the end, if no other launcher is at work in the allocation."""
        try:
            yield
        finally:
            every = range(len(self._nodes))
            if self._file and all(self._lock(index, fcntl.LOCK_EX | fcntl.LOCK_NB) for index in every):
                with contextlib.suppress(OSError):
                    os.unlink(self._file.name)
