"""Convolutions that XLA is slow at on a processor: as products of matrices, or of a few images at a time.

XLA takes the smaller operand of a convolution for its kernel (AlgebraicSimplifier::SwapConvOperands). For a map with
fewer points than the kernel, and for the gradient of a transposed convolution's kernel, this makes a convolution that
its CPU backend has only as plain loops: 60 times slower. Padding does not help, as XLA folds it back. So both are
written here as what a convolution is: the neighbours of each point, side by side, times the kernel; and a transposed
one as each point times the kernel, added up where the results overlap.

The gradient of the kernel of a layer with few filters is such a product as well: each point times the slopes of the
results to which it contributes.

Other convolutions, and most of all the gradients of their kernels, take up to five times as long per image for 64
images as for 8, whose maps fit into the caches of a core. So the images of a batch go through a layer in groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import keras.src.backend.jax.nn as of_keras  # used by all layers of Keras, without a public name
import numpy as np
from keras.src.backend.common.backend_utils import compute_conv_transpose_padding_args_for_jax as padding_of_transposed

_convolution: Any = of_keras.conv
_transposed: Any = of_keras.conv_transpose
_FEW, _PARTS = 8, 4  # filters that are few, and parts of a batch that go through the gradient of their kernel
_GROUP = 8  # images in a group, at least
_GROUP_BYTES = 2 << 20  # bytes of maps before and after a layer that a group may have in any case
_GROUPS = 16  # groups at most, as each is compiled by itself


def use_products() -> None:
    """Make the layers of Keras convolve as this module does."""
    of_keras.conv, of_keras.conv_transpose = convolution, transposed


def convolution(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Compute what ``keras.ops.conv`` does."""
    *sizes, channels, filters = kernel.shape
    steps = np.broadcast_to(strides, len(sizes))

    def convolve(images: Any, kernel: Any) -> Any:
        return _convolution(images, kernel, strides, padding, data_format, dilation_rate)

    if not is_plain(data_format, dilation_rate) or channels != inputs.shape[-1]:
        return convolve(inputs, kernel)
    inputs, kernel = jnp.asarray(inputs), jnp.asarray(kernel)
    points = [-(-count // step) for count, step in zip(inputs.shape[1:-1], steps)]
    pads = jax.lax.padtype_to_pads(inputs.shape[1:-1], sizes, steps, padding.upper())
    if padding.lower() != "same" or math.prod(points) >= math.prod(sizes):
        if filters <= _FEW and all(steps == 1):
            return _of_few_filters(convolve, pads, inputs, kernel)
        return _in_groups(lambda images: convolve(images, kernel), inputs)
    padded = jnp.pad(inputs.astype(kernel.dtype), [(0, 0), *pads, (0, 0)])
    return jnp.concatenate(neighbours(padded, sizes, steps, points), axis=-1) @ kernel.reshape(-1, filters)


def transposed(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Compute what ``keras.ops.conv_transpose`` does."""
    if not is_plain(data_format, dilation_rate):
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


def neighbours(maps: Any, sizes: Sequence[int], steps: Sequence[int], windows: Sequence[int]) -> list[Any]:
    """Return, for each place in a window, the points of maps that are there in all windows, ``steps`` apart."""
    return [
        maps[:, *(slice(at, at + step * count, step) for at, step, count in zip(place, steps, windows))]
        for place in np.ndindex(*sizes)
    ]


def is_plain(data_format: str | None, dilation_rate: Any = 1) -> bool:
    """Return whether a layer is one of those that are computed here."""
    channels_last = (data_format or keras.config.image_data_format()) == "channels_last"
    return channels_last and bool(np.all(np.equal(dilation_rate, 1))) and jax.default_backend() == "cpu"


def _of_few_filters(convolve: Callable[[Any, Any], Any], pads: Sequence, images: Any, kernel: Any) -> Any:
    """Convolve images with few filters; the gradient of the kernel is computed as a product."""
    *sizes, channels, filters = kernel.shape

    def of_kernel(images: Any, slopes: Any) -> Any:
        for axis, (size, (low, _)) in enumerate(zip(sizes, pads), start=1):
            # The point at p contributes to the result at p + low - at, by the kernel's weight at ``at``.
            more = images.shape[axis] - slopes.shape[axis]
            shifts = [[(0, 0, 0)] * axis + [(at - low, more + low - at, 0)] for at in range(size)]
            rest = [(0, 0, 0)] * (slopes.ndim - axis - 1)
            zero = jnp.zeros((), slopes.dtype)
            slopes = jnp.concatenate([jax.lax.pad(slopes, zero, [*shift, *rest]) for shift in shifts], axis=-1)
        points = images.reshape(-1, channels)
        product = jnp.matmul(points.T, slopes.reshape(len(points), -1), preferred_element_type="float32")
        return product.reshape(channels, *reversed(sizes), filters).transpose(*range(len(sizes), -1, -1), -1)

    def backward(kept: tuple[Any, Any], slopes: Any) -> tuple[Any, Any]:
        images, kernel = kept
        [of_images] = jax.vjp(lambda images: convolve(images, kernel), images)[1](slopes)
        group = math.ceil(len(images) / _PARTS) or 1
        parts = (slice(at, at + group) for at in range(0, len(images), group))
        return of_images, sum(of_kernel(images[part], slopes[part]) for part in parts).astype(kernel.dtype)

    own = jax.custom_vjp(convolve)
    own.defvjp(lambda images, kernel: (convolve(images, kernel), (images, kernel)), backward)
    return own(images, kernel)


def _in_groups(convolve: Callable[[Any], Any], images: Any) -> Any:
    """Convolve a few images at a time, which are the first axis of inputs and outputs."""
    if len(images) <= _GROUP:
        return convolve(images)
    outputs = jax.eval_shape(convolve, images)
    bytes_of_image = (images.size * images.dtype.itemsize + outputs.size * outputs.dtype.itemsize) // len(images)
    group = max(_GROUP, _GROUP_BYTES // bytes_of_image, math.ceil(len(images) / _GROUPS))
    if group >= len(images):
        return convolve(images)
    return jnp.concatenate([convolve(images[at : at + group]) for at in range(0, len(images), group)])
