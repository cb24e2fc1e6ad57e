"""Flows kept in files, with checksums: made in parts by all processes that want them, then put together."""

from __future__ import annotations

import io
import os
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from launch.node import stop
from launch.record.files import publish
from workloads.data.claims import Claim, Claims, Core

PART = 16  # flows in a part: what one thread makes at a time, and what a kill costs at most
POLL_SECONDS = 0.5
BEAT_SECONDS = 5.0


class Damaged(Exception):
    """A file is not what was once written: cut short, or changed."""


def record_type(height: int, width: int) -> np.dtype:
    """One flow in a file: an example is one piece of it, and a field of all examples is an array without a copy."""
    return np.dtype(
        [("flow", "<f4", (height, width, 2)), ("drag", "<f4"), ("lift", "<f4"), ("mask", "u1", (height, width, 1))]
    )


def write(path: Path, pieces: Sequence[np.ndarray]) -> None:
    """Publish records, one piece after the other: a .npy file with the CRC-32 of all before it at its end."""
    head, dtype, count = io.BytesIO(), pieces[0].dtype, sum(map(len, pieces))
    layout = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(head, layout)
    start = head.tell()
    content = bytearray(start + count * dtype.itemsize + 4)
    content[:start] = head.getvalue()
    np.concatenate(pieces, out=np.frombuffer(content, dtype, count, start))
    content[-4:] = zlib.crc32(memoryview(content)[:-4]).to_bytes(4, "little")
    publish(path, content)


def read(path: Path, dtype: np.dtype, count: int) -> np.ndarray:
    """Records mapped from a file, read-only.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    Damaged
        If its checksum or its layout is not as it was written.
    """
    content = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    if len(content) < 8 or zlib.crc32(content[:-4]) != int.from_bytes(content[-4:].tobytes(), "little"):
        raise Damaged(f"{path} is cut short or has changed since it was written")
    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise Damaged(f"{path} cannot be read ({error})") from None
    if records.dtype != dtype or records.shape != (count,):
        raise Damaged(f"{path} holds flows of another size or number")
    return records


class Cache:
    """The files of the first flows of a split: a set of more flows finds the parts of one of fewer, and adds to them.

    Parameters
    ----------
    folder : Path
        Its own; made when something is written.
    dtype : numpy dtype
        Of `record_type`.
    count : int
        How many flows.
    make : function
        ``make(indices, records, news)`` fills in the records of some flows; it tells ``news`` how many are done, and
        gives up when that returns False.
    """

    def __init__(self, folder: Path, dtype: np.dtype, count: int, make: Callable) -> None:
        self.folder, self.dtype, self.count, self._make = folder, dtype, count, make
        self.parts = range(-(-count // PART))
        self._whole = folder / f"flows-{count}.npy"

    def load(self, say: Callable[[str], None]) -> np.ndarray | None:
        """All records, or None if they have yet to be made or put together."""
        return self._checked(self._whole, self.count, say)

    def missing(self, parts: Sequence[int]) -> list[int]:
        """Those of the parts that nobody has made yet."""
        there = set(os.listdir(self.folder)) if self.folder.is_dir() else set()
        return [part for part in parts if self._path(part).name not in there]

    def assemble(self, say: Callable[[str], None]) -> None:
        """Put the parts together, if nobody else is doing it; those that are damaged are removed instead."""
        claims = Claims(self.folder)
        if not (claim := claims.take(self._whole.stem)):
            time.sleep(POLL_SECONDS)
            return
        try:
            pieces = [self._checked(self._path(part), len(self._indices(part)), say) for part in self.parts]
            if not any(piece is None for piece in pieces) and not self._whole.exists():
                write(self._whole, pieces)
        finally:
            claim.release()

    def fill(self, parts: Sequence[int], news: Callable[[int, int, bool], None]) -> None:
        """Make those parts that nobody has made or is making, on the cores that are free; wait for the others.

        Parameters
        ----------
        parts : sequence of int
            Which.
        news : function
            Told from time to time how many flows of these parts are done, by whomever, how many there are, and
            whether this process is making some.

        Raises
        ------
        SystemExit
            With `launch.node.stop.STOPPED`, if a signal asked this process to stop.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        claims, halt, workers = Claims(self.folder), threading.Event(), []
        total = sum(len(self._indices(part)) for part in parts)
        try:
            while missing := self.missing(parts):
                for worker in [w for w in workers if not w.is_alive()]:
                    workers.remove(worker)
                    worker.close()
                own = {worker.part: worker.done for worker in workers}
                others = [part for part in missing if part not in own]
                started = self._start(others, claims, halt)
                if started:
                    workers.append(started)
                    continue
                for worker in workers:
                    worker.beat()
                elsewhere = sum(claims.done(self._name(part)) or 0 for part in others)
                left = sum(len(self._indices(part)) for part in missing)
                news(total - left + sum(own.values()) + elsewhere, total, bool(own))
                if stop.requested():
                    raise SystemExit(stop.STOPPED)
                time.sleep(POLL_SECONDS)
        finally:
            halt.set()
            for worker in workers:
                worker.close()

    def _start(self, parts: Sequence[int], claims: Claims, halt: threading.Event) -> _Worker | None:
        core = Core.take() if parts else None
        if core is None:
            return None
        for part in parts:
            if claim := claims.take(self._name(part)):
                # Somebody may have finished it between our look at the parts and our claim.
                if self.missing([part]):
                    return _Worker(self, part, claim, core, halt)
                claim.release()
        core.release()
        return None

    def _checked(self, path: Path, count: int, say: Callable[[str], None]) -> np.ndarray | None:
        try:
            return read(path, self.dtype, count)
        except FileNotFoundError:
            return None
        except Damaged as error:
            say(f"{error}: making it again")
            path.unlink(missing_ok=True)
            return None

    def _indices(self, part: int) -> range:
        return range(part * PART, min((part + 1) * PART, self.count))

    def _name(self, part: int) -> str:
        count = len(self._indices(part))
        return f"part-{part:05d}" + (f"-first-{count}" if count < PART else "")

    def _path(self, part: int) -> Path:
        return self.folder / f"{self._name(part)}.npy"


class _Worker(threading.Thread):
    """Makes one part on one core."""

    def __init__(self, cache: Cache, part: int, claim: Claim, core: Core, halt: threading.Event) -> None:
        super().__init__(name=cache._name(part), daemon=True)
        self.part, self.done = part, 0
        self._cache, self._claim, self._core, self._halt = cache, claim, core, halt
        self._error: BaseException | None = None
        self._beaten = time.monotonic()
        self.start()

    def run(self) -> None:
        indices = self._cache._indices(self.part)
        records = np.zeros(len(indices), self._cache.dtype)
        try:
            self._cache._make(indices, records, self._news)
            if self.done == len(indices):
                write(self._cache._path(self.part), [records])
        except BaseException as error:  # raised again by close(), in the thread that waits for this one
            self._error = error

    def beat(self) -> None:
        """Keep the claim, if it is time to."""
        if time.monotonic() - self._beaten > BEAT_SECONDS:
            self._claim.beat(self.done)
            self._beaten = time.monotonic()

    def close(self) -> None:
        """Wait for the end, give back claim and core, and raise what went wrong."""
        self.join()
        self._claim.release()
        self._core.release()
        if self._error:
            error, self._error = self._error, None
            raise error

    def _news(self, done: int) -> bool:
        self.done = done
        return not self._halt.is_set()
