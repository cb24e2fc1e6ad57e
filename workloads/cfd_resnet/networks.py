"""Networks that map obstacles to a flow: fully connected, convolutional, residual U-net, gated residual U-net.

All networks map the mask, (batch, H, W, 1), 1 in obstacles, to u and v, (batch, H, W, 2), in units of the peak velocity
at the inlet. Outputs are exactly 0 in obstacles. The input may have further channels after the mask, the output further
fields. Unlike in the published networks nothing bounds the outputs: there is no last ReLU, because the flow runs
backwards behind obstacles, and no last tanh, because between them the flow is faster than at the inlet.

References
----------
X. Guo, W. Li, F. Iorio, "Convolutional Neural Networks for Steady Flow Approximation", KDD 2016: `cnn`.
O. Hennigh, https://github.com/loliverhennigh/Steady-State-Flow-With-Neural-Nets: `residual`, with and without gates.
T. Salimans et al., "PixelCNN++", ICLR 2017: gates, concat_elu and 1 x 1 shortcuts in a residual U-net.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

Tensor = Any  # a Keras tensor; Keras' annotations do not know its own operations
LEVELS = 4  # levels of a U-net, each of which halves height and width
# Height and width that a network takes have to be multiples of these.
MULTIPLES = {"cnn": (16, 32), "residual": (2**LEVELS, 2**LEVELS), "gated": (2**LEVELS, 2**LEVELS)}


def fully_connected(
    height: int, width: int, units: int = 256, hidden: int = 1, channels: int = 1, fields: int = 2
) -> keras.Model:
    """Hidden layers of ReLUs between all cells and all velocities.

    Parameters
    ----------
    height, width : int
        Cells across and along the channel.
    units, hidden : int
        Width and number of the hidden layers. At 128 x 256, one of 256 has 25.2 M parameters and three of 1,024 have
        102.8 M, nearly all of them between a cell and a unit.
    channels, fields : int
        Number of channels of the input, the mask first, and of fields of the output.
    """
    inputs = layers.Input((height, width, channels), name="mask")
    x = layers.Flatten()(inputs)
    for _ in range(hidden):
        x = layers.Dense(units, "relu")(x)
    x = layers.Dense(height * width * fields)(x)
    return _model("fully_connected", inputs, layers.Reshape((height, width, fields))(x))


def cnn(height: int, width: int, filters: int = 128, channels: int = 1, fields: int = 2) -> keras.Model:
    """Guo's network: the whole picture becomes one vector, and each component of the flow is unfolded from it.

    Parameters
    ----------
    height, width : int
        Cells across and along the channel, multiples of 16 and 32.
    filters : int
        Filters of the first convolution; the other layers are wider in proportion. 128 is as published: 80.8 M
        parameters at 128 x 256, of which each decoder's first layer has 33.6 M.
    channels, fields : int
        Number of channels of the input, the mask first, and of fields of the output.
    """
    inputs = layers.Input((height, width, channels), name="mask")
    x = layers.Conv2D(filters, 16, 16, "same", activation="relu")(inputs)
    x = layers.Conv2D(4 * filters, 4, 4, "same", activation="relu")(x)
    x = layers.Dense(8 * filters, "relu")(layers.Flatten()(x))
    code = layers.Reshape((1, 1, 8 * filters))(x)
    components = []
    for name in ("u", "v", "p")[:fields]:
        x = code
        # 1 x 1 becomes 8 x 8, 32 x 64, 64 x 128 and then 128 x 256 cells at the published size.
        for wide, stride in (
            (4 * filters, (height // 16, width // 32)),
            (2 * filters, (4, 8)),
            (max(1, filters // 4), (2, 2)),
        ):
            x = layers.Conv2DTranspose(wide, stride, stride, activation="relu")(x)
        components.append(layers.Conv2DTranspose(1, 2, 2, name=name)(x))
    return _model("cnn", inputs, layers.Concatenate()(components))


def residual(
    height: int, width: int, filters: int = 8, gated: bool = False, dropout: float = 0.0, position: bool = False,
    channels: int = 1, fields: int = 2,
) -> keras.Model:  # fmt: skip
    """A U-net of residual blocks.

    A block is concat_elu, convolution, concat_elu, convolution, each 3 x 3. On the way up the skip connection is added
    after its first convolution, through concat_elu and a 1 x 1 convolution. Four levels down, the first block of each
    halves height and width and doubles the filters, the second keeps them; four levels up by transposed convolution.

    Parameters
    ----------
    height, width : int
        Cells across and along the channel, multiples of 16.
    filters : int
        Filters at full resolution; 16 times as many at the lowest. 8 is as published: 1.68 M parameters, 2.56 M gated.
    gated : bool
        Whether a block's second convolution gives twice as many channels, the sigmoid of one half scaling the other.
    dropout : float
        Part of the activations between the convolutions of a block that is dropped in training.
    position : bool
        Whether to give the first convolution the position of each cell in the channel in addition to the mask.
    channels, fields : int
        Number of channels of the input, the mask first, and of fields of the output.
    """

    def block(x, channels: int, stride: int = 1, skip=None, seen=None):
        """Add to x what a block computes from ``seen``, by default from x itself."""
        y = layers.Conv2D(channels, 3, stride, "same")(concat_elu(x) if seen is None else seen)
        if skip is not None:
            y = layers.Add()([y, layers.Conv2D(channels, 1)(concat_elu(skip))])
        y = concat_elu(y)
        if dropout:
            y = layers.Dropout(dropout)(y)
        y = layers.Conv2D(channels * (2 if gated else 1), 3, padding="same")(y)
        if gated:
            y = Gate()(y)
        if stride > 1:
            x = layers.AveragePooling2D(stride)(x)
        if channels > x.shape[-1]:
            x = Widen(channels)(x)
        return layers.Add()([x, y])

    inputs = layers.Input((height, width, channels), name="mask")
    x = block(inputs, filters, seen=Position()(inputs) if position else inputs)
    skips = []
    for level in range(1, LEVELS + 1):
        skips.append(x)
        x = block(x, filters * 2**level, stride=2)
        x = block(x, filters * 2**level)
    for level in reversed(range(LEVELS)):
        x = layers.Conv2DTranspose(filters * 2**level, 3, 2, "same")(x)
        x = block(x, filters * 2**level, skip=skips.pop())
    x = layers.Conv2D(fields, 3, padding="same")(x)
    return _model("gated" if gated else "residual", inputs, x)


def conserving(model: keras.Model) -> keras.Model:
    """Return the same network, with each column's difference from the inlet's flux spread over its fluid cells.

    The flux is the same through every column of a steady flow, and that of the inlet's parabola, 2/3 H, is known. What
    remains to be learned is its distribution over the column.
    """
    return keras.Model(model.input, Conserve(name="conserve")([model.output, model.input]), name=model.name)


def symmetric(model: keras.Model) -> keras.Model:
    """Return the same network, predicting the mean of its flow and that round mirrored obstacles, mirrored back.

    Only the network itself is trained, so that a step costs what it did; a prediction costs twice as much.
    """
    return Symmetric(model.input, model.output, name=model.name)


def sized(name: str, height: int, width: int, **settings: Any) -> keras.Model:
    """Build a network by its name for any number of cells: inputs are padded to an allowed size, outputs cropped.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
    height, width : int
        Cells across and along the channel.
    **settings
        Arguments of the network.
    """
    rows, columns = MULTIPLES.get(name, (1, 1))
    below, behind = -height % rows, -width % columns
    model: Any = NETWORKS[name](height + below, width + behind, **settings)
    if not below and not behind:
        return model
    inputs = layers.Input((height, width, model.input.shape[-1]), name="mask")
    x = model(layers.ZeroPadding2D(((0, below), (0, behind)), dtype="float32")(inputs))
    return keras.Model(inputs, layers.Cropping2D(((0, below), (0, behind)), dtype="float32")(x), name=model.name)


def concat_elu(x: Tensor) -> Tensor:
    """Return the ELU of x and of -x, side by side: twice the channels, and a gradient everywhere."""
    return layers.Activation("elu")(layers.Concatenate()([x, layers.Rescaling(-1.0)(x)]))


@keras.saving.register_keras_serializable("cfd_resnet")
class Gate(layers.Layer):
    """The first half of the channels, each scaled by the sigmoid of its partner in the second half."""

    def call(self, x: Tensor) -> Tensor:
        """Map (..., 2 C) to (..., C)."""
        halves: Any = ops.split(x, 2, axis=-1)
        return halves[0] * ops.sigmoid(halves[1])


@keras.saving.register_keras_serializable("cfd_resnet")
class Widen(layers.Layer):
    """Adds zeros as further channels, so that a block's input can be added to its wider output."""

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, channels)."""
        return ops.pad(x, [(0, 0), (0, 0), (0, 0), (self.channels - x.shape[-1], 0)])

    def get_config(self) -> dict:
        """Return the settings with which Keras saves the layer."""
        return super().get_config() | {"channels": self.channels}


@keras.saving.register_keras_serializable("cfd_resnet")
class Conserve(layers.Layer):
    """Corrects a flow so that its flux through every column is 2/3 H. The inputs have the mask first."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)

    def call(self, flow_and_mask: list[Tensor]) -> Tensor:
        """Map (B, H, W, 2) and (B, H, W, channels) to (B, H, W, 2)."""
        flow, inputs = flow_and_mask
        fluid = 1.0 - inputs[..., :1]
        missing = 2 / 3 * flow.shape[1] - ops.sum(flow[..., :1], axis=1, keepdims=True)
        share = missing / ops.maximum(ops.sum(fluid, axis=1, keepdims=True), 1.0)
        return flow + ops.concatenate([fluid * share, ops.zeros_like(fluid)], axis=-1)


@keras.saving.register_keras_serializable("cfd_resnet")
class Symmetric(keras.Model):
    """A network whose predictions are those of `symmetric`. Fields other than the second, v, keep their sign."""

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        """Map (B, H, W, channels) to (B, H, W, fields)."""
        flow = super().call(inputs, training=training)
        if training:
            return flow
        signs: Any = ops.array([-1.0 if field == 1 else 1.0 for field in range(flow.shape[-1])], flow.dtype)
        mirrored = super().call(ops.flip(inputs, axis=1), training=training)
        return (flow + signs * ops.flip(mirrored, axis=1)) / 2


@keras.saving.register_keras_serializable("cfd_resnet")
class Position(layers.Layer):
    """Adds to the inputs the position of each cell along and across the channel, from -1 to 1."""

    def call(self, inputs: Tensor) -> Tensor:
        """Map (B, H, W, channels) to (B, H, W, channels + 2)."""
        height, width = inputs.shape[1:3]
        axes: Any = ops.meshgrid(ops.linspace(-1.0, 1.0, width), ops.linspace(-1.0, 1.0, height))  # along, across
        place: Any = ops.cast(ops.stack(axes, axis=-1), inputs.dtype)
        return ops.concatenate([inputs, ops.zeros_like(inputs[..., :1]) + place], axis=-1)


def _model(name: str, inputs: Tensor, flow: Tensor) -> keras.Model:
    """Build a network whose output is 0 in obstacles."""
    flow = layers.Activation("linear", dtype="float32")(flow)
    fluid = layers.Rescaling(-1.0, 1.0, dtype="float32")(inputs[..., :1])
    return keras.Model(inputs, layers.Multiply(dtype="float32", name="flow")([flow, fluid]), name=name)


NETWORKS: dict[str, Callable[..., keras.Model]] = {
    "fc": fully_connected,
    "cnn": cnn,
    "residual": residual,
    "gated": lambda *sizes, **settings: residual(*sizes, gated=True, **settings),
}
