"""Encoders and decoders.

All networks map ``image``, (batch, H, W, C) in 0 to 1, to the logits of one: ``{"image": logits}``. A variational one
also takes ``noise``, (batch, latent), standard normal, and gives the ``mean`` and the ``log_variance`` of each unit.
The layers "encoder" and "decoder" are models of their own: from images to codes (or their means, and log-variances),
and from codes to logits.

References
----------
G. E. Hinton, R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313 (2006): the
dense network of 1000, 500 and 250 units before a code of 30.
D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014 (arXiv:1312.6114): the variational autoencoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

if TYPE_CHECKING:
    from workloads.autoencoder import Config

FILTERS = (32, 64)  # filters of the convolutions, each of which halves height and width


def autoencoder(shape: Sequence[int], config: Config) -> keras.Model:
    """Build the network that a configuration asks for, for images of a shape (H, W, C)."""
    encoder, decoder = _encoder(shape, config), _decoder(shape, config)
    inputs = {"image": layers.Input(shape, name="image")}
    if not config.variational:
        return keras.Model(inputs, {"image": decoder(encoder(inputs["image"]))}, name="autoencoder")
    inputs["noise"] = layers.Input((config.code,), name="noise")
    mean, log_variance = encoder(inputs["image"])
    deviation: Any = ops.exp(log_variance / 2)
    code = mean + deviation * inputs["noise"]
    return keras.Model(inputs, {"image": decoder(code), "mean": mean, "log_variance": log_variance}, name="variational")


def _encoder(shape: Sequence[int], config: Config) -> keras.Model:
    x = image = layers.Input(shape)
    if config.network == "convolutional":
        for filters in FILTERS:
            x = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Flatten()(x)
    for width in config.widths:
        x = layers.Dense(width, "relu")(x)
    codes = [layers.Dense(config.code)(x) for _ in range(2 if config.variational else 1)]
    return keras.Model(image, codes if config.variational else codes[0], name="encoder")


def _decoder(shape: Sequence[int], config: Config) -> keras.Model:
    height, width, channels = shape
    x = code = layers.Input((config.code,))
    for units in reversed(config.widths):
        x = layers.Dense(units, "relu")(x)
    if config.network == "dense":
        x = layers.Reshape(tuple(shape))(layers.Dense(height * width * channels)(x))
        return keras.Model(code, x, name="decoder")
    step = 2 ** len(FILTERS)
    rows, columns = -(-height // step), -(-width // step)
    x = layers.Dense(rows * columns * FILTERS[-1], "relu")(x)
    x = layers.Reshape((rows, columns, FILTERS[-1]))(x)
    for filters in reversed(FILTERS):
        x = layers.Conv2DTranspose(filters // 2, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2D(channels, 3, padding="same")(x)
    return keras.Model(
        code, layers.Cropping2D(((0, rows * step - height), (0, columns * step - width)))(x), name="decoder"
    )
