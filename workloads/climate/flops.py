"""Floating-point operations of a network, counted as SC18 counted them."""

from __future__ import annotations

import math

import keras
from keras import layers


def training_flops(model: keras.Model) -> int:
    """Operations of one training example: those of the convolutions, thrice.

    A multiplication and an addition are two; the backward pass is two more convolutions of the same cost. What is not a
    convolution counts nothing, as in the code of SC18, which came to 4.188 TF for Tiramisu.

    Parameters
    ----------
    model : keras.Model
        With fixed sizes of its input.

    Returns
    -------
    int
        Floating-point operations per example.
    """
    return 3 * sum(_forward(layer) for layer in model._flatten_layers(include_self=False))


def _forward(layer: keras.Layer) -> int:
    if isinstance(layer, layers.Conv2DTranspose):  # each point of the input meets each weight once
        points = math.prod(layer.input.shape[1:3])
    elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
        points = math.prod(layer.output.shape[1:3])
    else:
        return 0
    return 2 * points * math.prod(layer.kernel.shape)
