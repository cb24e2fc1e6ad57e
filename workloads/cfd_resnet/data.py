"""Pairs of obstacle mask and steady flow: made by the solver once, kept in a cache outside the runs.

python -m workloads.cfd_resnet.data                 the full set; under a Slurm array each task makes its part
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np


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
    validation: int = 32  # flows of shapes that are not among them
    u_max: float = 0.1  # peak velocity at the inlet, lattice units (cells per step)
    reynolds: float = 256.0  # u_max x height / viscosity
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
    "full": FlowSet(height=128, width=256, length=384, train=3000, validation=300),
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
    split: Literal["train", "validation"],
    *,
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Flows:
    """The flows of a set, from the cache; made first where they are missing, by all processes that ask for them.

    Safe to call from any number of processes on any number of nodes at the same time: each makes parts that nobody
    else is making, then waits for the parts of the others. Calling it imports TensorFlow only if flows are missing.

    Parameters
    ----------
    parameters : FlowSet
        Which set: ``SIZES["small"]``, ``SIZES["full"]``, or ``dataclasses.replace`` of one of them.
    split : "train" or "validation"
        Shapes of the one are never among those of the other.
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
    raise NotImplementedError
