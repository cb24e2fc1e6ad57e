"""Precision, accumulation, compression and XLA: other ways to the same step, each within its own precision."""

import time
from pathlib import Path

import keras
import numpy as np
import pytest
import ranks
import tensorflow as tf
import ways
from hypothesis import given
from hypothesis import strategies as st

from launch.errors import Refusal
from workloads.api import Training
from workloads.training.engines.horovod.communicator import Communicator, buckets


@pytest.fixture(scope="module", params=ranks.SLOW_ON_JAX)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one rank and what two ranks made, in every way."""
    folder = tmp_path_factory.mktemp("ways")
    for size in (1, 2):
        logs, words = folder / str(size), (engine, str(folder))
        if engine == "jax":
            started = ranks.Ranks(size, logs, {}, "import ways; ways.main()", *words, python=ranks.JAX)
        else:
            started = ranks.Ranks(size, logs, {}, ways.train, *words)
        assert started.wait(600) == [0] * size, started.output()
    return folder


def change(folder: Path, name: str, size: int, rank: int = 0) -> np.ndarray:
    return np.concatenate([part.ravel() for part in np.load(folder / f"{name}-{size}-{rank}.npz").values()])


@pytest.mark.parametrize("size", [1, 2])
def test_every_way_leads_to_the_same_weights_within_its_precision(folder: Path, engine: str, size: int):
    expected = change(folder, "plain", 1)
    for name in ways.offered(engine):
        found = change(folder, name, size)
        assert np.linalg.norm(found - expected) < ways.WAYS[name][1] * np.linalg.norm(expected), name
        if size == 2:
            np.testing.assert_array_equal(found[:-1], change(folder, name, 2, 1)[:-1], name)


def test_the_ways_are_different_ones(folder: Path, engine: str):
    plain = change(folder, "plain", 2)
    for name in {"compress", "bfloat16", "float16"} & {*ways.offered(engine)}:
        assert np.linalg.norm(change(folder, name, 2) - plain) > 1e-5 * np.linalg.norm(plain), f"{name} does nothing"
    if engine == "horovod":
        # A sum of two has one order, in whatever message.
        np.testing.assert_array_equal(change(folder, "buckets", 2), plain)
        # One rank has nothing to send.
        np.testing.assert_array_equal(change(folder, "compress", 1), change(folder, "plain", 1))


def test_the_plan_shows_what_is_not_as_usual():
    assert not {"precision", "accumulation", "compression", "compiler"} & set(Training().describe(2))
    lines = Training(precision="float16", accumulate=4, compress=True, xla=True).describe(2)
    assert lines["precision"] == "float16, weights in float32, with a loss scale"
    assert lines["accumulation"] == "4 parts of 8 examples per step"
    assert lines["compression"] == "gradients are sent as float16"
    assert lines["compiler"] == "XLA, for loss and gradients"
    assert "compression" not in Training(compress=True).describe(1)  # one rank sends nothing
    assert "4 MiB" in Training(bucket_mb=4, engine="horovod").describe(2)["gradients"]


@pytest.mark.parametrize(
    "others", [{"xla": True}, {"accumulate": 2}, {"strategy": "mirrored"}, {"strategy": "single"}, {"engine": "jax"}]
)
def test_buckets_are_refused_where_gradients_come_all_at_once(others: dict):
    with pytest.raises(Refusal, match="--bucket-mb"):
        Training(bucket_mb=4, **others)


@given(st.lists(st.integers(0, 100)), st.integers(0, 300))
def test_buckets_have_every_gradient_once_from_the_back_and_are_no_larger_than_asked(sizes: list[int], most: int):
    groups = buckets(sizes, most)
    flat = [place for group in groups for place in group]
    assert flat == list(range(len(sizes)))[:: -1 if most else 1]
    for group, following in zip(groups, [*groups[1:], []]):
        total = sum(sizes[place] for place in group)
        assert not most or total <= most or len(group) == 1
        assert not following or total + sizes[following[0]] > most  # as few as there can be


@pytest.mark.parametrize("accumulate", [3, 64])
def test_a_batch_that_cannot_be_parted_evenly_is_refused(accumulate: int):
    with pytest.raises(Refusal, match=f"--accumulate {accumulate} does not divide a batch of 32 evenly"):
        Training(accumulate=accumulate)


@pytest.mark.parametrize("ways", [{"xla": False}, {"xla": True}, {"xla": False, "accumulate": 4}])
def test_operations_of_a_step_are_counted_in_every_way(ways: dict):
    import tiny

    from launch.node.rank import Rank
    from workloads.training.engines.horovod.step import Step

    with Communicator(Rank(size=1)) as communicator:
        workload = tiny.build(tiny.Config(), Rank(size=1))
        rate = keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.1, 0.01])  # which branches in the graph
        optimizer = communicator.averaging(keras.optimizers.SGD(rate), False)
        optimizer.build(workload.model.trainable_variables)
        step = Step(workload, optimizer, communicator, **ways)
        assert step.forward_flops is None
        step(1, *tf.nest.map_structure(tf.convert_to_tensor, workload.train.load(np.arange(32))), [False])
    kernels = [weight for weight in workload.model.trainable_variables if weight.name == "kernel"]
    assert step.forward_flops == 2 * 32 * sum(int(np.prod(kernel.shape)) for kernel in kernels)


def test_gradients_are_ready_when_the_last_of_them_is_computed():
    """Not with the loss: the backward pass of this one takes all the time of the step."""
    import dataclasses

    import tiny

    from launch.node.rank import Rank
    from workloads.training.engines.horovod.step import Step

    @tf.custom_gradient
    def costly(outputs: tf.Tensor):
        def backward(upstream: tf.Tensor) -> tf.Tensor:
            product = tf.random.stateless_uniform((700, 700), (1, 2)) + tf.reduce_sum(upstream)
            for _ in range(6):
                product = tf.matmul(product, product) * 1e-3
            return upstream + 0 * tf.reduce_sum(tf.tanh(product))

        return tf.identity(outputs), backward

    with Communicator(Rank(size=1)) as communicator:
        plain = tiny.build(tiny.Config(), Rank(size=1))
        workload = dataclasses.replace(plain, loss=lambda targets, outputs: plain.loss(targets, costly(outputs)))
        optimizer = communicator.averaging(keras.optimizers.SGD(0.1), False)
        optimizer.build(workload.model.trainable_variables)
        step = Step(workload, optimizer, communicator, xla=False)
        batch = tf.nest.map_structure(tf.convert_to_tensor, workload.train.load(np.arange(32)))
        shares = []
        for number in range(1, 6):
            began = time.perf_counter()
            outcome = step(number, *batch, [False])
            if not outcome.compiled:
                shares.append(outcome.gradient_seconds / (time.perf_counter() - began))
        assert max(shares) > 0.6  # others may take the processor for a while


def test_a_processor_sums_the_gradients_of_biases_in_bfloat16_as_in_float32(monkeypatch: pytest.MonkeyPatch):
    """TensorFlow's own sum stops growing at 256 addends: once that is mended, workloads/training/engines/horovod/bias.py can go."""
    from launch.node.rank import Rank
    from workloads.training import train

    def gradients(policy: str) -> np.ndarray:
        keras.config.set_dtype_policy(policy)
        layers = [keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(10)]
        network = keras.Sequential([keras.Input((8, 8, 1)), *layers])
        random = np.random.default_rng(1)
        for weight in network.weights:
            weight.assign(random.uniform(-0.2, 0.2, weight.shape))
        with tf.GradientTape() as tape:
            outputs = network(random.uniform(size=(8192, 8, 8, 1)), training=True)
            loss = tf.reduce_mean(tf.math.softplus(tf.cast(outputs, tf.float32)))
        found = tape.gradient(loss, [layer.bias.value for layer in (layers[0], layers[2])])
        return np.concatenate([np.asarray(gradient) for gradient in found])

    def error() -> float:
        return np.linalg.norm(gradients("mixed_bfloat16") - expected) / np.linalg.norm(expected)

    monkeypatch.setattr(tf.nn, "bias_add", tf.nn.bias_add)
    for name in ("intra", "inter"):  # which cannot be set once TensorFlow runs
        monkeypatch.setattr(tf.config.threading, f"set_{name}_op_parallelism_threads", lambda threads: None)
    try:
        expected = gradients("float32")
        assert error() > 0.5
        train.configure(Training(precision="bfloat16"), Rank(), 0)
        assert error() < 2**-7
    finally:
        keras.config.set_dtype_policy("float32")
