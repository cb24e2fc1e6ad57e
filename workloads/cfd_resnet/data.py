"""Pairs of obstacle mask and steady flow: made by the solver once, kept in a cache outside the runs.

python -m workloads.cfd_resnet.data                 the full set; under a Slurm array each task makes its part
python -m workloads.cfd_resnet.data --size small    the set that the workload uses unless told otherwise
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from launch import errors
from launch.errors import Refusal
from launch.node import stop
from launch.plan import option_help, options
from workloads.data.news import Live, News

if TYPE_CHECKING:
    import numpy as np

    from workloads.cfd_resnet.cache import Cache
    from workloads.cfd_resnet.obstacles import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSet:
    """The parameters of a data set: all that its flows depend on, and so the key of its cache.

    The channel is ``height`` x ``length`` cells in the solver; the first ``width`` columns are kept. Lengths of the
    obstacles scale with the height; the viscosity follows from the Reynolds number. The defaults are the small set.
    """

    height: int = 32  # cells across the channel
    width: int = 64  # cells along the channel that are kept
    length: int = 96  # cells along the channel in the solver; what lies behind `width` keeps the outlet away
    train: int = 192  # flows to learn from
    validation: int = 32  # flows of other shapes, to choose by
    test: int = 32  # flows of still others, to report on
    u_max: float = 0.1  # peak velocity at the inlet, lattice units (cells per step)
    reynolds: float = 64.0  # u_max x height / viscosity
    obstacles: int = 4  # random ovals and boxes in a channel
    seed: int = 0
    masks: Path | None = None  # obstacles from the files of this folder in place of random ones: all of them validation

    @property
    def nu(self) -> float:
        """Kinematic viscosity in lattice units."""
        return self.u_max * self.height / self.reynolds


SIZES = {
    "small": FlowSet(),
    # The layout of the published set: 384 x 128 cells, cropped to 256 columns, 3,000 flows, u_max .1, nu .05.
    "full": FlowSet(height=128, width=256, length=384, train=3000, validation=300, test=300, reynolds=256.0),
}


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
        """u_max H / nu."""
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
    """The flows of a set, from the cache; made first where they are missing, by all processes that ask for them.

    Safe to call from any number of processes on any number of nodes at the same time: each makes parts that nobody
    else is making, then waits for the parts of the others. Calling it imports Numba only if flows are missing.

    Parameters
    ----------
    parameters : FlowSet
        Which set: ``SIZES["small"]``, ``SIZES["full"]``, or ``dataclasses.replace`` of one of them.
    split : "train", "validation" or "test"
        Shapes of the one are never among those of another. A larger set begins with the flows of a smaller one, and
        those are not made again.
    folder : Path, optional
        Where caches are kept; ``$XDG_CACHE_HOME/rankloop/cfd`` or ``~/.cache/rankloop/cfd`` by default.
    progress : function, optional
        Called with a line of text when there is news; by default one live line on a terminal's standard error, and a
        line every 10 s or so elsewhere.

    Returns
    -------
    Flows
        Arrays mapped from files, read-only.

    Raises
    ------
    Refusal
        If the parameters cannot be simulated, the folder cannot be written to, or a mask file cannot be used.
    """
    _check(parameters)
    progress = progress or Live()
    cache = _cache(parameters, split, folder)
    try:
        while (records := cache.load(progress)) is None:
            cache.fill(cache.parts, News(progress, f"steady flows for {split}"))
            cache.assemble(progress)
    except OSError as error:
        raise _unwritable(cache.folder, error) from None
    return Flows(
        records["mask"], records["flow"], records["drag"], records["lift"], parameters.u_max, parameters.nu
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments(FlowSet):
    """The options of ``python -m workloads.cfd_resnet.data``."""

    size: Literal["full", "small"] = "full"  # the set that the options below change
    folder: Path | None = None  # where caches are kept in place of $XDG_CACHE_HOME/rankloop/cfd


def main(argv: Sequence[str]) -> None:
    """Make a set; as a task of a Slurm array, only this task's share of its parts."""
    values, rest = options.split(Arguments, argv)
    options.refuse_unknown(rest, Arguments, "workloads.cfd_resnet.data")
    if values.pop("help", False):
        print(f"{__doc__}\nOptions, with the defaults of --size small:\n{option_help.describe(Arguments)}")
        return
    folder = values.pop("folder", None)
    parameters = dataclasses.replace(SIZES[values.pop("size", "full")], **values)
    _check(parameters)
    stop.install()
    task, tasks = array_task(os.environ)
    progress = Live()
    caches = {
        split: _cache(parameters, split, folder) for split in ("train", "validation", "test")
    }  # refuses what is wrong first
    for split, cache in caches.items():
        try:
            cache.fill(cache.parts[task::tasks], News(progress, f"steady flows for {split}"))
        except OSError as error:
            raise _unwritable(cache.folder, error) from None
        if missing := cache.missing(cache.parts):
            print(
                f"{split}: this task's {len(cache.parts[task::tasks])} of {len(cache.parts)} parts are made, "
                f"{len(missing)} are left to other tasks"
            )
        else:
            made = flows(parameters, split, folder=folder, progress=progress)
            print(f"{split}: {len(made)} flows in {cache.folder}")


def array_task(environ: Mapping[str, str]) -> tuple[int, int]:
    """The index of this task of a Slurm array, and how many there are; 0 and 1 where there is no array."""
    if "SLURM_ARRAY_TASK_ID" not in environ:
        return 0, 1
    task, first, step = (int(environ.get(f"SLURM_ARRAY_TASK_{name}", 1)) for name in ("ID", "MIN", "STEP"))
    return (task - first) // step, int(environ.get("SLURM_ARRAY_TASK_COUNT", 1))


def _check(parameters: FlowSet) -> None:
    """Refuse what cannot be simulated."""
    p = parameters
    for name, wrong, possible in (
        ("height", p.height < 16, "16 cells or more"),
        ("width", p.width < p.height, f"the height ({p.height}) or more"),
        ("length", p.length < p.width, f"the width ({p.width}) or more"),
        ("train", p.train < 1, "1 or more"),
        ("validation", p.validation < 1, "1 or more"),
        ("test", p.test < 1, "1 or more"),
        ("u_max", not 0 < p.u_max <= 0.15, "above 0 and up to 0.15 cells per step"),
        ("reynolds", not 0 < p.reynolds <= 1000, "above 0 and up to 1000"),
        ("obstacles", not 1 <= p.obstacles <= 16, "1 to 16"),
        ("seed", p.seed < 0, "0 or more"),
    ):
        if wrong:
            raise Refusal(f"a set of flows cannot have --{name.replace('_', '-')} {getattr(p, name)}: give {possible}")


def _cache(parameters: FlowSet, split: Split, folder: Path | None) -> Cache:
    """The files of a split: their folder is named after all that a flow depends on, and not after how many there are."""
    import hashlib  # not at the top: the launcher reads this module in every dry run, and hashing takes long to load

    from workloads.cfd_resnet import generate
    from workloads.cfd_resnet.cache import Cache, record_type

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
    return Cache(
        Path(root) / f"{split}-{parameters.height}x{parameters.width}-{key}",
        record_type(parameters.height, parameters.width),
        count,
        functools.partial(generate.make, parameters, split),
    )


def _unwritable(folder: Path, error: OSError) -> Refusal:
    return Refusal(
        f"the cache of flows {folder} cannot be used ({error.strerror}): "
        "set XDG_CACHE_HOME to a folder with room that can be written to"
    )


if __name__ == "__main__":
    errors.run(main)
