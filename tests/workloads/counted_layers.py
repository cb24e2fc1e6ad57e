"""Layers, the shape of their inputs, and the multiply-adds that each needs; and what JAX counts of them."""

import json

import keras

LSTM = 4 * 6 * (3 + 6)
"""Multiply-adds of an LSTM of 6 units, for an item of 3 numbers: each of the four gates sees the item and the state."""

RECURRENT = [
    (keras.layers.SimpleRNN(6), (2, 7, 3), 2 * 7 * 6 * (3 + 6)),
    (keras.layers.LSTM(6), (2, 7, 3), 2 * 7 * LSTM),
    (keras.layers.LSTM(6, return_sequences=True, go_backwards=True), (2, 7, 3), 2 * 7 * LSTM),
    (keras.layers.GRU(6), (2, 7, 3), 2 * 7 * 3 * 6 * (3 + 6)),
    (keras.layers.GRU(6, reset_after=False), (2, 7, 3), 2 * 7 * 3 * 6 * (3 + 6)),
    (keras.layers.Bidirectional(keras.layers.LSTM(6, return_sequences=True)), (2, 7, 3), 2 * 2 * 7 * LSTM),
    (keras.layers.Bidirectional(keras.layers.GRU(6), merge_mode="sum"), (2, 7, 3), 2 * 2 * 7 * 3 * 6 * (3 + 6)),
    (keras.layers.RNN([keras.layers.LSTMCell(6), keras.layers.GRUCell(5)]), (2, 7, 3), 2 * 7 * (LSTM + 3 * 5 * 11)),
    # What enters is convolved without a border, which leaves 6 x 7 cells; the state as it is.
    (keras.layers.ConvLSTM2D(4, 3), (2, 3, 8, 9, 3), 2 * 3 * 6 * 7 * 4 * 4 * 9 * (3 + 4)),
    (keras.layers.ConvLSTM2D(4, 3, padding="same"), (2, 3, 8, 9, 3), 2 * 3 * 8 * 9 * 4 * 4 * 9 * (3 + 4)),
    (keras.layers.ConvLSTM1D(4, 3, strides=2), (2, 3, 9, 3), 2 * 3 * 4 * 4 * 4 * 3 * (3 + 4)),
]
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
    *RECURRENT,
]


def layers() -> None:
    """Print what the engine of JAX counts, in their order."""
    import jax

    from workloads.training.engines.jax import flops

    counts = []
    for layer, shape, _ in LAYERS:
        layer.build(shape)
        inputs = jax.ShapeDtypeStruct(shape, "float32")
        counts.append(flops.forward(jax.make_jaxpr(layer)(inputs).jaxpr))
    print(json.dumps(counts))


def cudnn() -> None:
    """Print what the engine of JAX counts of the layers of `test_flops.test_layers_of_cudnn`, without a GPU."""
    import jax
    from jax.experimental import rnn

    from workloads.training.engines.jax import flops

    # All that tracing asks of cuDNN is how much memory it needs.
    rnn.gpu_rnn.compute_rnn_workspace_reserve_space_sizes = lambda *given: (0, 0)
    counts = []
    for both in (False, True):
        state = jax.ShapeDtypeStruct((4 if both else 2, 5, 6), "float32")
        weights = jax.ShapeDtypeStruct((rnn.get_num_params_in_lstm(3, 6, 2, both),), "float32")
        inputs, lengths = jax.ShapeDtypeStruct((5, 7, 3), "float32"), jax.ShapeDtypeStruct((5,), "int32")
        made = jax.make_jaxpr(lambda *given, both=both: rnn.lstm(*given, 3, 6, 2, 0.0, both))(
            inputs, state, state, weights, lengths
        )
        counts.append(flops.forward(made.jaxpr))
    print(json.dumps(counts))
