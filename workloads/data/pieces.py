"""Files that any number of processes make together: each piece once, by whoever is free, on the cores that are free."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.node import stop
from workloads.data.claims import Claim, Claims, Core

POLL_SECONDS = 0.5
BEAT_SECONDS = 5.0


@dataclass
class Piece:
    """A piece of work.

    Parameters
    ----------
    name : str
        Name of the claim on it.
    weight : int
        Number of things in it, in which progress is counted.
    paths : sequence of Path
        Files of the piece, which is made once all of them exist.
    make : function
        ``make(beat)`` writes the files, and often calls ``beat`` with the number of things made so far.
    """

    name: str
    weight: int
    paths: Sequence[Path]
    make: Callable[[Callable[[int], None]], None]


def share(folder: Path, pieces: Sequence[Piece], news: Callable[[int, int, bool], None], threads: int = 1) -> None:
    """Make the pieces of work that nobody has made or is making; wait for the others.

    Parameters
    ----------
    folder : Path
        Folder of the files, and of the claims on them; created if it is missing.
    pieces : sequence of Piece
        All pieces that are wanted.
    news : function
        Called from time to time with the number of things made by anybody, the number wanted, and whether this process
        is making some.
    threads : int
        Highest number of pieces that this process makes at once.

    Raises
    ------
    SystemExit
        With the status `launch.node.stop.STOPPED`, if a signal asked this process to stop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    claims, ended = Claims(folder), threading.Event()
    workers: list[_Worker] = []
    total = sum(piece.weight for piece in pieces)
    try:
        while missing := _missing(folder, pieces):
            ended.clear()
            for worker in [worker for worker in workers if not worker.is_alive()]:
                workers.remove(worker)
                worker.close()
            own = {worker.piece.name: worker.done for worker in workers}
            others = [piece for piece in missing if piece.name not in own]
            if len(workers) < threads and (worker := _start(folder, others, claims, ended)):
                workers.append(worker)
                continue
            for worker in workers:
                worker.beat()
            elsewhere = sum(claims.done(piece.name) or 0 for piece in others)
            left = sum(piece.weight for piece in missing)
            news(total - left + sum(own.values()) + elsewhere, total, bool(own))
            if stop.requested():
                raise SystemExit(stop.STOPPED)
            ended.wait(POLL_SECONDS)
    finally:
        for worker in workers:
            worker.halt()
        for worker in workers:
            worker.close()


def _missing(folder: Path, pieces: Sequence[Piece]) -> list[Piece]:
    there = set(os.listdir(folder))
    return [piece for piece in pieces if not all(path.name in there for path in piece.paths)]


def _start(folder: Path, pieces: Sequence[Piece], claims: Claims, ended: threading.Event) -> _Worker | None:
    core = Core.take() if pieces else None
    if core is None:
        return None
    for piece in pieces:
        if claim := claims.take(piece.name):
            if _missing(folder, [piece]):  # else somebody has made it between our look and our claim
                return _Worker(piece, claim, core, ended)
            claim.release()
    core.release()
    return None


class _Halted(Exception):
    """A worker has to stop in the middle of its piece."""


class _Worker(threading.Thread):
    """A thread that makes a piece on a core."""

    def __init__(self, piece: Piece, claim: Claim, core: Core, ended: threading.Event) -> None:
        super().__init__(name=piece.name, daemon=True)
        self.piece, self.done = piece, 0
        self._claim, self._core, self._ended = claim, core, ended
        self._halted = False
        self._error: BaseException | None = None
        self._beaten = time.monotonic()
        self.start()

    def run(self) -> None:
        """Make the piece."""
        try:
            self.piece.make(self._progress)
        except _Halted:
            pass
        except BaseException as error:  # raised again by close(), in the thread that waits for this one
            self._error = error
        self._ended.set()

    def beat(self) -> None:
        """Renew the claim, if it is time to."""
        if time.monotonic() - self._beaten > BEAT_SECONDS:
            self._claim.beat(self.done)
            self._beaten = time.monotonic()

    def halt(self) -> None:
        """Stop at the next opportunity."""
        self._halted = True

    def close(self) -> None:
        """Wait for the thread, release claim and core, and raise the error that ended it, if any."""
        self.join()
        self._claim.release()
        self._core.release()
        if self._error:
            error, self._error = self._error, None
            raise error

    def _progress(self, done: int) -> None:
        self.done = done
        if self._halted:
            raise _Halted
