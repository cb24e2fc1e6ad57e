"""The shortest loop that one writes by hand with Keras on JAX: one compiled step, and nothing is looked at before the end."""

from __future__ import annotations

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp

from workloads.training.step import in_float32


def compiled(workload: Any, optimizer: Any) -> tuple[Any, list[list]]:
    """A step, and what it starts from.

    Parameters
    ----------
    workload : Workload
        Its model, which is left as it is, and its loss.
    optimizer : keras.optimizers.Optimizer
        Built.

    Returns
    -------
    function
        ``(weights, others, state, inputs, targets)`` to the first three as they are after a step, and the loss.
    list of list of jax.Array
        Weights, other variables and the state of the optimizer: copies, as a step takes over the memory of each.
    """
    model = workload.model

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(weights: list, others: list, state: list, inputs: Any, targets: Any) -> Any:
        def loss_of(weights: list) -> Any:
            outputs, new = model.stateless_call(weights, others, inputs, training=True)
            return jnp.mean(workload.loss(targets, in_float32(outputs))), new

        (loss, new), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights)
        weights, state = optimizer.stateless_apply(state, gradients, weights)
        return weights, new, state, loss

    variables = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    return step, [[jnp.array(variable.value) for variable in each] for each in variables]


def seconds_per_step(workload: Any, optimizer: Any, batches: list[Any], steps: int, warm: int = 3) -> float:
    """Train on batches that are on the device, in turn.

    Parameters
    ----------
    workload, optimizer
        As for `compiled`.
    batches : list of (inputs, targets)
        On the device.
    steps, warm : int
        How many are timed, and how many come before: the first of them compiles.
    """
    step, values = compiled(workload, optimizer)
    began = 0.0
    for number in range(warm + steps):
        if number == warm:
            jax.block_until_ready(values)
            began = time.perf_counter()
        *values, _ = step(*values, *batches[number % len(batches)])
    jax.block_until_ready(values)
    return (time.perf_counter() - began) / steps
