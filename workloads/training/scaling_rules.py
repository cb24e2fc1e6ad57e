"""Learning rate, warm-up and epochs as functions of the number of ranks.

The batch of a rank is held, so with ``size`` ranks the global batch is ``size`` times as large, and an epoch has
``1 / size`` of the steps. The rules say what to do about it. Nothing but `schedule` needs TensorFlow.
"""

import math

LEARNING_RATE_FACTORS = {"linear": lambda size: float(size), "sqrt": math.sqrt, "none": lambda size: 1.0}
"""By what to multiply the learning rate of one rank.

linear: Goyal et al. 2017 (arXiv:1706.02677), section 2.1: when the batch is multiplied by k, multiply the rate by k.
sqrt: Krizhevsky 2014 (arXiv:1404.5997), section 5: keeps the variance of the update; usual with Adam and LAMB.
"""

EPOCHS = {
    "none": lambda epochs, size: epochs,
    "divide": lambda epochs, size: math.ceil(epochs / size),
    "steps": lambda epochs, size: epochs * size,
}
"""How many epochs instead of those of one rank.

none: the examples that are seen are held. divide: time to the end falls twice with the size, by fewer steps an epoch
and fewer epochs, at the price of steps: ``ceil(epochs / size)``, as Horovod's early MNIST examples do.
steps: the optimizer's steps are held.
"""


def total_steps(epochs: float, steps_per_epoch: int) -> int:
    """The optimizer steps of a run: at least one, and the nearest whole number."""
    return max(1, round(epochs * steps_per_epoch))


def schedule(rate: float, factor: float, warmup_steps: int, steps: int, decay: str):
    """The learning rate as a function of the step.

    Parameters
    ----------
    rate : float
        The learning rate at one rank; the warm-up starts from it.
    factor : float
        From LEARNING_RATE_FACTORS: the warm-up ends at ``rate * factor``.
    warmup_steps : int
        Steps of linear rise (Goyal et al. 2017, section 2.2, "gradual warmup").
    steps : int
        Steps of the run.
    decay : {"constant", "cosine"}
        What comes after the warm-up: the scaled rate to the end, or half a cosine down to zero.

    Returns
    -------
    keras.optimizers.schedules.LearningRateSchedule
    """
    from keras.optimizers import schedules

    if decay == "cosine":
        return schedules.CosineDecay(
            rate if warmup_steps else rate * factor,
            decay_steps=max(1, steps - warmup_steps),
            warmup_target=rate * factor if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    # With power 1 it is a straight line to the end rate, which it then keeps.
    start = rate if warmup_steps else rate * factor
    return schedules.PolynomialDecay(start, max(1, warmup_steps), end_learning_rate=rate * factor, power=1.0)
