"""One step: loss and gradients of a rank's batch, their mean over all ranks, the update of the weights.

Three compiled functions, of which only the second is one of all ranks: so it is seen when the gradients of a rank are
ready, and a rank does the same whether it is alone or not. Each takes over the memory of what it replaces.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from profiling.traces.parts import WAIT
from workloads.api import Workload
from workloads.training.engines.jax import flops
from workloads.training.engines.jax.communicator import Communicator
from workloads.training.engines.jax.profiler import span
from workloads.training.step import Outcome, check, in_float32, kept_statistics, losses, measured


class Step:
    """See `engines.interface.Step`. XLA compiles all of it in any case, and was told whether to be deterministic."""

    def __init__(
        self,
        workload: Workload,
        optimizer: Any,
        communicator: Communicator,
        xla: bool = False,
        accumulate: int = 1,
        deterministic: bool = False,
    ) -> None:
        self._communicator = communicator
        self._shapes: Any = None  # shapes of the arguments of the loss, after the first step
        model = workload.model
        self._variables = model.trainable_variables, model.non_trainable_variables, optimizer.variables
        kept = kept_statistics(model)
        alone = communicator.size == 1  # then nothing has to be packed into one message
        places = [place for place, v in enumerate(model.non_trainable_variables) if any(v is one for one in kept)]

        def loss_of(weights: list, others: list, state: list, inputs: Any, targets: Any) -> Any:
            outputs, others, penalties = model.stateless_call(
                weights, others, inputs, training=True, return_losses=True
            )
            values = losses(workload, targets, outputs)
            loss = sum((penalty.astype(values.dtype) for penalty in penalties), start=jnp.mean(values))
            with _holding(optimizer.variables, state):
                return optimizer.scale_loss(loss), (loss, others)

        def of_part(weights: list, others: list, state: list, batch: Any) -> Any:
            (_, (loss, others)), grads = jax.value_and_grad(loss_of, has_aux=True)(weights, others, state, *batch)
            return loss, others, grads

        def gradients(weights: list, others: list, state: list, inputs: Any, targets: Any, flags: Any) -> Any:
            if accumulate == 1:
                loss, others, grads = of_part(weights, others, state, (inputs, targets))
            else:
                loss, others, grads = _in_parts(of_part, accumulate, weights, others, state, (inputs, targets))
            sent = [*grads, jnp.append(flags, loss), *(others[place] for place in places)]
            sent = [part.astype(jnp.float32) for part in sent]
            return (sent if alone else jnp.concatenate([part.ravel() for part in sent])), others, loss

        def apply(message: Any, weights: list, others: list, state: list) -> Any:
            kept = [others[place] for place in places]
            parts = message if alone else _split(message, weights, kept)
            grads, said, means = parts[: len(weights)], parts[len(weights)], parts[len(weights) + 1 :]
            grads = [part.reshape(like.shape).astype(like.dtype) for part, like in zip(grads, weights)]
            with _holding(optimizer.variables, state):
                rate = jnp.asarray(optimizer.learning_rate, jnp.float32)
            weights, state = optimizer.stateless_apply(state, grads, weights)
            others = list(others)
            for place, mean in zip(places, means):
                others[place] = mean.reshape(others[place].shape).astype(others[place].dtype)
            return jnp.concatenate([rate[None], said]), weights, others, state

        self._loss_of = loss_of
        self._gradients = jax.jit(gradients, donate_argnums=1)
        self._apply = jax.jit(apply, donate_argnums=(1, 2, 3))

    @property
    def forward_flops(self) -> int | None:
        """See `engines.interface.Step`."""
        if self._shapes is None:
            return None
        return flops.forward(jax.make_jaxpr(self._loss_of)(*self._shapes).jaxpr)

    def __call__(self, number: int, inputs: Any, targets: Any, flags: list[bool]) -> Outcome:
        """See `engines.interface.Step`."""
        compiled_before = self._compiled()
        weights, others, state = ([variable.value for variable in each] for each in self._variables)
        if self._shapes is None:
            # Bound to the device, as the collectives leave arrays: else the second step would be compiled again.
            weights, others, state = jax.device_put((weights, others, state), jax.local_devices()[0])
            arguments = weights, others, state, inputs, targets
            self._shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arguments)
        began = time.perf_counter()
        own_flags = jnp.asarray(flags, jnp.float32)
        message, others, own = self._gradients(weights, others, state, inputs, targets, own_flags)
        with span(WAIT):
            own.block_until_ready()
        ready = time.perf_counter() - began
        said, *new = self._apply(self._communicator.mean(message), weights, others, state)
        for variables, values in zip(self._variables, new):
            for variable, value in zip(variables, values):
                variable._direct_assign(value)  # `assign` would check each of them, which takes time
        with span(WAIT):
            rate, *flag_means, loss = said.tolist()
        check(number, loss, rate, lambda: float(own), self._communicator)
        return Outcome(loss, rate, [mean > 0 for mean in flag_means], ready, self._compiled() > compiled_before)

    def _compiled(self) -> int:
        return self._gradients._cache_size() + self._apply._cache_size()


def sums(workload: Workload) -> Any:
    """See `engines.interface.Engine`."""
    model = workload.model

    @jax.jit
    def outputs_of(weights: list, others: list, inputs: Any) -> Any:
        return in_float32(model.stateless_call(weights, others, inputs, training=False)[0])

    summed = jax.jit(lambda targets, outputs: measured(workload, targets, outputs))

    def of_batch(inputs: Any, targets: Any) -> dict[str, Any]:
        variables = model.trainable_variables, model.non_trainable_variables
        outputs = outputs_of(*([variable.value for variable in each] for each in variables), inputs)
        with jax.enable_x64(True):  # a workload may add up in float64, which JAX would make float32 of
            return summed(targets, outputs)

    return of_batch


def _holding(variables: Sequence[keras.Variable], values: Sequence[Any]) -> Any:
    """Return a context in which the variables have these values."""
    return keras.StatelessScope(state_mapping=list(zip(variables, values)))


def _split(message: jax.Array, before: list, after: list) -> list[jax.Array]:
    """Split a message into parts with the sizes of the arrays before and after, and one between with the rest."""
    sizes, rest = [each.size for each in before], [each.size for each in after]
    return jnp.split(message, np.cumsum([*sizes, len(message) - sum(sizes) - sum(rest), *rest])[:-1])


def _in_parts(of_part: Any, parts: int, weights: list, others: list, state: list, batch: Any) -> Any:
    """Return loss and gradients of a batch as means over its parts, which go through the network one by one."""
    stacks = jax.tree.map(lambda x: x.reshape(parts, x.shape[0] // parts, *x.shape[1:]), batch)

    def add(index: Any, so_far: Any) -> Any:
        loss, others, sums = so_far
        more, others, grads = of_part(weights, others, state, jax.tree.map(lambda stack: stack[index], stacks))
        return loss + more, others, [total + gradient for total, gradient in zip(sums, grads)]

    first = of_part(weights, others, state, jax.tree.map(lambda stack: stack[0], stacks))
    loss, others, sums = jax.lax.fori_loop(1, parts, add, first)
    return loss / parts, others, [total / parts for total in sums]
