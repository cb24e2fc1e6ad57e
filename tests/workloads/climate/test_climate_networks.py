"""The networks are the published ones, by their parameters and operations, and take maps of any size."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from workloads.climate.networks import NETWORKS
from workloads.training.engines.horovod import flops
from workloads.training.flops import TRAINING

# Tiramisu's transition down behind its last block, which the code of SC18 makes and counts, and whose output nothing reads:
# a 1 x 1 convolution of 544 channels (64 of the first convolution, 32 of each of 15 others) and its biases.
DEAD = 544 * 544 + 544


@pytest.mark.parametrize(
    ("name", "parameters", "teraflops"),
    [
        ("tiramisu", 7_801_315 - DEAD, 4.188),  # SC18: 7.80 M with the dead layer; 4.188 TF without it
        (
            "deeplab",
            43_714_787,
            13.07,
        ),  # SC18, with decoder: 43.7 M, 13.0 TF; atrous convolutions fill up their maps here
        ("deepcam", 56_454_720, 1.978),  # MLPerf HPC: 56,454,720; its operations were counted here only
    ],
)
def test_parameters_and_operations_are_as_published(name: str, parameters: int, teraflops: float):
    model = NETWORKS[name](768, 1152)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == parameters
    example = tf.TensorSpec((1, 768, 1152, 16))
    graph = tf.function(lambda fields: model(fields, training=True)).get_concrete_function(example).graph
    assert TRAINING * flops.forward(graph.outputs) / 1e12 == pytest.approx(teraflops, rel=5e-4)
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
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    assert all(np.isfinite(gradient).all() and np.any(gradient) for gradient in gradients), "some weight does nothing"


def test_normalisation_and_dropout_of_tiramisu_are_options():
    kinds = {type(layer).__name__ for layer in NETWORKS["tiramisu"](16, 16, width=4, dropout=0.0).layers}
    assert not kinds & {"Dropout", "BatchNormalization"}
    kinds = {type(layer).__name__ for layer in NETWORKS["tiramisu"](16, 16, width=4, normalise=True).layers}
    assert {"Dropout", "BatchNormalization"} <= kinds
