"""What Keras lacks for large batches: a learning rate per layer (LARS, LARC), gradient lag, steps after a warm-up.

Both rules look at the norms of a layer's weights w and of their gradient g, and rescale the gradient before the
optimizer that they are mixed into makes its update of it:

    LARS   (g + l2 w) times  eta |w| / (|g| + l2 |w|)
    LARC   g times           min(eta |w| / |g|, lr) / lr

so that a step is at most about ``lr * eta`` (LARS) or ``eta`` (LARC) of the weights' norm. For LAMB see
``keras.optimizers.Lamb``.

References
----------
Y. You, I. Gitman, B. Ginsburg, "Large Batch Training of Convolutional Networks", arXiv:1708.03888, 2017: LARS.
T. Kurth et al., "Exascale Deep Learning for Climate Analytics", SC18, arXiv:1810.01993: LARC, gradient lag; the
constants of LARC are the defaults of their code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


def _norm(tensor: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(ops.cast(tensor, "float32"))))


class _Layerwise(keras.optimizers.Optimizer):
    """A mixin in front of an optimizer, which gets the gradients as `rescaled` returns them."""

    def rescaled(self, gradient: Any, variable: Any, learning_rate: Any) -> Any:
        """Return the gradient that the optimizer gets."""
        raise NotImplementedError

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Make the optimizer's own update, with the rescaled gradient."""
        gradient = ops.cast(ops.convert_to_tensor(gradient), variable.dtype)
        super().update_step(self.rescaled(gradient, variable, learning_rate), variable, learning_rate)


@keras.saving.register_keras_serializable("workloads")
class LARS(_Layerwise, keras.optimizers.SGD):
    """Layer-wise adaptive rate scaling: SGD with momentum whose steps are a fixed part of each layer's weights.

    Variables of one axis or none (biases, the scales and offsets of normalisations) are updated by plain SGD with
    momentum and without decay, as is usual: their norms say nothing about a good step, and those of biases begin at 0.
    Without normalisation, biases diverge at the learning rates of LARS, which are large because of `eta`: see
    `plain`.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate of the whole network; typically 1 to 30, as `eta` comes on top of it.
    momentum : float
        Momentum of SGD.
    eta : float
        Trust coefficient: the part of a layer's norm by which a step with a learning rate of 1 changes it.
    l2 : float
        Weight decay as a part of the gradient, beta in the paper. Keras's ``weight_decay`` bypasses the rule.
    plain : float
        Part of the learning rate that plain SGD takes. 1 is usual.
    **settings
        Settings of any Keras optimizer.
    """

    def __init__(
        self,
        learning_rate: Any = 1.0,
        momentum: float = 0.9,
        eta: float = 1e-3,
        l2: float = 0.0,
        plain: float = 1.0,
        **settings: Any,
    ) -> None:
        super().__init__(learning_rate, momentum=momentum, **settings)
        self.eta, self.l2, self.plain = eta, l2, plain

    def rescaled(self, gradient: Any, variable: Any, learning_rate: Any) -> Any:
        """Return (g + l2 w) eta |w| / (|g| + l2 |w|); without weights or without gradient the factor is 1."""
        if len(variable.shape) <= 1:
            return gradient * self.plain
        weights, gradients = _norm(variable), _norm(gradient)
        trust = ops.where((weights > 0) & (gradients > 0), self.eta * weights / (gradients + self.l2 * weights), 1.0)
        return (gradient + self.l2 * variable) * ops.cast(trust, variable.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the settings with which Keras saves the optimizer."""
        return super().get_config() | {"eta": self.eta, "l2": self.l2, "plain": self.plain}


class _Clipping(_Layerwise):
    """LARC, for any optimizer: the learning rate of a layer is ``eta |w| / |g|`` where that is below the global one.

    Unlike in LARS this holds for all variables; one without weights or without gradient has the local rate `fallback`.
    """

    def __init__(
        self, learning_rate: Any = 1e-3, *, eta: float = 2e-3, fallback: float = 1 / 16000, **settings: Any
    ) -> None:
        super().__init__(learning_rate, **settings)
        self.eta, self.fallback = eta, fallback

    def rescaled(self, gradient: Any, variable: Any, learning_rate: Any) -> Any:
        """Return g min(eta |w| / |g|, lr) / lr."""
        weights, gradients = _norm(variable), _norm(gradient)
        local: Any = ops.where((weights > 0) & (gradients > 0), self.eta * weights / gradients, self.fallback)
        # Divided first: at a learning rate of 0, the end of a schedule, the factor is 1 and not 0 / 0.
        factor = ops.minimum(local / ops.cast(learning_rate, "float32"), 1.0)
        return gradient * ops.cast(factor, variable.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the settings with which Keras saves the optimizer."""
        return super().get_config() | {"eta": self.eta, "fallback": self.fallback}


@keras.saving.register_keras_serializable("workloads")
class LARC(_Clipping, keras.optimizers.SGD):
    """Layer-wise adaptive rate control, clipping, in front of SGD.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Highest learning rate that a layer may have.
    eta : float
        Trust coefficient: the part of a layer's norm that a step may change at most.
    fallback : float
        Learning rate of a layer that has no weights or no gradient, such as biases in the first step.
    **settings
        Settings of SGD: ``momentum`` and those of any Keras optimizer.
    """


@keras.saving.register_keras_serializable("workloads")
class LARCAdam(_Clipping, keras.optimizers.Adam):
    """LARC in front of Adam, with which the climate networks of SC18 were trained.

    Adam divides a gradient by its usual size, so only changes of the factor from step to step are felt.

    Parameters
    ----------
    learning_rate, eta, fallback
        As in `LARC`.
    **settings
        Settings of Adam.
    """


@keras.saving.register_keras_serializable("workloads")
class WarmupMultiStep(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly, and then falls in steps.

    Parameters
    ----------
    rate : float
        Learning rate at the end of the rise.
    warmup_steps : int
        Number of steps of the rise; the first step is made at ``rate / warmup_steps``.
    milestones : sequence of int
        Steps, counted from 0, from which on the rate is ``factor`` times what it was.
    factor : float
        Factor of the learning rate at each milestone.
    """

    def __init__(self, rate: float, warmup_steps: int, milestones: Sequence[int], factor: float = 0.1) -> None:
        self.rate, self.warmup_steps, self.milestones, self.factor = rate, warmup_steps, tuple(milestones), factor

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step."""
        number: Any = ops.cast(step, "float32")
        rise: Any = ops.minimum((number + 1) / max(self.warmup_steps, 1), 1.0)
        passed: Any = 0.0
        for milestone in self.milestones:
            passed += ops.cast(number >= milestone, "float32")
        return self.rate * rise * ops.power(self.factor, passed)

    def get_config(self) -> dict[str, Any]:
        """Return the settings with which Keras saves the schedule."""
        return {name: getattr(self, name) for name in ("rate", "warmup_steps", "milestones", "factor")}


def lagged(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Make an optimizer apply in each step the gradients of the step before; in the first step, zeros.

    The lag lets the reduction over the ranks overlap with the next step's computation (SC18); here it is for
    its effect on learning, since our step does not overlap them.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        Not yet built, and not a LossScaleOptimizer, which can take a lagged one. It is changed in place.

    Returns
    -------
    keras.optimizers.Optimizer
        The same object, now of a subclass of its class. Clipping is of the gradients in the step they are from; weight
        decay is not delayed.
    """
    base = type(optimizer)

    class Lagged(base):
        def build(self, variables: list[keras.Variable]) -> None:
            if not self.built:
                super().build(variables)
                self._previous = self.add_optimizer_variables(variables, "previous_gradient")

        def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
            previous = self._previous[self._get_variable_index(variable)]
            super().update_step(ops.copy(previous), variable, learning_rate)
            self.assign(previous, ops.cast(gradient, previous.dtype))

    Lagged.__name__, Lagged.__qualname__, Lagged.__module__ = base.__name__, base.__qualname__, base.__module__
    optimizer.__class__ = Lagged
    return optimizer
