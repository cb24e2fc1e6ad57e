"""The gradients of biases in bfloat16, summed in float32.

The gradient of a bias is the sum of the gradients of all that it was added to, examples times cells. TensorFlow's
kernel of that sum for processors (BiasAddGrad) adds in bfloat16 itself, on 2.18 at least: 8 bits, so that a sum of
numbers of one sign stops growing at 256 of them. Sums of float16, and those on a GPU, are made in float32.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_plain: Any = tf.nn.bias_add


def sum_gradients_in_float32() -> None:
    """Make ``tf.nn.bias_add``, and so every Keras layer, sum its bfloat16 gradients in float32."""
    tf.nn.bias_add = _bias_add


def _bias_add(value: Any, bias: Any, data_format: str | None = None, name: str | None = None) -> Any:
    value, bias = tf.convert_to_tensor(value), tf.convert_to_tensor(bias)
    if value.dtype != tf.bfloat16:
        return _plain(value, bias, data_format, name)
    channels = 1 if (data_format or "N").startswith("NC") else value.shape.rank - 1
    summed = [axis for axis in range(value.shape.rank) if axis != channels]

    @tf.custom_gradient
    def added(value: Any, bias: Any) -> tuple[Any, Any]:
        def gradients(upstream: Any) -> tuple[Any, Any]:
            return upstream, tf.cast(tf.reduce_sum(tf.cast(upstream, tf.float32), summed), upstream.dtype)

        return _plain(value, bias, data_format, name), gradients

    return added(value, bias)
