"""Learning rate, warm-up and epochs as functions of the number of ranks.

The batch per rank is held, so with ``size`` ranks the global batch is ``size`` times as large, and an epoch has
``1 / size`` of the steps. The rules say what to do about it. Nothing but `ScaledRate.schedule` needs TensorFlow.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from keras.optimizers.schedules import LearningRateSchedule

LEARNING_RATE_FACTORS = {"linear": lambda size: float(size), "sqrt": math.sqrt, "none": lambda size: 1.0}
"""Factor on the learning rate of one rank, by rule and number of ranks.

linear: Goyal et al. 2017 (arXiv:1706.02677), section 2.1: when the batch is multiplied by k, multiply the rate by k.
sqrt: Krizhevsky 2014 (arXiv:1404.5997), section 5: keeps the variance of the update; usual with Adam and LAMB.
"""

EPOCHS = {
    "none": lambda epochs, size: epochs,
    "divide": lambda epochs, size: math.ceil(epochs / size),
    "steps": lambda epochs, size: epochs * size,
}
"""Number of epochs, by rule, from those of one rank and the number of ranks.

none: the number of examples is held. divide: ``ceil(epochs / size)``, as Horovod's early MNIST examples do: the time to
the end falls twice with the size, by fewer steps per epoch and by fewer epochs, at the price of optimizer steps.
steps: the number of optimizer steps is held.
"""


def total_steps(epochs: float, steps_per_epoch: int) -> int:
    """Return the number of optimizer steps of a run: at least one, and the nearest whole number."""
    return max(1, round(epochs * steps_per_epoch))


class LearningRatePlan(Protocol):
    """The learning rate of a run, which the plan shows and the training follows."""

    def text(self) -> str:
        """Return one line for the plan."""
        ...

    def schedule(self, steps: int) -> LearningRateSchedule:
        """Return the learning rate as a function of the step, for a run of that many steps."""
        ...


class ScaledRate(NamedTuple):
    """A linear warm-up to a scaled rate, which then stays or decays.

    Parameters
    ----------
    start : float
        Rate of the first step, if there is a warm-up.
    peak : float
        Rate at the end of the warm-up.
    rule : str
        How the peak follows from the options, in words, for the plan.
    warmup : float
        Part of the steps in which the rate rises (Goyal et al. 2017, section 2.2, "gradual warmup").
    decay : {"constant", "cosine"}
        Course after the warm-up: the peak to the end, or half a cosine down to zero.
    """

    start: float
    peak: float
    rule: str
    warmup: float
    decay: Literal["constant", "cosine"]

    def text(self) -> str:
        """See `LearningRatePlan`."""
        rises = self.warmup and self.start != self.peak
        rise = f", warmed up from {self.start:g} over {self.warmup:.0%} of the steps" if rises else ""
        fall = ", then half a cosine to 0" if self.decay == "cosine" else ", then constant"
        return f"{self.peak:g} ({self.rule}){rise}{fall}"

    def schedule(self, steps: int) -> LearningRateSchedule:
        """See `LearningRatePlan`."""
        from keras.optimizers import schedules

        warmup_steps = round(self.warmup * steps)
        first = self.start if warmup_steps else self.peak
        if self.decay == "cosine":
            target = self.peak if warmup_steps else None
            return schedules.CosineDecay(
                first, max(1, steps - warmup_steps), warmup_target=target, warmup_steps=warmup_steps
            )
        # With power 1 it is a straight line to the end rate, which it then keeps.
        return schedules.PolynomialDecay(first, max(1, warmup_steps), end_learning_rate=self.peak, power=1.0)
