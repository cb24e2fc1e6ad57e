"""Pairs of obstacle mask and steady flow: computed once by the solver, kept in a cache outside the runs.

python -m workloads.cfd_resnet.data                 the full set; several processes, such as tasks of an array, share it
python -m workloads.cfd_resnet.data --size small    the default of the workload, with the defaults of the options
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from launch import errors
from launch.errors import Refusal
from launch.node import stop
from launch.plan import options
from workloads.cfd_resnet.flow_set import SIZES, FlowSet
from workloads.data.news import Live, News

if TYPE_CHECKING:
    import numpy as np

    from workloads.cfd_resnet.generate import FlowFile
    from workloads.cfd_resnet.obstacles import Split


@dataclass(frozen=True, slots=True)
class Flows:
    """Masks and the steady flows that the solver found for them.

    Parameters
    ----------
    mask : array (N, H, W, 1), uint8
        1 in obstacles, 0 in the fluid. The walls of the channel lie on the outer faces of the first and last row and
        are not in the mask; the inlet is the left face of the first column. Row 0 is the top of a picture.
    flow : array (N, H, W, 2), float32
        u (along the channel, axis 2) and v (across it, axis 1), divided by u_max; 0 in obstacles.
    drag : array (N,), float32
        Force of the fluid on all obstacles along the channel, by momentum exchange, over density u_max^2 H.
    lift : array (N,), float32
        The same across the channel, positive towards higher rows.
    u_max : float
        Peak velocity at the inlet in lattice units; u and v in lattice units are ``flow * u_max``.
    nu : float
        Kinematic viscosity in lattice units.
    """

    mask: np.ndarray
    flow: np.ndarray
    drag: np.ndarray
    lift: np.ndarray
    u_max: float
    nu: float

    @property
    def reynolds(self) -> float:
        """Reynolds number, u_max H / nu."""
        return self.u_max * self.mask.shape[1] / self.nu

    def __len__(self) -> int:
        return len(self.mask)


def flows(
    parameters: FlowSet,
    split: Split,
    *,
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Flows:
    """Return the flows of a set, from the cache. All processes that ask for them compute missing flows first.

    Safe to call from any number of processes on any number of nodes at the same time: each computes parts that no
    other one is computing, then waits for the parts of the others. Calling it imports Numba only if flows are missing.

    Parameters
    ----------
    parameters : FlowSet
        Parameters of the set: ``SIZES["small"]``, ``SIZES["full"]``, or ``dataclasses.replace`` of one of them.
    split : "train", "validation" or "test"
        No shape of one split is in another. A larger set begins with the flows of a smaller one, which are not
        computed again.
    folder : Path, optional
        The folder of caches; ``$XDG_CACHE_HOME/rankloop/cfd`` or ``~/.cache/rankloop/cfd`` by default.
    progress : function, optional
        Called with a line of text when there is news; by default one live line on a terminal's standard error, and a
        line every minute elsewhere.

    Returns
    -------
    Flows
        Arrays mapped from files, read-only.

    Raises
    ------
    Refusal
        If the parameters cannot be simulated, the folder cannot be written to, or a mask file cannot be used.
    """
    from workloads.cfd_resnet.generate import Incomplete
    from workloads.data.pieces import share

    _check(parameters)
    progress = progress or Live()
    where, parts, whole = _files(parameters, split, folder, progress)
    with _usable(where):
        while (records := whole.read(progress)) is None:
            cores = len(os.sched_getaffinity(0))
            share(where, parts, News(progress, f"flow fields for {split}"), threads=cores)
            with contextlib.suppress(Incomplete):
                share(where, [whole], lambda *counts: None)
    fields = {name: records[name] for name in ("mask", "flow", "drag", "lift")}
    return Flows(**fields, u_max=parameters.u_max, nu=parameters.nu)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments(FlowSet):
    """The options of ``python -m workloads.cfd_resnet.data``."""

    size: Literal["full", "small"] = "full"  # the set that the options below change
    folder: Path | None = None  # where caches are kept in place of $XDG_CACHE_HOME/rankloop/cfd


def main(argv: Sequence[str]) -> None:
    """Compute a set."""
    values = options.of_command(Arguments, argv, __doc__, "workloads.cfd_resnet.data")
    folder, size = values.pop("folder", None), values.pop("size", "full")
    parameters = dataclasses.replace(SIZES[size], **values)
    _check(parameters)
    stop.install()
    splits: tuple[Split, ...] = ("train", "validation", "test")
    folders = {split: _files(parameters, split, folder, print)[0] for split in splits}  # refuses first
    for split in splits:
        count = len(flows(parameters, split, folder=folder))
        print(f"{split}: {count} flows in {folders[split]}")


def _check(parameters: FlowSet) -> None:
    """Refuse inconsistent lengths."""
    for name, least in (("width", "height"), ("length", "width")):
        length, smallest = getattr(parameters, name), getattr(parameters, least)
        if length < smallest:
            raise Refusal(f"a set of flows cannot have --{name} {length}: give the {least} ({smallest}) or more")


def _files(
    parameters: FlowSet, split: Split, folder: Path | None, progress: Callable[[str], None]
) -> tuple[Path, list[FlowFile], FlowFile]:
    """Return the folder of a split, its parts, and the combined file.

    The folder name depends on everything that a flow depends on, but not on the number of flows.
    """
    from workloads.cfd_resnet import generate

    values = dataclasses.asdict(parameters)
    count = {name: values.pop(name) for name in ("train", "validation", "test")}[split]
    del values["masks"]
    if split == "validation" and parameters.masks:
        masks = generate.masks_of_files(parameters)
        count = len(masks)
        values |= {name: hashlib.sha256(mask.tobytes()).hexdigest() for name, mask in masks.items()}
    values |= {"split": split, "version": generate.VERSION}
    key = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
    root = folder or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rankloop" / "cfd"
    where = Path(root) / f"{split}-{parameters.height}x{parameters.width}-{key}"
    return where, *generate.files(parameters, split, count, where, progress)


@contextlib.contextmanager
def _usable(where: Path) -> Iterator[None]:
    """Turn errors of the file system in the block into a refusal that says what to do."""
    try:
        yield
    except OSError as error:
        raise Refusal(
            f"the cache of flows {where} cannot be used ({error.strerror}): "
            "set XDG_CACHE_HOME to a folder with room that can be written to"
        ) from None


if __name__ == "__main__":
    errors.run(main)
