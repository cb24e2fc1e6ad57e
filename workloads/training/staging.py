"""Files copied to a disk of each node before the training:   --stage DIR

Where thousands of ranks read the same files again in every epoch, they wait for the shared file system. The ranks of a
node share the copying. A copy is complete or absent, and one with the size and time of the original is used as it is:
also by the next run, if DIR outlives this one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from launch.errors import Refusal
from launch.node.rank import Rank
from launch.record.writing import own_folder, replacing
from workloads.data.news import Live, News
from workloads.training.sharding import part

if TYPE_CHECKING:
    from workloads.api import Workload
    from workloads.training.engines.interface import Communicator
    from workloads.training.sharding import Sharding

BUFFER = 16 * 2**20  # bytes that are copied at a time


def stage(where: str, workload: Workload, sharding: Sharding, communicator: Communicator) -> None:
    """Copy what the ranks of this node read, and let the workload read the copies. Every rank takes part.

    Parameters
    ----------
    where : str
        Folder of each node; ``$TMPDIR`` and the like are expanded there.
    workload : Workload
        Workload, of whose data those with ``files`` are staged.
    sharding : Sharding
        Which examples each rank trains on. A rank keeps its shards for the whole run, so that the node needs no others.
    communicator : Communicator
        The ranks.

    Raises
    ------
    Refusal
        On every rank, if any node cannot take the files.
    """
    rank = communicator.rank
    of_node = [rank.rank - rank.local_rank + place for place in range(rank.local_size)]
    sets = [
        (workload.train, np.concatenate([sharding.examples_of(one) for one in of_node])),
        (workload.validation, np.concatenate([_measured(len(workload.validation), one, rank.size) for one in of_node])),
    ]
    wanted = list(dict.fromkeys(path for data, examples in sets if data.files for path in data.files.of(examples)))
    if not wanted and rank.is_chief:
        print("--stage: there is nothing to copy, this workload reads no files while it trains", flush=True)
    copies, refused = {}, ""
    try:
        folder = _folder(where)
        _copy(wanted, folder, rank)
        copies = {path: _copied(path, folder) for path in wanted}
    except Refusal as refusal:
        refused = str(refusal)
    # Sent to all ranks, which would wait forever; and no rank reads what another one of the node still copies.
    if refusals := [line for line in communicator.gather(refused) if line]:
        raise Refusal(refusals[0])
    for data, _ in sets:
        if data.files:
            data.files.read_from(copies)


def _measured(examples: int, rank: int, size: int) -> np.ndarray:
    """Return the examples that a rank measures on; a rank without any reads the first."""
    return np.concatenate([*part(examples, examples, rank, size)] or [np.arange(1)])


def _folder(where: str) -> Path:
    """Return the folder of this user's copies, made if it is missing."""
    expanded = os.path.expandvars(where)
    if "$" in expanded:
        raise Refusal(f"--stage {where} names a variable that is not set on {_node()}: give a folder of the node")
    folder = Path(expanded).absolute() / f"rankloop-{os.getuid()}"
    try:
        own_folder(folder)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise Refusal(
            f"--stage {where} cannot be written to on {_node()} ({error.strerror}): give a folder of the node that can"
        ) from None
    return folder


def _copy(paths: list[Path], folder: Path, rank: Rank) -> None:
    """Copy this rank's part of the files of its node."""
    try:
        sizes = {path: path.stat().st_size for path in paths if not _is_copied(path, folder)}
    except OSError as error:
        raise Refusal(f"{error.filename} cannot be staged ({error.strerror}): is it still there?") from None
    total, free = sum(sizes.values()), shutil.disk_usage(folder).free
    if total > free:
        raise Refusal(
            f"the {len(sizes)} files to be staged on {_node()} have {total / 1e9:.3g} GB, and {folder.parent} has "
            f"{free / 1e9:.3g} GB free: give another folder as --stage, or leave it out"
        )
    # Divided by place in the list of all, which is the same on every rank, whatever another has copied meanwhile.
    own = [path for path in paths[rank.local_rank :: rank.local_size] if path in sizes]
    news = News(Live() if rank.is_chief else lambda line: None, f"files staged to {folder.parent}")
    for done, path in enumerate(own):
        news(done, len(own), True)
        _copy_one(path, _copied(path, folder))


def _copy_one(path: Path, copy: Path) -> None:
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with replacing(copy) as temporary:
            with open(path, "rb") as source, open(temporary, "wb") as target:
                shutil.copyfileobj(source, target, BUFFER)
                before = os.fstat(source.fileno())
                if target.tell() != before.st_size:
                    raise Refusal(f"{path} has changed while it was staged: let whoever writes it finish first")
            os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))  # by which the next look recognises it
    except OSError as error:
        raise Refusal(
            f"{path} cannot be staged to {copy.parent} on {_node()} ({error.strerror}): "
            "give a folder with more room as --stage, or leave it out"
        ) from None


def _is_copied(path: Path, folder: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        there, original = _copied(path, folder).stat(), path.stat()
        return (there.st_size, there.st_mtime_ns) == (original.st_size, original.st_mtime_ns)
    return False


def _copied(path: Path, folder: Path) -> Path:
    """Return where a file's copy is: under its whole path, so that no two can meet."""
    return folder.joinpath(*path.absolute().parts[1:])


def _node() -> str:
    return f"node {os.environ.get('LAUNCH_NODE', '0')} ({os.environ.get('SLURMD_NODENAME') or os.uname().nodename})"
