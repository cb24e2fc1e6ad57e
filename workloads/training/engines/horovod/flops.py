"""Floating point operations of a network, counted in the graph of its training step; see `workloads.training.flops`."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from workloads.training import flops
from workloads.training.engines.horovod import loops

_CALLS = {"PartitionedCall": "f", "StatefulPartitionedCall": "f", "While": "body", "StatelessWhile": "body"}
_CHOICES = {"If", "StatelessIf", "Case", "StatelessCase"}


def forward(outputs: Sequence[tf.Tensor]) -> int | None:
    """Count the operations that some tensors of a graph need.

    Parameters
    ----------
    outputs : sequence of tf.Tensor
        Results of a forward pass, in a graph with the shapes of a whole batch.

    Returns
    -------
    int or None
        Operations of one run of the graph; None if it branches, has loops whose number of rounds depends on what it
        computes, or has unknown shapes, as what it will do cannot be seen in it then.
    """
    total = 0
    for operation in _needed(outputs):
        kind = operation.type
        if kind in _CHOICES:
            return None
        if kind in _CALLS:
            each = forward(loops.called(operation, _CALLS[kind]).outputs)
            times = loops.times(operation) if each and "While" in kind else 1
            if each is None or times is None:
                return None
            total += each * times
        if kind in _COUNTS:
            shapes = [tuple(tensor.shape) if tensor.shape.rank is not None else (None,) for tensor in operation.inputs]
            shapes.append(tuple(operation.outputs[0].shape) if operation.outputs[0].shape.rank is not None else (None,))
            if any(size is None for shape in shapes for size in shape):
                return None
            total += 2 * _COUNTS[kind](operation, *shapes)
    return total


def _needed(outputs: Sequence[tf.Tensor]) -> list[Any]:
    """Return the operations that tensors need: Keras tries a step of a recurrent layer, for its shapes alone."""
    waiting: list[Any] = [tensor.op for tensor in outputs]
    found: dict[str, Any] = {}
    while waiting:
        operation = waiting.pop()
        if operation.name not in found:
            found[operation.name] = operation
            waiting += [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]
    return list(found.values())


def square(rows: int, dtype: str) -> Callable[[], Any]:
    """Return a function that multiplies a matrix of that many rows by itself, and returns when that is done."""
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


def _recurrent(operation: Any, inputs: tuple, state: tuple, *others: tuple) -> int:
    gates = {"lstm": 4, "gru": 3}.get(operation.get_attr("rnn_mode").decode(), 1)
    ways = 2 if operation.get_attr("direction") == b"bidirectional" else 1
    layers = state[0 if operation.get_attr("time_major") else 1] // ways
    return flops.recurrent(gates, inputs[0] * inputs[1], inputs[2], state[2], layers, ways)


_COUNTS = {
    "CudnnRNNV3": _recurrent,
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
