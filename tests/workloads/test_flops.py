"""Operations counted, against formulas, published numbers and TensorFlow's own counter; the peak."""

import json
import os
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
import ranks
import tensorflow as tf
from counted_layers import LAYERS

from workloads.training.engines.horovod import flops
from workloads.training.flops import TRAINING, peak


def graph(function, *shapes: tuple[int | None, ...]) -> tf.Graph:
    return tf.function(function).get_concrete_function(*(tf.TensorSpec(shape) for shape in shapes)).graph


@pytest.mark.parametrize(
    ("layer", "shape", "multiply_adds"), LAYERS, ids=[type(layer).__name__ for layer, *_ in LAYERS]
)
def test_layers(layer: keras.layers.Layer, shape: tuple[int, ...], multiply_adds: int):
    layer.build(shape)
    assert flops.forward(graph(layer, shape)) == 2 * multiply_adds


@ranks.NEEDS_JAX
@pytest.mark.slow
def test_jax_counts_the_same_of_each_layer():
    paths = {"PYTHONPATH": f"{ranks.ROOT}:{ranks.ROOT / 'launch' / 'inside'}:{Path(__file__).parent}"}
    words = [ranks.JAX, "-c", "import counted_layers; counted_layers.on_jax()"]
    done = subprocess.run(words, env=os.environ | paths | {"KERAS_BACKEND": "jax"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [2 * multiply_adds for _, _, multiply_adds in LAYERS]


def test_products():
    assert flops.forward(graph(lambda a, b: tf.matmul(a, b, transpose_a=True), (9, 2), (9, 3))) == 2 * 9 * 2 * 3
    assert flops.forward(graph(lambda a, b: tf.matmul(a, b, adjoint_a=True), (4, 9, 2), (4, 9, 3))) == 2 * 4 * 9 * 2 * 3
    attention = graph(lambda q, k: tf.einsum("...qd,...kd->...qk", q, k), (2, 4, 5, 8), (2, 4, 6, 8))
    assert flops.forward(attention) == 2 * 2 * 4 * 5 * 6 * 8


def test_the_backward_pass_is_about_twice_the_forward_pass_and_not_counted():
    network = keras.Sequential(
        [keras.Input((16, 16, 8)), *(keras.layers.Conv2D(16, 3, padding="same") for _ in "ab"),
         keras.layers.Flatten(),
         keras.layers.Dense(10)]
    )  # fmt: skip

    def gradients(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(network(inputs))
        return tape.gradient(loss, [variable.value for variable in network.trainable_variables])

    one_way = flops.forward(graph(network, (4, 16, 16, 8)))
    training = graph(gradients, (4, 16, 16, 8))
    assert flops.forward(training) == one_way == 2 * 4 * (16**2 * 16 * 9 * 8 + 16**2 * 16 * 9 * 16 + 16**2 * 16 * 10)
    counted = tf.compat.v1.profiler.profile(
        training,
        options=tf.compat.v1.profiler.ProfileOptionBuilder(tf.compat.v1.profiler.ProfileOptionBuilder.float_operation())
        .with_empty_output()
        .build(),
    ).total_float_ops
    # TensorFlow counts what is done element by element too. The gradient of the network's inputs is in the graph, and is
    # never computed: the convention counts it, as others do.
    assert counted == pytest.approx(TRAINING * one_way, rel=0.01)


def test_a_published_network():
    # He et al. (2015), table 1: 3.8e9 multiply-adds for ResNet-50 at 224 x 224.
    network = keras.applications.ResNet50(weights=None)
    counted = flops.forward(graph(lambda inputs: network(inputs, training=True), (1, 224, 224, 3)))
    assert counted / 2 == pytest.approx(3.8e9, rel=0.03)


def test_what_cannot_be_seen_is_not_counted():
    assert (
        flops.forward(
            graph(lambda x: tf.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x @ x), (0, x))[1], (4, 4))
        )
        is None
    )
    assert flops.forward(graph(keras.layers.Dense(3), (None, 4))) is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_peak_is_above_what_a_product_reaches(dtype: str):
    found = peak(flops.square, dtype)
    assert np.isfinite(found) and found > 1e8  # a core of 2005 has more
