"""Convolutions that XLA is slow at on a processor, as products of matrices.

XLA takes the smaller operand of a convolution for its kernel (AlgebraicSimplifier::SwapConvOperands). For a map with
fewer points than the kernel, and for the gradient of a transposed convolution's kernel, this makes a convolution that
its CPU backend has only as plain loops: 60 times slower. Padding does not help, as XLA folds it back. So both are
written here as what a convolution is: the neighbours of each point, side by side, times the kernel; and a transposed
one as each point times the kernel, added up where the results overlap.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import keras
import keras.src.backend.jax.nn as of_keras  # from which all layers of Keras take theirs, and which has no public name
import numpy as np
from keras.src.backend.common.backend_utils import compute_conv_transpose_padding_args_for_jax as padding_of_transposed

_convolution: Any = of_keras.conv
_transposed: Any = of_keras.conv_transpose


def use_products() -> None:
    """From now on the layers of Keras use products of matrices where convolutions are slow."""
    of_keras.conv, of_keras.conv_transpose = convolution, transposed


def convolution(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """As ``keras.ops.conv``."""
    *sizes, channels, filters = kernel.shape
    steps = np.broadcast_to(strides, len(sizes))
    plain = _is_plain(data_format, dilation_rate) and channels == inputs.shape[-1]
    points = [-(-count // step) for count, step in zip(inputs.shape[1:-1], steps)]
    if not plain or padding.lower() != "same" or math.prod(points) >= math.prod(sizes):
        return _convolution(inputs, kernel, strides, padding, data_format, dilation_rate)
    kernel = jnp.asarray(kernel)
    pads = jax.lax.padtype_to_pads(inputs.shape[1:-1], sizes, steps, "SAME")
    padded = jnp.pad(jnp.asarray(inputs, kernel.dtype), [(0, 0), *pads, (0, 0)])
    neighbours = [
        padded[:, *(slice(at, at + step * count, step) for at, step, count in zip(place, steps, points))]
        for place in np.ndindex(*sizes)
    ]
    return jnp.concatenate(neighbours, axis=-1) @ kernel.reshape(-1, filters)


def transposed(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """As ``keras.ops.conv_transpose``."""
    if not _is_plain(data_format, dilation_rate):
        return _transposed(inputs, kernel, strides, padding, output_padding, data_format, dilation_rate)
    *sizes, filters, channels = kernel.shape
    steps = [int(step) for step in np.broadcast_to(strides, len(sizes))]
    pads = padding_of_transposed(inputs.shape, kernel.shape, strides, padding, output_padding, dilation_rate)
    spread = jnp.matmul(
        inputs, jnp.asarray(kernel, inputs.dtype).reshape(-1, channels).T, preferred_element_type="float32"
    )
    parts = []
    for number, place in enumerate(np.ndindex(*sizes)):
        part = spread[..., number * filters : (number + 1) * filters]
        # The point at p makes p * step + place; what the padding leaves out is negative here.
        shifts = [
            (at - size + 1 + low, high - at, step - 1) for at, size, (low, high), step in zip(place, sizes, pads, steps)
        ]
        parts.append(jax.lax.pad(part, jnp.zeros((), part.dtype), [(0, 0, 0), *shifts, (0, 0, 0)]))
    return sum(parts[1:], start=parts[0]).astype(inputs.dtype)


def _is_plain(data_format: str | None, dilation_rate: Any) -> bool:
    channels_last = (data_format or keras.config.image_data_format()) == "channels_last"
    return channels_last and bool(np.all(np.equal(dilation_rate, 1))) and jax.default_backend() == "cpu"
