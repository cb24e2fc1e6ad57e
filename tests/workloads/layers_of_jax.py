"""What the JAX engine makes of layers on a processor, beside what Keras and XLA make of them: python layers_of_jax.py NAME

It runs by a Python that has JAX, for test_layers_of_jax.py.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from keras import ops

from workloads.training.engines.jax import convolution, pooling

RANDOM = np.random.default_rng(0)


def draw(*shape: int) -> jax.Array:
    """Random numbers."""
    return jnp.asarray(RANDOM.standard_normal(shape), "float32")


def lowered(layers: list, arrays: list) -> Any:
    """Outputs and gradients of layers, from now on."""

    def found(arrays: list) -> Iterator[tuple]:
        for layer, each in zip(layers, arrays):
            y, pull = jax.vjp(layer, *each)
            yield y, *pull(jnp.cos(jnp.arange(y.size).reshape(y.shape)))

    return jax.jit(lambda arrays: list(found(arrays))).lower(arrays)


def close(found: list, expected: list) -> None:
    """Both are the same within rounding."""
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.linalg.norm(one - other) < 1e-5 * np.linalg.norm(other)


def products() -> None:
    """Products of matrices take the place of convolutions that XLA computes in plain loops."""
    same: dict = {"padding": "same"}
    cases = [
        (ops.conv, dict(strides=1, **same), (2, 4), (3, 3)),
        (ops.conv, dict(strides=(2, 3), **same), (5, 3), (4, 3)),
        (ops.conv_transpose, dict(strides=2, **same), (4, 6), (3, 3)),
        (ops.conv_transpose, dict(strides=2, output_padding=1, **same), (4, 6), (3, 3)),
        (ops.conv_transpose, dict(strides=(3, 1), padding="valid"), (2, 3), (2, 4)),
    ]
    arrays = [(draw(3, *n, 5), draw(*k, *((7, 5) if op is ops.conv_transpose else (5, 7)))) for op, _, n, k in cases]
    layers = [lambda x, kernel, op=op, options=options: op(x, kernel, **options) for op, options, *_ in cases]
    plain = lowered(layers, arrays).compile()
    assert "->f01b" in plain.as_text(), "XLA no longer swaps the operands: the products can go"
    expected = plain(arrays)
    convolution.use_products()
    own = lowered(layers, arrays)
    assert "stablehlo.convolution" not in own.as_text()
    close(own.compile()(arrays), expected)
    wide = [(draw(1, 8, 8, 5), draw(3, 3, 5, 7))]
    assert "stablehlo.convolution" in lowered([lambda x, kernel: ops.conv(x, kernel, **same)], wide).as_text()


def few() -> None:
    """The kernel of a layer of few filters has its gradient by a product, in any number of dimensions."""
    forward, of_images = 1, 1
    for padding in ("same", "valid"):
        arrays = [(draw(5, *side, 4), draw(*size, 4, 3)) for side, size in (((9, 7), (5, 2)), ((20,), (4,)))]
        layers = [partial(ops.conv, padding=padding)] * len(arrays)
        expected = lowered(layers, arrays).compile()(arrays)
        convolution.use_products()
        own = lowered(layers, arrays)
        assert own.as_text().count("stablehlo.convolution") == (forward + of_images) * len(arrays)
        close(own.compile()(arrays), expected)
        strided = lowered([partial(ops.conv, strides=2, padding=padding)], arrays[:1])
        assert strided.as_text().count("stablehlo.convolution") == 3
        convolution.of_keras.conv = convolution._convolution


def groups() -> None:
    """Large batches go through a convolution in groups, of which the last may be smaller; others do not."""
    for images, side, count in ((20, 64, 3), (20, 9, 1), (8, 64, 1), (136, 64, 16)):
        arrays = [(draw(images, side, side, 16), draw(3, 3, 16, 16))]
        layers = [lambda x, kernel: ops.conv(x, kernel, padding="same")]
        expected = lowered(layers, arrays).compile()(arrays)
        convolution.use_products()
        own = lowered(layers, arrays)
        convolution.of_keras.conv = convolution._convolution
        forward_and_two_gradients = 3
        assert own.as_text().count("stablehlo.convolution") == forward_and_two_gradients * count, (images, side)
        close(own.compile()(arrays), expected)


def pools() -> None:
    """Max-pooling and its gradient are the same, with equal cells and a NaN in a window, whatever its form."""
    cases = [
        ((6, 8), 2, 2, "valid"),
        ((7, 9), 3, 3, "valid"),
        ((8, 6), (4, 2), (4, 2), "same"),
        ((12,), 3, 3, "same"),
    ]
    other = [((7, 9), 2, 2, "same"), ((8, 8), 3, 2, "valid")]
    for shape, size, strides, padding in (*cases, *other):
        cells = np.array(np.round(draw(5, *shape, 4)))  # many are equal
        cells[2, 1] = np.nan
        arrays = [(jnp.asarray(cells),)]
        layers: list[Callable] = [lambda x, w=(size, strides, padding): ops.max_pool(x, *w)]
        expected = lowered(layers, arrays).compile()(arrays)
        pooling.use_comparisons()
        own = lowered(layers, arrays)
        pooling.of_keras.max_pool = pooling._max_pool
        assert ("reduce_window" in own.as_text()) == ((shape, size, strides, padding) in other)
        found = own.compile()(arrays)
        finite = np.delete(np.arange(5), 2)
        np.testing.assert_array_equal(found[0][0], expected[0][0])
        np.testing.assert_array_equal(found[0][1][finite], expected[0][1][finite])
        assert np.isnan(found[0][0][2]).any()


if __name__ == "__main__":
    {"products": products, "few": few, "groups": groups, "pools": pools}[sys.argv[1]]()
