"""The ladder of a first course on deep learning, a network for images in colour, and one that reads rows.

All networks map images, (batch, H, W, C) in 0 to 1, to logits of the classes, (batch, classes); the softmax is in the
loss. The numbers of parameters are those for MNIST: 28 x 28 x 1 and 10 classes. Each network has a wide layer not far
from its end, whose ``width`` is the number of its units, and of which training drops the part ``dropout``.

References
----------
Y. LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86 (1998).
K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv:1512.03385): `residual`'s blocks.
K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015
(arXiv:1409.1556): `vgg`'s blocks.
J. Li, M.-T. Luong, D. Jurafsky, "A Hierarchical Neural Autoencoder for Paragraphs and Documents", ACL 2015
(arXiv:1506.01057): the hierarchy of `rows`, as Keras's example mnist_hierarchical_rnn applies it to images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from keras import layers, ops

from launch.errors import Refusal

BLOCKS = 15  # residual blocks of `residual`
CHUNK = 4  # pixels that `rows` reads at a time
SMALLEST = 13  # pixels across that leave 3 for `residual`'s last convolution: two borders of 2, a pooling by 3


def fc(shape: Sequence[int], classes: int, width: int = 512, dropout: float = 0) -> keras.Model:
    """One hidden layer of 512: 407,050 parameters."""
    hidden = [layers.Flatten(), layers.Dense(width, "relu"), *_dropped(dropout)]
    return _stack("fc", shape, [*hidden, layers.Dense(classes)])


def cnn(shape: Sequence[int], classes: int, width: int = 100, dropout: float = 0, narrow: bool = True) -> keras.Model:
    """The early CNN, one convolution: 542,340 parameters.

    Parameters
    ----------
    shape : sequence of int
        Height, width and channels of an image.
    classes : int
        Length of the output.
    width, dropout
        Units of the first dense layer, and part of them that training drops.
    narrow : bool
        Whether to add the course's second dense layer: 10 rectified units before the output. The output then sees 10
        numbers, none negative; a unit that is 0 for all images no longer learns. Without it: 542,230 parameters.
    """
    wide = [layers.Dense(width, "relu"), *_dropped(dropout)]
    dense = [*wide, *([layers.Dense(10, "relu")] if narrow else []), layers.Dense(classes)]
    convolution = [layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]
    return _stack("cnn", shape, [*convolution, *dense])


def deep_cnn(shape: Sequence[int], classes: int, width: int = 128, dropout: float = 0) -> keras.Model:
    """Scaled up, two convolutions and a wider dense layer: 1,199,882 parameters."""
    *features, dense, last = _deep(classes, width)
    return _stack("deep_cnn", shape, [*features, dense, *_dropped(dropout), last])


def dropout(shape: Sequence[int], classes: int, width: int = 128, dropout: float = 0.5) -> keras.Model:
    """`deep_cnn` with a quarter of the features and half of the dense layer dropped: 1,199,882 parameters."""
    first, second, pool, flatten, dense, last = _deep(classes, width)
    features = [first, second, pool, layers.Dropout(0.25), flatten]
    return _stack("dropout", shape, [*features, dense, *_dropped(dropout), last])


def batchnorm(shape: Sequence[int], classes: int, width: int = 128, dropout: float = 0) -> keras.Model:
    """`deep_cnn` with batch normalisation after each layer: 1,200,778 parameters."""
    first, second, pool, flatten, dense, last = _deep(classes, width)
    norms = [layers.BatchNormalization() for _ in range(3)]
    features = [first, norms[0], second, pool, norms[1], flatten]
    return _stack("batchnorm", shape, [*features, dense, norms[2], *_dropped(dropout), last])


def residual(shape: Sequence[int], classes: int, width: int = 256, dropout: float = 0.5) -> keras.Model:
    """Two convolutions, fifteen residual blocks of 64 filters, a convolution, a dense layer: 1,190,474 parameters."""
    x = image = layers.Input(shape, name="image")
    x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D(3)(x)
    for _ in range(BLOCKS):
        branch = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
        branch = layers.BatchNormalization()(branch)
        branch = layers.Conv2D(64, 3, padding="same")(branch)
        branch = layers.BatchNormalization()(branch)
        x = layers.Activation("relu")(layers.Add()([x, branch]))
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(width, "relu")(x)
    for layer in _dropped(dropout):
        x = layer(x)
    return keras.Model(image, layers.Dense(classes)(x), name="residual")


def vgg(shape: Sequence[int], classes: int, width: int = 128, dropout: float = 0.3) -> keras.Model:
    """Three blocks of two convolutions, and a dense layer, each normalised: 437,034 parameters."""
    stack: list[keras.Layer] = []
    for filters in (32, 64, 128):
        for _ in range(2):
            stack += _normalised(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        stack += [layers.MaxPooling2D()]
    dense = [*_normalised(layers.Dense(width, use_bias=False)), *_dropped(dropout), layers.Dense(classes)]
    return _stack("vgg", shape, [*stack, layers.Flatten(), *dense])


def rows(shape: Sequence[int], classes: int, width: int = 128, dropout: float = 0) -> keras.Model:
    """An LSTM of 64 units reads each row, four pixels at a time, and one of 128 the rows: 117,770 parameters."""
    height, across, channels = shape
    chunks = -(-across // CHUNK)
    x = image = layers.Input(shape, name="image")
    x = layers.ZeroPadding2D(((0, 0), (0, chunks * CHUNK - across)))(x)
    # All rows of all images are read at once, as examples of one batch.
    x = ops.reshape(x, (-1, chunks, CHUNK * channels))
    x = layers.LSTM(64)(x)
    x = layers.LSTM(width)(ops.reshape(x, (-1, height, 64)))
    for layer in _dropped(dropout):
        x = layer(x)
    return keras.Model(image, layers.Dense(classes)(x), name="rows")


NETWORKS: dict[str, Callable[..., keras.Model]] = {
    function.__name__: function for function in (fc, cnn, deep_cnn, dropout, batchnorm, residual, vgg, rows)
}


def network(name: str, shape: Sequence[int], classes: int, **settings: float) -> keras.Model:
    """Build a network by its name; ``settings`` replace its own.

    Raises
    ------
    Refusal
        If the images are too small for the ladder.
    """
    if min(shape[:2]) < SMALLEST:
        raise Refusal(
            f"images of {shape[0]} x {shape[1]} pixels are too small for these networks: "
            f"give {SMALLEST} x {SMALLEST} or more"
        )
    return NETWORKS[name](shape, classes, **settings)


def _dropped(dropout: float) -> list[keras.Layer]:
    return [layers.Dropout(dropout)] if dropout else []


def _deep(classes: int, width: int) -> list[keras.Layer]:
    return [
        layers.Conv2D(32, 3, activation="relu"),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(width, "relu"),
        layers.Dense(classes),
    ]


def _normalised(layer: keras.Layer) -> list[keras.Layer]:
    return [layer, layers.BatchNormalization(), layers.Activation("relu")]


def _stack(name: str, shape: Sequence[int], stack: list[keras.Layer]) -> keras.Model:
    return keras.Sequential([layers.Input(shape, name="image"), *stack], name=name)
