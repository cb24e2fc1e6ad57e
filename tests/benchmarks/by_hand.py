"""The shortest loops that one writes with Keras, on TensorFlow and on JAX, for `step_time.py`.

Each is a function that makes some steps, after a few that are not timed, and tells the seconds of one.
"""

import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

WARM = 4  # first steps of a turn that are not timed


class Clock(NamedTuple):
    """Seconds, of CPU time and of time that passed."""

    cpu: float
    wall: float

    @classmethod
    def now(cls) -> "Clock":
        return cls(time.process_time(), time.perf_counter())

    def since(self, begin: "Clock", count: int) -> "Clock":
        """Each of ``count`` equal parts."""
        return Clock((self.cpu - begin.cpu) / count, (self.wall - begin.wall) / count)


Measure = Callable[[int], Clock]


def loops(engine: str, made: Callable[[], tuple[Any, Any]], batch: int) -> dict[str, Measure]:
    """All of an engine.

    Parameters
    ----------
    engine : "horovod" or "jax"
        On whose framework Keras runs.
    made : function
        A workload and its optimizer, new in each call.
    batch : int
        Examples per step.
    """
    import numpy as np

    train = made()[0].train
    inputs, targets = train.load(np.arange(len(train)))
    inputs = np.asarray(inputs)
    targets = np.asarray(targets["flow"] if isinstance(targets, dict) else targets)  # of cfd_resnet's the loss sees one
    arrays = inputs, targets
    by_hand = {"horovod": _tensorflow, "jax": _jax}[engine](made, arrays, batch)
    return by_hand | {"train_on_batch": _train_on_batch(made, arrays, batch)}


def loss_of(workload: Any) -> Callable[[Any, Any], Any]:
    """A workload's loss, of bare arrays."""
    import numpy as np

    flows = isinstance(workload.train.load(np.arange(1))[1], dict)
    return (lambda y, outputs: workload.loss({"flow": y}, outputs)) if flows else workload.loss


def _tensorflow(made: Callable[[], tuple[Any, Any]], arrays: Any, batch: int) -> dict[str, Measure]:
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(arrays).shuffle(len(arrays[0])).repeat()
    data = data.batch(batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    workload, optimizer = made()
    model, loss = workload.model, loss_of(workload)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(y, model(x, training=True)))
        optimizer.apply_gradients(zip(tape.gradient(value, model.trainable_variables), model.trainable_variables))
        return value

    return {
        "tf.function, loss never read": lambda count: _timed(step, data, count),
        "fit, jit_compile=False": _fit(made, data, jit_compile=False),
        "fit": _fit(made, data),
    }


def _jax(made: Callable[[], tuple[Any, Any]], arrays: Any, batch: int) -> dict[str, Measure]:
    import dataclasses

    import jax

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "gpu" / "parts"))
    import hand

    workload, optimizer = made()
    optimizer.build(workload.model.trainable_variables)
    step, values = hand.compiled(dataclasses.replace(workload, loss=loss_of(workload)), optimizer)

    def one(x: Any, y: Any) -> None:
        values[:] = step(*values, x, y)[:3]

    def measure(count: int) -> Clock:
        return _timed(one, _shuffled(arrays, batch), count, lambda: jax.block_until_ready(values))

    return {"jax.jit, loss never read": measure, "fit": _fit(made, _shuffled(arrays, batch))}


def _shuffled(arrays: Any, batch: int) -> Iterator[tuple[Any, ...]]:
    import numpy as np

    random = np.random.default_rng(0)
    while True:
        order = random.permutation(len(arrays[0]))
        for begin in range(0, len(order) - batch + 1, batch):
            yield tuple(array[order[begin : begin + batch]] for array in arrays)


def _timed(step: Callable, batches: Any, count: int, wait: Callable[[], Any] = lambda: None) -> Clock:
    began = Clock.now()
    for number, each in enumerate(islice(iter(batches), WARM + count)):
        if number == WARM:
            wait()
            began = Clock.now()
        step(*each)
    wait()
    return Clock.now().since(began, count)


def _train_on_batch(made: Callable[[], tuple[Any, Any]], arrays: Any, batch: int) -> Measure:
    workload, optimizer = made()
    workload.model.compile(optimizer, loss_of(workload))
    return lambda count: _timed(workload.model.train_on_batch, _shuffled(arrays, batch), count)


def _fit(made: Callable[[], tuple[Any, Any]], data: Any, **compiled: Any) -> Measure:
    import keras

    workload, optimizer = made()
    workload.model.compile(optimizer, loss_of(workload), **compiled)

    class Epochs(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = Clock.now()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.ended = Clock.now()

    def measure(count: int) -> Clock:
        clock = Epochs()
        workload.model.fit(data, epochs=2, steps_per_epoch=count, verbose=0, callbacks=[clock])
        return clock.ended.since(clock.began, count)

    return measure
