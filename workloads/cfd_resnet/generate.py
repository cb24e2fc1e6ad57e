"""Computes the flows of a set, and writes their files. If the solver finds no steady flow, other obstacles are drawn.

A file has the records of some flows, as in .npy, followed by the CRC-32 of everything before it. All processes that
want the flows compute them in parts; the combined file, from which they are read, is assembled from the parts.
"""

from __future__ import annotations

import contextlib
import functools
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from launch.errors import Refusal
from launch.record.writing import replacing
from workloads.cfd_resnet.obstacles import Split, masks_from, random_mask
from workloads.data.pieces import Piece

if TYPE_CHECKING:
    from workloads.cfd_resnet.flow_set import FlowSet

# Part of the cache's key: raise it with every change that changes a flow.
VERSION = 2
# A flow is steady once neither its velocity nor the force on its obstacles changes by more than this in the time in
# which the fastest fluid passes one height of the channel. Even at 1.6 times this, 19 of 19 small flows were within
# 0.05 % (L2) of their final state.
TOLERANCE = 2e-4
# Times that the fastest fluid passes the channel's length, after which a flow counts as unsteady; most need 2 to 7.
PASSES = 20
EVERY = 500  # steps between two checks
STREAMS = ("train", "validation", "test")  # splits, whose index seeds the random numbers
CELLS = 8_192  # cells that a CPU core works on at once, so that the populations stay in its caches
PART = 16  # flows in a part: the work of one thread at a time, and the most that a kill loses


class Damaged(Exception):
    """A file differs from what was written: it was cut short, or changed."""


class Incomplete(Exception):
    """A part is missing, or was damaged and has been removed."""


@dataclass
class FlowFile(Piece):
    """A file of flows of a `record_type`."""

    dtype: np.dtype

    def read(self, progress: Callable[[str], None]) -> np.ndarray | None:
        """Return its records; None if there is no such file, or it was damaged and has been removed."""
        with contextlib.suppress(FileNotFoundError):
            try:
                return read(self.paths[0], self.dtype, self.weight)
            except Damaged as error:
                progress(f"{error}: making it again")
                self.paths[0].unlink(missing_ok=True)
        return None


def files(
    parameters: FlowSet, split: Split, count: int, folder: Path, progress: Callable[[str], None]
) -> tuple[list[FlowFile], FlowFile]:
    """Return the parts of a split, and the combined file. A larger set adds to the parts of a smaller one."""
    dtype = record_type(parameters.height, parameters.width)

    def file(name: str, size: int, fill: Callable[[np.ndarray, Callable[[int], None]], None]) -> FlowFile:
        def make_file(beat: Callable[[int], None]) -> None:
            records = np.zeros(size, dtype)
            fill(records, beat)
            write(path, records)

        path = folder / f"{name}.npy"
        return FlowFile(name, size, [path], make_file, dtype)

    def join(records: np.ndarray, beat: Callable[[int], None]) -> None:
        pieces = [piece for part in parts if (piece := part.read(progress)) is not None]
        if len(pieces) < len(parts):
            raise Incomplete
        np.concatenate(pieces, out=records)

    parts = []
    for number, first in enumerate(range(0, count, PART)):
        indices = range(first, min(first + PART, count))
        name = f"part-{number:05d}" + (f"-first-{len(indices)}" if len(indices) < PART else "")
        parts.append(file(name, len(indices), functools.partial(make, parameters, split, indices)))
    return parts, file(f"flows-{count}", count, join)


def record_type(height: int, width: int) -> np.dtype:
    """Return the type of a flow in a file. An example is contiguous, and a field of all examples needs no copy."""
    return np.dtype(
        [("flow", "<f4", (height, width, 2)), ("drag", "<f4"), ("lift", "<f4"), ("mask", "u1", (height, width, 1))]
    )


def write(path: Path, records: np.ndarray) -> None:
    """Publish records as a file."""
    header = io.BytesIO()
    layout = {"descr": np.lib.format.dtype_to_descr(records.dtype), "fortran_order": False, "shape": records.shape}
    np.lib.format.write_array_header_1_0(header, layout)
    content = np.ascontiguousarray(records).view(np.uint8).data
    crc32 = zlib.crc32(content, zlib.crc32(header.getvalue()))
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(header.getvalue())
        file.write(content)
        file.write(crc32.to_bytes(4, "little"))


def read(path: Path, dtype: np.dtype, count: int) -> np.ndarray:
    """Return the records in a file, mapped read-only.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    Damaged
        If its checksum is wrong, or its layout or number of records is another.
    """
    content = np.memmap(path, np.uint8, "r").data if path.stat().st_size else memoryview(b"")
    if len(content) < 8 or zlib.crc32(content[:-4]) != int.from_bytes(content[-4:], "little"):
        raise Damaged(f"{path} is cut short or has changed since it was written")
    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise Damaged(f"{path} cannot be read ({error})") from None
    if records.dtype != dtype or records.shape != (count,):
        raise Damaged(f"{path} holds flows of another size or number")
    return records


def masks_of_files(parameters: FlowSet) -> dict[str, np.ndarray]:
    """Return the masks of ``parameters.masks`` by file name; see `obstacles.masks_from`."""
    return masks_from(parameters.masks, parameters.height, parameters.width) if parameters.masks else {}


def candidates(parameters: FlowSet, split: Split, index: int) -> Iterator[np.ndarray]:
    """Yield the masks to try for a flow until one is steady; they depend only on the arguments.

    Raises
    ------
    Refusal
        If a mask from a file, or almost every random one, has no steady flow.
    """
    if parameters.masks and split == "validation":
        name, mask = list(masks_of_files(parameters).items())[index]
        yield mask
        raise Refusal(
            f"the flow around {parameters.masks / name} does not become steady at --reynolds {parameters.reynolds:g}: "
            "give a lower one, or remove the file"
        )
    for attempt in range(21):
        rng = np.random.default_rng([parameters.seed, STREAMS.index(split), index, attempt])
        yield random_mask(rng, parameters.height, parameters.width, parameters.obstacles, split)
    raise Refusal(
        f"20 random shapes in a row have no steady flow at --reynolds {parameters.reynolds:g} and --u-max "
        f"{parameters.u_max:g}: give lower ones"
    )


def make(parameters: FlowSet, split: Split, indices: range, records: np.ndarray, beat: Callable[[int], None]) -> None:
    """Compute some flows of a split.

    Parameters
    ----------
    parameters : FlowSet
        Parameters of the set.
    split : "train", "validation" or "test"
        Split that the flows belong to.
    indices : range
        Indices of the flows within the split.
    records : array (len(indices),), `record_type`
        Records to fill in.
    beat : function
        Called with the number of finished flows, often.

    Raises
    ------
    Refusal
        For the same reasons as `candidates`.
    """
    from workloads.cfd_resnet.channel import Case
    from workloads.cfd_resnet.lattice_boltzmann import Batch

    case = Case(parameters.height, parameters.length, parameters.nu, u_max=parameters.u_max)
    width = parameters.width
    tolerance = TOLERANCE * 1000 * parameters.u_max / parameters.height
    most = PASSES * parameters.length / parameters.u_max
    batch = Batch(case, max(1, min(len(indices), 8, CELLS // (case.height * case.length))))
    waiting, done = iter(indices), 0
    running: dict[int, tuple[int, Iterator[np.ndarray]]] = {}  # slot: index, masks that are left to try

    def start(slot: int) -> None:
        index = next(waiting, None)
        if index is None:
            batch.clear(slot)
            running.pop(slot, None)
        else:
            running[slot] = index, candidates(parameters, split, index)
            put(slot)

    def put(slot: int) -> None:
        batch.put(slot, np.pad(next(running[slot][1]), [(0, 0), (0, case.length - width)]))

    for slot in range(batch.slots):
        start(slot)
    while running:
        beat(done)
        change = batch.advance(EVERY)
        for slot, (index, _) in list(running.items()):
            if change[slot] < tolerance:
                flow, record = batch.take(slot), records[index - indices.start]
                record["flow"][..., 0] = flow.u[:, :width] / case.u_max
                record["flow"][..., 1] = flow.v[:, :width] / case.u_max
                record["mask"][..., 0] = batch.solid(slot)[:, :width]
                record["drag"], record["lift"] = flow.force / (case.u_max**2 * case.height)
                done += 1
                start(slot)
            elif not change[slot] >= tolerance or batch.steps(slot) >= most:  # not: NaN means that it has blown up
                put(slot)
    beat(done)
