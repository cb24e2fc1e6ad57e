"""Operations counted, against formulas, published numbers and TensorFlow's own counter; the peak."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import ranks
import tensorflow as tf
from counted_layers import LAYERS, LSTM, RECURRENT

from workloads.training.engines.horovod import flops
from workloads.training.flops import TRAINING, peak


def counted(function, *shapes: tuple[int | None, ...]) -> int | None:
    return flops.forward(graph(function, *shapes).outputs)


def graph(function, *shapes: tuple[int | None, ...]) -> Any:
    return tf.function(function).get_concrete_function(*(tf.TensorSpec(shape) for shape in shapes)).graph


def on_jax(function: str) -> Any:
    """What a function of `counted_layers` prints."""
    paths = {"PYTHONPATH": f"{ranks.ROOT}:{ranks.ROOT / 'launch' / 'inside'}:{Path(__file__).parent}"}
    words = [ranks.JAX, "-c", f"import counted_layers; counted_layers.{function}()"]
    done = subprocess.run(words, env=os.environ | paths | {"KERAS_BACKEND": "jax"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("layer", "shape", "multiply_adds"), LAYERS, ids=[type(layer).__name__ for layer, *_ in LAYERS]
)
def test_layers(layer: keras.layers.Layer, shape: tuple[int, ...], multiply_adds: int):
    layer.build(shape)
    assert counted(layer, shape) == 2 * multiply_adds


@pytest.mark.parametrize(("layer", "shape", "_"), RECURRENT, ids=[type(layer).__name__ for layer, *_ in RECURRENT])
def test_a_loop_is_counted_as_its_steps_one_after_the_other(layer: keras.layers.Layer, shape: tuple[int, ...], _: int):
    unrolled = type(layer).from_config(layer.get_config())
    for each in (unrolled, *(getattr(unrolled, name, None) for name in ("forward_layer", "backward_layer"))):
        if each is not None:
            each.unroll = True  # pyright: ignore[reportAttributeAccessIssue]
    for each in (layer, unrolled):
        if not each.built:
            each.build(shape)
    assert counted(layer, shape) == counted(unrolled, shape) == 2 * _


@pytest.mark.parametrize("number", [1, 2, 3, 5, 6])
def test_layers_that_keras_hands_to_cudnn(number: int, monkeypatch: pytest.MonkeyPatch):
    """As it does where there is a GPU; the graph is made, and not run."""
    layer, shape, multiply_adds = RECURRENT[number]
    monkeypatch.setattr(sys.modules["keras.src.backend.tensorflow.rnn"], "_is_gpu_available", lambda: True)
    made = graph(type(layer).from_config(layer.get_config()), shape)
    assert {"CudnnRNNV3"} <= {operation.type for operation in made.get_operations()}
    assert flops.forward(made.outputs) == 2 * multiply_adds


@pytest.mark.parametrize("time_major", [False, True])
def test_two_layers_of_cudnn_from_both_ends(time_major: bool):
    def layers(inputs: Any, state: Any) -> Any:
        return tf.raw_ops.CudnnRNNV3(
            input=inputs, input_h=state, input_c=state, params=tf.zeros((0,)), sequence_lengths=tf.fill((5,), 7),
            direction="bidirectional", time_major=time_major,
        )[0]  # fmt: skip

    inputs, state = ((7, 5, 3), (4, 5, 6)) if time_major else ((5, 7, 3), (5, 4, 6))
    assert counted(layers, inputs, state) == 2 * 7 * 5 * 2 * (LSTM + 4 * 6 * (12 + 6))


@ranks.NEEDS_JAX
@pytest.mark.slow
def test_jax_counts_the_same_of_each_layer():
    assert on_jax("layers") == [2 * multiply_adds for _, _, multiply_adds in LAYERS]
    assert on_jax("cudnn") == [2 * 5 * 7 * (LSTM + 4 * 6 * 12), 2 * 5 * 7 * 2 * (LSTM + 4 * 6 * 18)]


def test_products():
    assert counted(lambda a, b: tf.matmul(a, b, transpose_a=True), (9, 2), (9, 3)) == 2 * 9 * 2 * 3
    assert counted(lambda a, b: tf.matmul(a, b, adjoint_a=True), (4, 9, 2), (4, 9, 3)) == 2 * 4 * 9 * 2 * 3
    attention = lambda q, k: tf.einsum("...qd,...kd->...qk", q, k)  # noqa: E731
    assert counted(attention, (2, 4, 5, 8), (2, 4, 6, 8)) == 2 * 2 * 4 * 5 * 6 * 8


def test_what_no_output_needs_is_not_counted():
    assert counted(lambda a: (tf.matmul(a, a), a + 1)[1], (3, 3)) == 0


def test_a_gradient_within_a_network_is_counted():
    def force(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            energy = tf.matmul(x, tf.ones((5, 7)))
        return tape.gradient(energy, x)

    assert counted(force, (4, 5)) == 2 * 4 * 5 * 7


def test_the_backward_pass_is_twice_the_forward_pass():
    network = keras.Sequential(
        [keras.Input((16, 16, 8)), *(keras.layers.Conv2D(16, 3, padding="same") for _ in "ab"),
         keras.layers.Flatten(),
         keras.layers.Dense(10)]
    )  # fmt: skip

    def gradients(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(network(inputs))
        return loss, tape.gradient(loss, [variable.value for variable in network.trainable_variables])

    one_way = counted(network, (4, 16, 16, 8))
    training = graph(gradients, (4, 16, 16, 8))
    loss = training.outputs[:1]
    assert flops.forward(loss) == one_way == 2 * 4 * (16**2 * 16 * 9 * 8 + 16**2 * 16 * 9 * 16 + 16**2 * 16 * 10)
    by_tensorflow = tf.compat.v1.profiler.profile(
        training,
        options=tf.compat.v1.profiler.ProfileOptionBuilder(tf.compat.v1.profiler.ProfileOptionBuilder.float_operation())
        .with_empty_output()
        .build(),
    ).total_float_ops
    # TensorFlow counts what is done element by element too. The gradient of the network's inputs is in the graph, and is
    # never computed: the convention counts it, as others do.
    assert by_tensorflow == pytest.approx(TRAINING * one_way, rel=0.01)


def test_a_published_network():
    # He et al. (2015), table 1: 3.8e9 multiply-adds for ResNet-50 at 224 x 224.
    network = keras.applications.ResNet50(weights=None)
    found = counted(lambda inputs: network(inputs, training=True), (1, 224, 224, 3))
    assert found and found / 2 == pytest.approx(3.8e9, rel=0.03)


def test_loops_are_followed_as_far_as_the_graph_says_how_often_they_run():
    def powers(x: Any, goes_on: Any) -> Any:
        return tf.while_loop(goes_on, lambda i, x: (i + 2, x @ x), (0, x))[1]

    assert counted(lambda x: powers(x, lambda i, x: i < 5), (4, 4)) == 3 * 2 * 4**3
    assert counted(lambda x: powers(x, lambda i, x: tf.logical_and(i < 5, x[0, 0] < 1)), (4, 4)) is None
    assert counted(lambda x: powers(x, lambda i, x: x[0, 0] < 1), (4, 4)) is None
    once = lambda x: tf.while_loop(lambda i, x: x[0, 0] < 1, lambda i, x: (i, x + 1), (0, x))[1] @ x  # noqa: E731
    assert counted(once, (4, 4)) == 2 * 4**3


def test_what_cannot_be_seen_is_not_counted():
    assert counted(lambda x: tf.cond(x[0, 0] < 1, lambda: x @ x, lambda: x), (4, 4)) is None
    assert counted(keras.layers.Dense(3), (None, 4)) is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_peak_is_above_what_a_product_reaches(dtype: str):
    found = peak(flops.square, dtype)
    assert np.isfinite(found) and found > 1e8  # a core of 2005 has more
