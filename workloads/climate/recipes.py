"""Learning rates of MLPerf HPC DeepCAM by global batch, as its submissions trained with LAMB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from launch.errors import Refusal

if TYPE_CHECKING:
    from keras.optimizers.schedules import LearningRateSchedule


@dataclass(frozen=True)
class Recipe:
    """How to train with one global batch: a `LearningRatePlan`."""

    lr: float  # learning rate after the warm-up
    warmup_steps: int  # steps of linear rise
    milestones: tuple[int, ...]  # steps at which the rate becomes a tenth
    epochs: str  # needed to reach the target, a mean IoU over the examples of 0.82

    def text(self) -> str:
        """See `LearningRatePlan`."""
        rise = f", reached after {self.warmup_steps} steps" if self.warmup_steps else ""
        return f"{self.lr:g} (MLPerf){rise}, a tenth from step {' and '.join(map(str, self.milestones))} on"

    def schedule(self, steps: int) -> LearningRateSchedule:
        """See `LearningRatePlan`."""
        from workloads.training.optimizers import WarmupMultiStep

        return WarmupMultiStep(self.lr, self.warmup_steps, self.milestones)


RECIPES = {
    128: Recipe(0.001, 0, (8192, 16384), "9"),
    256: Recipe(0.002, 0, (4096, 8192), "9"),
    512: Recipe(0.004, 100, (2048, 4096), "10 to 16"),
    1024: Recipe(0.004, 200, (1100, 4096), "12 to 14"),
    2048: Recipe(0.0055, 400, (800,), "22 to 26"),
}
"""By global batch, for LAMB: beta 0.9 and 0.999, epsilon 1e-6, weight decay 0.01, gradients clipped to norm 1."""


def recipe(global_batch: int) -> Recipe:
    """Return the recipe of a global batch.

    Raises
    ------
    Refusal
        If there is none for this batch.
    """
    if global_batch not in RECIPES:
        raise Refusal(
            f"there is no MLPerf schedule for a global batch of {global_batch}: give a --batch and nodes that make "
            f"{', '.join(map(str, RECIPES))}, or --schedule loop"
        )
    return RECIPES[global_batch]
