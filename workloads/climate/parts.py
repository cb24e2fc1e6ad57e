"""The parts of which the networks of the climate workload are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers


@keras.saving.register_keras_serializable("climate")
class Affine(layers.Layer):
    """A scale and an offset for each channel."""

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Create two weights per channel."""
        self.scale = self.add_weight(shape=input_shape[-1:], initializer="ones", name="scale")
        self.offset = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="offset")

    def call(self, x: Any) -> Any:
        """Map (..., C) to (..., C)."""
        return x * self.scale + self.offset


def normalised(x: Any) -> Any:
    """Apply batch normalisation."""
    # The published 0.9997 of the moving means is for runs of tens of thousands of steps.
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def unit(x: Any, filters: int, size: int, stride: int = 1, rate: int = 1) -> Any:
    """Apply a convolution, normalisation and ReLU."""
    x = layers.Conv2D(
        filters, size, stride, "same", dilation_rate=rate, use_bias=False, kernel_initializer="he_normal"
    )(x)
    return layers.ReLU()(normalised(x))


def separable(x: Any, filters: int, rate: int = 1, stride: int = 1) -> Any:
    """Apply a convolution of each channel on its own, and one over the channels of each point."""
    # Two layers, because TensorFlow's separable convolution cannot have both a stride and a rate, nor count as two.
    x = layers.DepthwiseConv2D(
        3, stride, "same", dilation_rate=rate, use_bias=False, depthwise_initializer="he_normal"
    )(x)
    return layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="he_normal")(x)


def bottleneck(x: Any, filters: int, stride: int, rate: int) -> tuple[Any, Any]:
    """Apply a unit of ResNet v2; return its output, and that of its first convolution."""
    active = layers.ReLU()(normalised(x))
    if x.shape[-1] != 4 * filters:
        shortcut = layers.Conv2D(4 * filters, 1, stride)(active)
    else:
        shortcut = layers.MaxPooling2D(1, stride)(x) if stride > 1 else x
    first = unit(active, filters, 1)
    y = unit(first, filters, 3, stride, rate)
    return layers.Add()([shortcut, layers.Conv2D(4 * filters, 1)(y)]), first


def pyramid(x: Any, filters: int, rates: Sequence[int]) -> Any:
    """Apply atrous spatial pyramid pooling: convolutions of growing reach side by side, and the mean of the map."""
    views = [unit(x, filters, 1), *(unit(x, filters, 3, rate=rate) for rate in rates)]
    # Not normalised: one value per example and channel has no spread in a batch of one.
    mean = layers.Conv2D(filters, 1, use_bias=False)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    mean = layers.ReLU()(Affine()(mean))
    views.append(layers.UpSampling2D(x.shape[1:3])(mean))
    return unit(layers.Concatenate()(views), filters, 1)


def padded(height: int, width_points: int, channels: int, multiple: int) -> tuple[Any, Any, Callable[[Any], Any]]:
    """Return the input fields, the fields padded to a multiple of the network's stride, and what crops the output."""
    fields = layers.Input((height, width_points, channels), name="fields")
    extra = tuple((-size % multiple // 2, -size % multiple - -size % multiple // 2) for size in (height, width_points))
    if extra == ((0, 0), (0, 0)):
        return fields, fields, lambda x: x
    return fields, layers.ZeroPadding2D(extra)(fields), layers.Cropping2D(extra)


def model(name: str, fields: Any, logits: Any) -> keras.Model:
    """Build the network from fields to logits, which are float32 whatever the precision inside is."""
    logits = layers.Activation("linear", dtype="float32", name="logits")(logits)
    return keras.Model(fields, logits, name=name)
