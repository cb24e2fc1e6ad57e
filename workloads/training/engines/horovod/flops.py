"""Floating point operations of a network, counted in the graph of its training step; see `workloads.training.flops`."""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_CHOICES = {"While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase"}


def forward(graph: Any) -> int | None:
    """Count the operations of the forward pass in the graph of a training step.

    Parameters
    ----------
    graph : tf.Graph
        With the shapes of a whole batch. What a gradient tape has added to it is not counted.

    Returns
    -------
    int or None
        Of one run of the graph; None where it loops or branches, or has shapes that are not known, as what it will do
        cannot be seen in it then.
    """
    total = 0
    for operation in graph.get_operations():
        if "gradient_tape/" in operation.name:
            continue
        if operation.type in _CHOICES:
            return None
        if operation.type in _CALLS:
            called = forward(graph._get_function(operation.get_attr("f").name).graph)
            if called is None:
                return None
            total += called
        if operation.type in _COUNTS:
            shapes = [tuple(tensor.shape) if tensor.shape.rank is not None else (None,) for tensor in operation.inputs]
            shapes.append(tuple(operation.outputs[0].shape) if operation.outputs[0].shape.rank is not None else (None,))
            if any(size is None for shape in shapes for size in shape):
                return None
            total += 2 * _COUNTS[operation.type](operation, *shapes)
    return total


def square(rows: int, dtype: str) -> Callable[[], Any]:
    """A function that multiplies a matrix of so many rows by itself, and returns when that is done."""
    factor = tf.cast(tf.random.stateless_uniform((rows, rows), (1, 2)), dtype)
    return lambda: tf.matmul(factor, factor)[0, 0].numpy()


def _convolution(operation: Any, inputs: tuple, kernel: tuple, output: tuple) -> int:
    return math.prod(output) * math.prod(kernel[:-1])  # the last axis of the kernel is that of the output's channels


def _transposed(operation: Any, sizes: tuple, kernel: tuple, inputs: tuple, output: tuple) -> int:
    return math.prod(inputs) * math.prod(kernel[:-1])  # the convolution whose gradient it is makes `inputs` of `output`


def _depthwise(operation: Any, inputs: tuple, kernel: tuple, output: tuple) -> int:
    return math.prod(output) * math.prod(kernel[:2])


def _product(operation: Any, left: tuple, right: tuple, output: tuple) -> int:
    transposed = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
    return math.prod(output) * left[-2 if transposed else -1]


def _einsum(operation: Any, *shapes: tuple) -> int:
    terms = operation.get_attr("equation").decode().partition("->")[0].split(",")
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, shapes):
        # Axes that the equation leaves to an ellipsis lie between those before and those behind it.
        before, dots, behind = term.partition("...")
        lengths |= dict(zip(before, shape))
        if dots:
            hidden = shape[len(before) : len(shape) - len(behind)]
            lengths |= {f"...{place - len(hidden)}": size for place, size in enumerate(hidden)}
            lengths |= dict(zip(reversed(behind), reversed(shape)))
    return math.prod(lengths.values())


_COUNTS = {
    "Conv2D": _convolution,
    "Conv3D": _convolution,
    "Conv2DBackpropInput": _transposed,
    "Conv3DBackpropInputV2": _transposed,
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _product,
    "BatchMatMul": _product,
    "BatchMatMulV2": _product,
    "BatchMatMulV3": _product,
    "Einsum": _einsum,
}
"""Multiply-adds of each type of operation, from it and from the shapes of its inputs and its output."""
