"""A rank that trains the network `dropout` of workloads.mnist without this toolkit, for `two_ranks.py`, which starts it.

    RANK=0 PORTS='[2222, 2223]' python tests/benchmarks/other_ranks.py KIND

trains some steps on random images, 64 a rank, with one thread, and prints the seconds of a step. KIND is a function below. Each
is the shortest loop of its kind, and never looks at the loss.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

WARM, STEPS, BATCH = 8, 60, 64


def timed(step: Callable[[], Any], end: Callable[[], Any] = lambda: None) -> float:
    """Seconds of a step; what was only begun is over after ``end``."""
    for _ in range(WARM):
        step()
    end()
    began = time.perf_counter()
    for _ in range(STEPS):
        step()
    end()
    return (time.perf_counter() - began) / STEPS


def tensorflow(threads: int, devices: int = 1) -> tuple[Any, Callable[[], Any]]:
    """TensorFlow with so many threads and devices; a function that makes the network."""
    import tensorflow as tf

    from workloads.mnist.networks import network

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    return tf, lambda: network("dropout", (28, 28, 1), 10)


def mirrored() -> float:
    """``model.fit`` under TensorFlow's MirroredStrategy, one process on two devices made of the processor."""
    tf, made = tensorflow(2, 2)
    import keras

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = made()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices(images()).repeat().batch(2 * BATCH, drop_remainder=True).prefetch(2)

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds = time.perf_counter() - self.began

    clock = Clock()
    model.fit(data, epochs=2, steps_per_epoch=STEPS, verbose=0, callbacks=[clock])
    return clock.seconds / STEPS


def workers() -> float:
    """A loop under TensorFlow's MultiWorkerMirroredStrategy (``fit`` is reported broken with Keras 3: keras #20585)."""
    addresses = [f"127.0.0.1:{port}" for port in json.loads(os.environ["PORTS"])]
    task = {"type": "worker", "index": int(os.environ["RANK"])}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    import keras

    from workloads.mnist.networks import network

    with strategy.scope():
        model = network("dropout", (28, 28, 1), 10)
        optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
        optimizer.build(model.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    pixels, labels = (tf.constant(array[:BATCH]) for array in images())

    def own(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(y, model(x, training=True)))
        gradients = tape.gradient(value, [variable.value for variable in model.trainable_variables])
        optimizer.apply(tf.distribute.get_replica_context().all_reduce("MEAN", gradients), model.trainable_variables)
        return value

    step = tf.function(lambda x, y: strategy.run(own, (x, y)))
    return timed(lambda: step(pixels, labels))


def jax_alone() -> float:
    """A loop round one ``jax.jit``."""
    return _jax(False)


def jax_together() -> float:
    """The same over two processes: the compiler finds out what they must exchange, over Gloo."""
    return _jax(True)


def _jax(together: bool) -> float:
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    import jax
    import keras
    import numpy as np

    from workloads.mnist.networks import network

    if together:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        port = json.loads(os.environ["PORTS"])[0]
        jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(os.environ["RANK"]))
    mesh = jax.sharding.Mesh(np.array(jax.devices()), "ranks")
    of_each, the_same = (jax.NamedSharding(mesh, jax.P(*names)) for names in (["ranks"], []))
    keras.utils.set_random_seed(0)  # the same weights on both
    model = network("dropout", (28, 28, 1), 10)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def loss_of(weights: list, others: list, pixels: Any, labels: Any) -> Any:
        outputs, others = model.stateless_call(weights, others, pixels, training=True)
        return loss(labels, outputs), others

    @jax.jit
    def step(weights: list, others: list, state: list, pixels: Any, labels: Any) -> Any:
        (_, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights, others, pixels, labels)
        weights, state = optimizer.stateless_apply(state, gradients, weights)
        return weights, others, state

    variables = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    held: Any = jax.device_put([[np.asarray(one) for one in each] for each in variables], the_same)
    pixels, labels = (jax.make_array_from_process_local_data(of_each, array[:BATCH]) for array in images())

    def train() -> None:
        nonlocal held
        held = step(*held, pixels, labels)

    return timed(train, lambda: jax.block_until_ready(held))


def torch_alone() -> float:
    """A plain loop in PyTorch."""
    return _torch(False)


def torch_ddp() -> float:
    """The same as one of two ranks of DistributedDataParallel over Gloo."""
    return _torch(True)


def _torch(together: bool) -> float:
    import torch

    from workloads.mnist.torch_twin import network

    torch.set_num_threads(1)
    model = network((28, 28, 1), 10)
    if together:
        port = json.loads(os.environ["PORTS"])[0]
        torch.distributed.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=int(os.environ["RANK"]), world_size=2
        )
        model = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    pixels, labels = (torch.from_numpy(array[:BATCH]) for array in images())
    pixels = pixels.permute(0, 3, 1, 2).contiguous()

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(pixels), labels).backward()
        optimizer.step()

    return timed(step)


def images() -> tuple[Any, Any]:
    """Pixels and labels: what a step takes does not depend on them."""
    import numpy as np

    random = np.random.default_rng(0)
    return random.random((1500, 28, 28, 1), np.float32), random.integers(0, 10, 1500)


KINDS = {
    "mirrored": mirrored,
    "workers": workers,
    "jax-alone": jax_alone,
    "jax-together": jax_together,
    "torch-alone": torch_alone,
    "torch-ddp": torch_ddp,
}

if __name__ == "__main__":
    print(KINDS[sys.argv[1]]())
