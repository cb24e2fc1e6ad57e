"""The networks are the published ones, by their parameters and operations, and take maps of any size."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from workloads.climate.flops import training_flops
from workloads.climate.networks import NETWORKS

# Tiramisu's transition down behind its last block, which the code of SC18 makes and counts, and whose output nothing reads:
# a 1 x 1 convolution of 544 channels (64 of the first convolution, 32 of each of 15 others) and its biases.
DEAD = 544 * 544 + 544


@pytest.mark.parametrize(
    ("name", "parameters", "teraflops"),
    [
        ("tiramisu", 7_801_315 - DEAD, 4.188),  # SC18: 7.80 M with the dead layer; 4.188 TF without it
        ("deeplab", 43_714_787, 13.02),  # SC18, with decoder: 43.7 M, 13.0 TF
        ("deepcam", 56_454_720, 1.966),  # MLPerf HPC: 56,454,720; its operations were counted here only
    ],
)
def test_parameters_and_operations_are_as_published(name: str, parameters: int, teraflops: float):
    model = NETWORKS[name](768, 1152)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == parameters
    assert training_flops(model) / 1e12 == pytest.approx(teraflops, rel=5e-4)
    assert model.output.shape == (None, 768, 1152, 3)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_size_of_map_and_any_width_will_do(name: str):
    height, width_points = 37, 50
    model = NETWORKS[name](height, width_points, 5, 4, width=8)
    fields = np.random.default_rng(0).normal(size=(2, height, width_points, 5)).astype(np.float32)
    with tf.GradientTape() as tape:
        logits = model(fields, training=True)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(np.zeros(logits.shape[:3]), logits, True))
    assert logits.shape == (2, height, width_points, 4)
    slopes = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    assert all(np.isfinite(slope).all() and np.any(slope) for slope in slopes), "some weight does nothing"


def test_operations_of_convolutions():
    fields = keras.layers.Input((8, 12, 3))
    x = keras.layers.Conv2D(5, 3, 2, "same")(fields)
    x = keras.layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    model = keras.Model(fields, keras.layers.Conv2DTranspose(2, 4, 2, "same")(x))
    assert training_flops(model) == 3 * 2 * (4 * 6) * (9 * 3 * 5 + 9 * 5 + 16 * 5 * 2)


def test_operations_are_those_that_tensorflow_counts():
    """Where there is no atrous convolution, which TensorFlow cuts up and fills with zeros on small maps."""
    model = NETWORKS["tiramisu"](64, 96, width=16)
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(tf.TensorSpec((1, 64, 96, 16))).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation() | {"output": "none"}
    nodes, counted = [tf.compat.v1.profiler.profile(graph, options=options, cmd="op")], {}
    while nodes:
        node = nodes.pop()
        counted[node.name] = node.float_ops
        nodes += node.children
    assert training_flops(model) == 3 * (counted["Conv2D"] + counted["Conv2DBackpropInput"])


def test_normalisation_and_dropout_of_tiramisu_are_options():
    kinds = {type(layer).__name__ for layer in NETWORKS["tiramisu"](16, 16, width=4, dropout=0.0).layers}
    assert not kinds & {"Dropout", "BatchNormalization"}
    kinds = {type(layer).__name__ for layer in NETWORKS["tiramisu"](16, 16, width=4, normalise=True).layers}
    assert {"Dropout", "BatchNormalization"} <= kinds
