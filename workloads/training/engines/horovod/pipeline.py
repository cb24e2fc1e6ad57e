"""One ``tf.data`` pipeline from examples to the step:   batch indices -> load -> cache -> augment -> prefetch

In place of ``shard``, ``shuffle`` and ``batch`` of ``tf.data`` stands `sharding`, which knows the examples of any step:
a training resumes in the middle of an epoch without running through what came before, and ranks take the very examples
that one rank would take.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from workloads.api import Data
from workloads.training.cached_load import AHEAD, loader
from workloads.training.sharding import Batches


class Pipeline:
    """See `engines.interface.Pipeline`."""

    def __init__(self, data: Data, cache: int = 0) -> None:
        self._augment, self._threads = data.augment, data.threads
        self._load = loader(data, cache)
        self._signature: Any = None
        self._errors: list[Exception] = []

    def __call__(self, batches: Sequence[Callable[[], Batches]]) -> Generator[tuple[Any, Any], None, None]:
        """See `engines.interface.Pipeline`. It is built at once: the first batch waits for the examples alone."""
        if batches and self._signature is None:
            first = self._load(batches[0]().indices[0, :1])
            self._signature = tf.nest.map_structure(_spec, first)
        return self._loaded(iter(self._dataset(batches)) if batches else iter(()))

    def _loaded(self, batches: Iterator[tuple[Any, Any]]) -> Generator[tuple[Any, Any], None, None]:
        try:
            yield from batches
        except tf.errors.OpError:
            # TensorFlow would make one long line of the message, the traceback and the names of operations.
            if self._errors:
                raise self._errors[0] from None
            raise

    def _dataset(self, batches: Sequence[Callable[[], Batches]]) -> tf.data.Dataset:
        def of_epoch(number: np.ndarray) -> Batches:
            return batches[int(number)]()

        def steps(number: tf.Tensor) -> tf.data.Dataset:
            # All steps of an epoch at once: one call of Python per epoch, none per step.
            specs = tf.TensorSpec((None, None), tf.int64), tf.TensorSpec((None, None, 2), tf.uint64)
            return tf.data.Dataset.from_tensor_slices(self._run(of_epoch, specs, number))

        def load(index: tf.Tensor, seeds: tf.Tensor) -> tuple[Any, tf.Tensor]:
            return self._run(self._load, self._signature, index), seeds

        def augment(batch: Any, seeds: tf.Tensor) -> Any:
            return self._run(self._augment, self._signature, *batch, seeds) if self._augment else batch

        plain = tf.autograph.experimental.do_not_convert  # none of these has Python that depends on a tensor
        dataset = tf.data.Dataset.range(len(batches)).flat_map(plain(steps))
        dataset = dataset.map(plain(load), num_parallel_calls=self._threads)
        dataset = dataset.map(plain(augment), num_parallel_calls=self._threads if self._augment else None)
        options = tf.data.Options()
        options.deterministic = True
        options.autotune.enabled = False  # the numbers of threads and batches are set here
        options.threading.private_threadpool_size = self._threads + 1  # the others are the step's
        options.threading.max_intra_op_parallelism = 1
        dataset = dataset.prefetch(AHEAD).with_options(options)
        gpus = tf.config.list_logical_devices("GPU")
        if len(gpus) == 1:  # with more GPUs, each takes its part of a batch
            dataset = dataset.apply(tf.data.experimental.prefetch_to_device(gpus[0].name, 1))
        return dataset

    def _run(self, function: Callable, signature: Any, *arguments: Any) -> Any:
        """Call a function in the pipeline: a ``tf.function`` becomes part of its graph, any other gets arrays."""
        if isinstance(function, tf.types.experimental.PolymorphicFunction):
            return function(*arguments)
        specs = tf.nest.flatten(signature)

        def call(*arrays: np.ndarray) -> list[np.ndarray]:
            try:
                batch = function(*tf.nest.pack_sequence_as(arguments, arrays))
                values = [np.asarray(value) for value in tf.nest.flatten(batch)]
                for value, spec in zip(values, specs, strict=True):
                    if value.dtype != spec.dtype.as_numpy_dtype or not spec.shape.is_compatible_with(value.shape):
                        raise ValueError(
                            f"a batch has {value.dtype} {value.shape} where the first had {spec.dtype.name} "
                            f"{tuple(spec.shape)}: give all examples one shape and type"
                        )
                return values
            except Exception as error:
                self._errors.append(error)
                raise

        # Stateless: the values depend on the arguments alone, so that no call has to wait for the one before.
        values = tf.numpy_function(call, tf.nest.flatten(arguments), [spec.dtype for spec in specs], stateful=False)
        for value, spec in zip(values, specs):
            value.set_shape(spec.shape)
        return tf.nest.pack_sequence_as(signature, values)


def _spec(array: Any) -> tf.TensorSpec:
    array = tf.convert_to_tensor(array)
    return tf.TensorSpec((None, *array.shape[1:]), array.dtype)
