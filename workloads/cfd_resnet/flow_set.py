"""Which flows make a data set: its parameters. The launcher reads this module in every dry run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from launch.plan.typed import Bounds, Count, Seed

Reynolds = Annotated[float, Bounds(above=0, most=1000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSet:
    """The parameters of a data set: everything that its flows depend on, and therefore the key of its cache.

    The channel is ``height`` x ``length`` cells in the solver; the first ``width`` columns are kept. Lengths of the
    obstacles scale with the height; the viscosity follows from the Reynolds number. The defaults are the small set.
    """

    height: Annotated[int, Bounds(16, 10_000)] = 32  # cells across the channel
    width: Count = 64  # cells along the channel that are kept
    length: Count = 96  # cells along the channel in the solver; those after `width` keep the outlet away
    train: Count = 192  # training flows
    validation: Count = 32  # flows of other shapes, to choose by
    test: Count = 32  # flows of still other shapes, to report on
    u_max: Annotated[float, Bounds(above=0, most=0.15)] = (
        0.1  # peak velocity at the inlet, lattice units (cells per step)
    )
    reynolds: Reynolds = 64.0  # u_max x height / viscosity
    obstacles: Annotated[int, Bounds(1, 16)] = 4  # random ovals and boxes in a channel
    seed: Seed = 0
    masks: Path | None = None  # obstacles from the files of this folder in place of random ones, all for validation

    @property
    def nu(self) -> float:
        """Kinematic viscosity in lattice units."""
        return self.u_max * self.height / self.reynolds


SIZES = {
    "small": FlowSet(),
    # The layout of the published set: 384 x 128 cells, cropped to 256 columns, 3,000 flows, u_max .1, nu .05.
    "full": FlowSet(height=128, width=256, length=384, train=3000, validation=300, test=300, reynolds=256.0),
}
