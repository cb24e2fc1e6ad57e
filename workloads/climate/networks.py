"""Networks that assign a class to each point of a map: Tiramisu and DeepLabv3+ of SC18, DeepLabv3+ of MLPerf HPC.

All networks map fields, (batch, H, W, channels), to logits, (batch, H, W, classes), in float32. H and W are arbitrary:
they are padded with zeros to a multiple of the network's stride and cropped again. A ``width`` of 64 is the published
network; another one scales all its layers.

References
----------
S. Jegou et al., "The One Hundred Layers Tiramisu", CVPRW 2017; L.-C. Chen et al., "Encoder-Decoder with Atrous
Separable Convolution for Semantic Image Segmentation", ECCV 2018: DeepLabv3+.
T. Kurth et al., "Exascale Deep Learning for Climate Analytics", SC18, arXiv:1810.01993, and its code,
https://github.com/azrael417/ClimDeepLearn: `tiramisu`, `deeplab`.
https://github.com/azrael417/mlperf-deepcam: `deepcam`, the reference of MLPerf HPC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers

from workloads.climate import parts

PUBLISHED_WIDTH = 64


def tiramisu(
    height: int,
    width_points: int,
    channels: int = 16,
    classes: int = 3,
    *,
    width: int = PUBLISHED_WIDTH,
    blocks: Sequence[int] = (2, 2, 2, 4, 5),
    kernel: int = 5,
    dropout: float = 0.2,
    normalise: bool = False,
) -> keras.Model:
    """Densely connected blocks down and up, with skip connections; a block on the way up outputs only what it added.

    Parameters
    ----------
    height, width_points : int
        Number of points of the map along each axis.
    channels, classes : int
        Number of channels of the input, and of classes of the output.
    width : int
        Filters of the first convolution; each further one adds half as many.
    blocks : sequence of int
        Convolutions in each block on the way down; all but the last are repeated on the way up.
    kernel : int
        Size of the convolutions. 5 in SC18, with half of the 3 x 3 network's layers.
    dropout : float
        Share of the activations dropped after each convolution in training.
    normalise : bool
        Whether to apply batch normalisation after each convolution.
    """
    growth = max(1, width // 2)

    def convolution(x: Any, filters: int, size: int, stride: int = 1) -> Any:
        x = layers.Conv2D(filters, size, stride, "same", use_bias=not normalise, kernel_initializer="he_uniform")(x)
        if normalise:
            x = parts.normalised(x)
        x = layers.ReLU()(x)
        return layers.Dropout(dropout)(x) if dropout else x

    def block(x: Any, count: int) -> tuple[Any, Any]:
        """Return all features so far, and the added ones."""
        added = []
        for _ in range(count):
            added.append(convolution(x, growth, kernel))
            x = layers.Concatenate()([x, added[-1]])
        return x, layers.Concatenate()(added) if count > 1 else added[0]

    fields, x, cut = parts.padded(height, width_points, channels, 2 ** (len(blocks) - 1))
    x = convolution(x, width, kernel)
    skips = []
    for count in blocks[:-1]:
        x, _ = block(x, count)
        skips.append(x)
        x = convolution(x, x.shape[-1], 1, stride=2)
    _, added = block(x, blocks[-1])
    for count in reversed(blocks[:-1]):
        x = layers.Conv2DTranspose(added.shape[-1], 3, 2, "same", kernel_initializer="he_uniform")(added)
        x, added = block(layers.Concatenate()([x, skips.pop()]), count)
    return parts.model("tiramisu", fields, cut(layers.Conv2D(classes, 1)(x)))


def deeplab(
    height: int, width_points: int, channels: int = 16, classes: int = 3, *, width: int = PUBLISHED_WIDTH
) -> keras.Model:
    """DeepLabv3+ on ResNet-50 (v2), at 1/8 of the resolution, with a decoder that goes up to full resolution.

    Parameters
    ----------
    height, width_points : int
        Number of points of the map along each axis.
    channels, classes : int
        Number of channels of the input, and of classes of the output.
    width : int
        Filters of the first convolution; those of all others are in proportion.
    """

    def scaled(filters: int) -> int:
        return max(1, filters * width // PUBLISHED_WIDTH)

    def up(x: Any) -> Any:
        return layers.Conv2DTranspose(scaled(256), 3, 2, "same", kernel_initializer="he_uniform")(x)

    fields, x, cut = parts.padded(height, width_points, channels, 8)
    whole = x
    x = layers.MaxPooling2D(3, 2, "same")(layers.Conv2D(scaled(64), 7, 2, "same")(x))
    low = None
    for filters, units, stride, rate in ((64, 3, 2, 1), (128, 4, 1, 1), (256, 6, 1, 2), (512, 3, 1, 4)):
        for unit in range(units):
            last = unit == units - 1
            x, inner = parts.bottleneck(x, scaled(filters), stride if last else 1, rate)
            if filters == 64 and last:
                low = inner  # still at 1/4 of the resolution
    x = parts.pyramid(x, scaled(256), (12, 24, 36))
    x = layers.Concatenate()([up(x), parts.unit(low, scaled(48), 1)])
    x = parts.unit(parts.unit(x, scaled(256), 3), scaled(256), 3)
    x = up(up(x))
    skip = layers.Conv2D(scaled(64), 3, padding="same", kernel_initializer="he_uniform")(whole)
    skip = layers.Conv2D(scaled(128), 3, padding="same", kernel_initializer="he_uniform")(skip)
    x = layers.Concatenate()([x, skip])
    for _ in range(2):
        x = layers.Conv2D(scaled(256), 3, padding="same", kernel_initializer="he_uniform")(x)
    return parts.model("deeplab", fields, cut(layers.Conv2D(classes, 1)(x)))


def deepcam(
    height: int, width_points: int, channels: int = 16, classes: int = 3, *, width: int = PUBLISHED_WIDTH
) -> keras.Model:
    """DeepLabv3+ on Xception, at 1/16 of the resolution: the network of MLPerf HPC.

    Parameters
    ----------
    height, width_points : int
        Number of points of the map along each axis.
    channels, classes : int
        Number of channels of the input, and of classes of the output.
    width : int
        Twice the filters of the first convolution; those of all others are in proportion.
    """

    def scaled(filters: int) -> int:
        return max(1, filters * width // PUBLISHED_WIDTH)

    def up(x: Any) -> Any:
        x = layers.Conv2DTranspose(scaled(256), 3, 2, "same", use_bias=False, kernel_initializer="he_normal")(x)
        return layers.ReLU()(parts.normalised(x))

    def block(
        x: Any, *filters: int, stride: int = 1, rate: int = 1, relu_first: bool = True, tail: bool = False
    ) -> Any:
        """Apply separable convolutions with a shortcut; ``tail`` or a stride adds one that is not normalised."""
        y = x
        for index, count in enumerate(filters):
            if index or relu_first:
                y = layers.ReLU()(y)
            y = parts.normalised(parts.separable(y, scaled(count), rate))
        if stride > 1 or tail:
            y = parts.separable(y, scaled(filters[-1]), stride=stride)
        if y.shape[-1] != x.shape[-1] or stride > 1:
            x = parts.normalised(layers.Conv2D(scaled(filters[-1]), 1, stride, use_bias=False)(x))
        return layers.Add()([x, y])

    fields, x, cut = parts.padded(height, width_points, channels, 16)
    x = parts.unit(parts.unit(x, scaled(32), 3, stride=2), scaled(64), 3)
    low = x = block(x, 128, 128, stride=2, relu_first=False)
    x = block(x, 256, 256, stride=2)
    x = block(x, 728, 728, stride=2)
    for _ in range(16):
        x = block(x, 728, 728, 728)
    x = block(x, 728, 1024, tail=True)
    for filters in (1536, 1536, 2048):
        x = layers.ReLU()(parts.normalised(parts.separable(x, scaled(filters), rate=2)))
    x = parts.pyramid(x, scaled(256), (6, 12, 18))
    x = layers.Concatenate()([up(up(x)), parts.unit(low, scaled(48), 1)])
    x = parts.unit(parts.unit(x, scaled(256), 3), scaled(256), 3)
    x = up(layers.Conv2D(scaled(256), 1)(x))
    x = layers.Conv2DTranspose(classes, 3, 2, "same", use_bias=False)(x)
    return parts.model("deepcam", fields, cut(x))


NETWORKS: dict[str, Callable[..., keras.Model]] = {"tiramisu": tiramisu, "deeplab": deeplab, "deepcam": deepcam}
