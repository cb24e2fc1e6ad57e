"""Floating point operations of a network, counted in its jaxpr; see `workloads.training.flops`."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from workloads.training import flops

_CHOICES = {"while", "cond"}


def forward(jaxpr: Any) -> int | None:
    """Count the operations of a forward pass.

    Parameters
    ----------
    jaxpr : jax.extend.core.Jaxpr
        The forward pass, with the shapes of a whole batch.

    Returns
    -------
    int or None
        Number of operations; None if it branches, or has loops whose number of rounds depends on what it computes, as
        what it will do cannot be seen in it then.
    """
    total = 0
    for equation in _needed(jaxpr):
        name = equation.primitive.name
        if name in _COUNTS:
            total += 2 * _COUNTS[name](equation)
        for inner in _inner(equation):
            counted = forward(inner)
            if counted is None or (counted and name in _CHOICES):
                return None
            total += counted * (equation.params["length"] if name == "scan" else 1)
    return total


def square(rows: int, dtype: str) -> Callable[[], Any]:
    """Return a function that multiplies a matrix of that many rows by itself, and returns when that is done."""
    factor, product = jax.random.uniform(jax.random.key(1), (rows, rows), dtype), jax.jit(jnp.matmul)
    return lambda: product(factor, factor).block_until_ready()


def _needed(jaxpr: Any) -> Iterator[Any]:
    """Yield the equations that the results need: Keras tries a step of some recurrent layers, for its shapes alone."""
    needed = {id(variable) for variable in jaxpr.outvars}
    for equation in reversed(jaxpr.eqns):
        if any(id(variable) in needed for variable in equation.outvars):
            needed.update(id(variable) for variable in equation.invars)
            yield equation


def _inner(equation: Any) -> Iterator[Any]:
    """Yield the jaxprs that an equation calls."""
    for value in equation.params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            if hasattr(each, "jaxpr"):
                each = each.jaxpr
            if hasattr(each, "eqns"):
                yield each


def _product(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)


def _convolution(equation: Any) -> int:
    left, kernel = (variable.aval.shape for variable in equation.invars)
    out_axis, in_axis, *_ = equation.params["dimension_numbers"].rhs_spec
    if any(step > 1 for step in equation.params["lhs_dilation"]):  # transposed: each input meets the whole kernel once
        return math.prod(left) * math.prod(kernel) // kernel[in_axis]
    return math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) // kernel[out_axis]


def _recurrent(equation: Any) -> int:
    inputs, state = (variable.aval.shape for variable in equation.invars[:2])
    ways = 2 if equation.params["bidirectional"] else 1
    return flops.recurrent(4, inputs[0] * inputs[1], inputs[2], state[2], state[0] // ways, ways)


_COUNTS = {"dot_general": _product, "conv_general_dilated": _convolution, "rnn_fwd": _recurrent}
"""Multiply-adds of each primitive."""
