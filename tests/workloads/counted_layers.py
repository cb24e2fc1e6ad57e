"""Layers, the shape of their inputs, and the multiply-adds that each needs; and what JAX counts of them."""

import json

import keras

LAYERS = [
    (keras.layers.Dense(7), (4, 5), 4 * 5 * 7),
    (keras.layers.Dense(7), (4, 3, 5), 4 * 3 * 5 * 7),
    (keras.layers.Conv2D(6, 3, padding="same"), (2, 8, 10, 4), 2 * 8 * 10 * 6 * 3 * 3 * 4),
    (keras.layers.Conv2D(6, 3, strides=2), (2, 9, 11, 4), 2 * 4 * 5 * 6 * 3 * 3 * 4),
    (keras.layers.Conv2D(6, 3, groups=2), (2, 8, 8, 4), 2 * 6 * 6 * 6 * 3 * 3 * 2),
    (keras.layers.Conv2D(6, 3, dilation_rate=2, padding="same"), (2, 8, 8, 4), 2 * 8 * 8 * 6 * 3 * 3 * 4),
    (keras.layers.Conv2DTranspose(6, 3, strides=2), (2, 8, 8, 4), 2 * 8 * 8 * 4 * 3 * 3 * 6),
    (keras.layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), (2, 8, 8, 4), 2 * 8 * 8 * 8 * 3 * 3),
    (
        keras.layers.SeparableConv2D(6, 3, padding="same"),
        (2, 8, 8, 4),
        2 * 8 * 8 * 4 * 3 * 3 + 2 * 8 * 8 * 4 * 6,
    ),
    (keras.layers.Conv3D(6, 3, padding="same"), (2, 4, 4, 4, 3), 2 * 4**3 * 6 * 27 * 3),
    (keras.layers.EinsumDense("abc,cd->abd", (3, 7)), (2, 3, 5), 2 * 3 * 5 * 7),
    (keras.layers.Activation("relu"), (2, 3), 0),
]


def on_jax() -> None:
    """Print what the engine of JAX counts, in their order."""
    import jax

    from workloads.training.engines.jax import flops

    counts = []
    for layer, shape, _ in LAYERS:
        layer.build(shape)
        inputs = jax.ShapeDtypeStruct(shape, "float32")
        counts.append(flops.forward(jax.make_jaxpr(layer)(inputs).jaxpr))
    print(json.dumps(counts))
