"""The parts that the steps of both engines share, and the outcome of a step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops, tree

LOSS = "loop/loss"  # beside the workload's own statistics, which may have one named loss


class Diverged(ArithmeticError):
    """The loss or the weights are no longer finite; the message is one line that says where."""


class Outcome(NamedTuple):
    """What is known of a step once it is made."""

    loss: float  # mean over all ranks
    learning_rate: float  # learning rate of the step
    flags: list[bool]  # each is set if any rank had set it
    gradient_seconds: float  # from its start until the gradients of this rank were ready
    compiled: bool  # whether the step was traced and compiled first


def losses(workload: Any, targets: Any, outputs: Any) -> Any:
    """Return the loss of each example of a batch.

    Raises
    ------
    ValueError
        If the workload's loss is not one value per example.
    """
    values = workload.loss(targets, in_float32(outputs))
    if len(values.shape) != 1:
        raise ValueError(
            f"the workload's loss must have the shape (batch,), one value for each example, not {tuple(values.shape)}: "
            "give a Keras loss reduction=None, and take the mean of a map over its points"
        )
    return values


def measured(workload: Any, targets: Any, outputs: Any) -> dict[str, Any]:
    """Return what an evaluation sums up over batches: the loss, and the workload's own statistics."""
    outputs = in_float32(outputs)
    return {LOSS: ops.sum(workload.loss(targets, outputs)), **workload.statistics(targets, outputs)}


def in_float32(outputs: Any) -> Any:
    """Return a network's outputs in a type in which a loss can be added up, whatever they were computed in."""

    def cast(x: Any) -> Any:
        return ops.cast(x, "float32") if ops.dtype(x) in ("bfloat16", "float16") else x

    return tree.map_structure(cast, outputs)


def kept_statistics(model: Any) -> list:
    """Return the variables that layers themselves update, such as moving means.

    Frozen weights are not trainable either, but must not change, as they would by the rounding of a mean over ranks.
    """
    frozen = {id(variable) for layer in model._flatten_layers() if not layer.trainable for variable in layer.variables}
    return [v for v in model.non_trainable_variables if id(v) not in frozen and "float" in v.dtype]


def check(number: int, loss: float, rate: float, own: Callable[[], float], communicator: Any) -> None:
    """Make sure that the loss of a step is finite.

    Parameters
    ----------
    number : int
        Number of the step, for the message.
    loss, rate : float
        Mean loss over all ranks, and learning rate.
    own : function
        Returns the loss of this rank, which is gathered from all ranks if the mean is not finite.
    communicator : Communicator
        The ranks.

    Raises
    ------
    Diverged
        On every rank, if the loss of any is not finite.
    """
    if math.isfinite(loss):
        return
    of_ranks = communicator.gather(own())
    culprits = [rank for rank, value in enumerate(of_ranks) if not math.isfinite(value)]
    ranks = ", ".join(map(str, culprits)) or "all"
    raise Diverged(
        f"the loss is {of_ranks[culprits[0]] if culprits else loss} at step {number} on rank {ranks} "
        f"at learning rate {rate:g}: lower --lr, or lengthen --warmup"
    )
