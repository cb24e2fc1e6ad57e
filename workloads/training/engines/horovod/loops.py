"""How often a loop of a graph runs, if the graph alone determines it.

A recurrent layer is a loop over the items of a sequence, whose number is a constant in the graph, as the shapes are
those of a whole batch. So its condition can be followed without running the network: it needs the loop's counters, and
those need nothing but constants.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

_LONGEST = 100_000  # loops that run more often are not followed to their end
_FOLLOWED: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "AddV2": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Minimum": np.minimum,
    "Maximum": np.maximum,
    "Less": np.less,
    "LessEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterEqual": np.greater_equal,
    "LogicalAnd": np.logical_and,
    "LogicalOr": np.logical_or,
    "LogicalNot": np.logical_not,
    "Identity": lambda value: value,
    "Max": lambda value, axes: np.max(value, tuple(axes)),
}


def called(operation: Any, attribute: str) -> Any:
    """Return the graph of a function that an operation calls."""
    return operation.graph._get_function(operation.get_attr(attribute).name).graph


def times(loop: Any) -> int | None:
    """Return how often the body of a loop runs.

    Parameters
    ----------
    loop : tf.Operation
        A While or StatelessWhile operation.

    Returns
    -------
    int or None
        Number of runs; None if it depends on what the loop computes.
    """
    condition, body = called(loop, "cond"), called(loop, "body")
    values = [_value(tensor, {}) for tensor in loop.inputs]
    for count in range(_LONGEST):
        goes_on = _value(condition.outputs[0], _by_name(condition, values))
        if goes_on is None:
            return None
        if not goes_on:
            return count
        before = _by_name(body, values)
        values = [_value(tensor, before) for tensor in body.outputs]
    return None


def _by_name(graph: Any, values: list) -> dict[str, Any]:
    return {tensor.name: value for tensor, value in zip(graph.inputs, values)}


def _value(tensor: tf.Tensor, known: dict[str, Any]) -> Any:
    """Return a whole number or a truth value, as far as it follows from what is known; otherwise None."""
    if tensor.name in known:
        return known[tensor.name]
    if not (tensor.dtype.is_integer or tensor.dtype.is_bool):
        return None
    operation: Any = tensor.op
    if operation.type not in _FOLLOWED:
        return tf.get_static_value(tensor)
    values = [_value(each, known) for each in operation.inputs]
    return None if any(value is None for value in values) else _FOLLOWED[operation.type](*values)
