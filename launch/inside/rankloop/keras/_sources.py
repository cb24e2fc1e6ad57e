"""Sources of the batches of a rank. In each step the ranks together take what one process would take with ``size``
times the batch.

So all ranks make the same number of steps; otherwise they would wait for each other for ever. The ranks share what is
left for the last step of an epoch; if it cannot be shared equally, some examples (fewer than there are ranks) are taken
twice.
"""

from __future__ import annotations

import itertools
import types
import zlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

import rankloop
from rankloop._recorder import warn
from rankloop.keras._lines import refuse
from rankloop.keras._ranks import gather


class Source:
    """The training data of a rank, which goes through epoch after epoch, or a part of the first one.

    Attributes
    ----------
    data
        What ``model.fit`` gets as x.
    steps : int or None
        Number of steps in an epoch; None if that shows only when the data end.
    """

    data: Any
    steps: int | None
    batch: int | None = None  # examples of this rank in a step, if that is known

    def start(self, epoch: int, step: int) -> None:
        """Begin an epoch after its first ``step`` steps. Called before Keras asks for the data of the epoch."""

    def resume(self, epoch: int) -> None:
        """Bring the source to the state that it has after the epochs before this one."""

    def first(self) -> Any:
        """Return a batch from which to build a model; None if there is no way to get one."""


class Arrays(Source):
    """Arrays in memory, of which every rank has all: the order of the examples depends only on the seed and the
    epoch."""

    def __init__(self, arrays: tuple, batch: int, shuffle: bool, seed: int, steps: int | None) -> None:
        self._arrays, self._shuffle, self._seed = arrays, shuffle, seed
        self.batch = self._batch = batch
        self._examples = length(arrays)
        self._pass = -(-self._examples // (batch * rankloop.size))  # steps in which each example is taken once
        self.steps = steps or self._pass
        self._start = 0
        with tf.device("CPU"):
            tensors = tree.map_structure(tf.convert_to_tensor, tree.lists_to_tuples(arrays))
        dataset = tf.data.Dataset.from_generator(self._indices, output_signature=tf.TensorSpec((None,), tf.int64))
        dataset = dataset.map(
            lambda index: tree.map_structure(lambda tensor: tf.gather(tensor, index), tensors),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        if steps is None:
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(self.steps))
        self._endless = steps is not None
        self.data = dataset.prefetch(tf.data.AUTOTUNE)

    def start(self, epoch: int, step: int) -> None:
        self._start = epoch * self.steps + step  # type: ignore[operator]

    def first(self) -> Any:
        return tree.map_structure(lambda array: array[: self.batch], self._arrays)

    def _indices(self) -> Iterator[np.ndarray]:
        once, step = divmod(self._start, self._pass)
        while True:
            order = permutation(self._examples, self._seed, once) if self._shuffle else np.arange(self._examples)
            for batch in range(step, self._pass):
                of_all = order[batch * self._batch * rankloop.size :][: self._batch * rankloop.size]
                each = -(-len(of_all) // rankloop.size)
                yield of_all[(rankloop.rank * each + np.arange(each)) % len(of_all)]
            once, step = once + 1, 0
            if not self._endless:
                return


class Dataset(Source):
    """A tf.data.Dataset of batches, all of which every rank reads; each step of a rank is its part of as many batches
    as there are ranks."""

    def __init__(self, dataset: tf.data.Dataset, steps: int | None, sharded: bool) -> None:
        batches, self._given, self._stream = int(dataset.cardinality()), dataset, steps is not None
        if not sharded:
            self.first_batch = first = next(iter(dataset), None)
            if first is None:
                refuse("the dataset is empty")
            _compare(first)
            self.batch = int(tf.shape(tree.flatten(first)[0])[0])
            dataset, batches = _own_part(dataset, self.batch), -(-batches // rankloop.size)
        elif steps is None and batches < 0 and rankloop.size > 1:
            refuse(
                "nobody knows how many batches each rank has in its own dataset: give steps_per_epoch, the same on "
                "all ranks"
            )
        self.steps = steps or (batches if batches > 0 else None)
        self._skip = tf.Variable(tf.constant(0, tf.int64), trainable=False)
        # Keras makes a new iterator in each epoch; only code within the function sees how much it has to skip.
        dataset = tf.data.Dataset.from_tensors(0).flat_map(lambda _: dataset.skip(self._skip))
        if steps is None and self.steps:
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(self.steps))
        self.data = dataset.prefetch(tf.data.AUTOTUNE)

    def start(self, epoch: int, step: int) -> None:
        self._skip.assign(epoch * self.steps + step if self._stream else step)  # type: ignore[operator]

    def resume(self, epoch: int) -> None:
        for _ in range(0 if self._stream else epoch):
            iter(self._given)  # a dataset that shuffles draws the seed of its next order here

    def first(self) -> Any:
        return self.first_batch if hasattr(self, "first_batch") else next(iter(self._given))


class Batches(keras.utils.PyDataset, Source):
    """A PyDataset, of which each rank loads only its own batches; the last step is completed with the first batches of
    the epoch."""

    def __init__(self, inner: keras.utils.PyDataset, shuffle: bool, seed: int, steps: int | None) -> None:
        super().__init__(inner.workers, inner.use_multiprocessing, inner.max_queue_size)
        self._inner, self._shuffle, self._seed, self._batches = inner, shuffle, seed, inner.num_batches
        if self._batches is None and steps is None:
            refuse("the PyDataset has no end: give steps_per_epoch")
        self._pass = -(-self._batches // rankloop.size) if self._batches else None
        self.steps = steps or self._pass
        self._endless, self._start, self._order = steps is not None, 0, (-1, np.empty(0, int))

    @property
    def data(self) -> Any:  # type: ignore[override]
        return self

    @property
    def num_batches(self) -> int | None:
        return None if self._endless else self.steps

    def start(self, epoch: int, step: int) -> None:
        self._start = epoch * self.steps + step  # type: ignore[operator]

    def first(self) -> Any:
        return self._inner[0]

    def __getitem__(self, index: int) -> Any:
        if self._batches is None or self._pass is None:
            return self._inner[(self._start + index) * rankloop.size + rankloop.rank]
        once, step = divmod(self._start + index, self._pass)
        batch = (step * rankloop.size + rankloop.rank) % self._batches
        if not self._shuffle:
            return self._inner[batch]
        number, order = self._order
        if number != once:
            order = permutation(self._batches, self._seed, once)
            self._order = once, order
        return self._inner[int(order[batch])]

    def on_epoch_begin(self) -> None:
        self._inner.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._inner.on_epoch_end()


class Generator(Source):
    """A generator that every rank runs: a rank takes one of each ``size`` batches, and the rest at the end is left
    out."""

    def __init__(self, batches: types.GeneratorType, steps: int | None, sharded: bool) -> None:
        if sharded and steps is None and rankloop.size > 1:
            refuse(
                "nobody knows how many batches each rank's generator has: give steps_per_epoch, the same on all ranks"
            )
        self._batches, self._size, self._begun, self._skip = batches, 1 if sharded else rankloop.size, False, 0
        self.steps = steps
        self.data = self._own()

    def start(self, epoch: int, step: int) -> None:
        self._skip = epoch * (self.steps or 0) + step

    def _own(self) -> Iterator[Any]:
        for step in itertools.count():
            group = list(itertools.islice(self._batches, self._size))
            if len(group) < self._size:
                return
            if step >= self._skip:
                yield group[rankloop.rank % self._size]


def length(arrays: tuple) -> int:
    """Return the number of examples."""
    return len(tree.flatten(arrays)[0])


def permutation(number: int, seed: int, epoch: int) -> np.ndarray:
    """Return a permutation of ``number`` items that depends only on the seed and the epoch."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch)))).permutation(number)


def _own_part(dataset: tf.data.Dataset, batch: int) -> tf.data.Dataset:
    rank, size, spec = rankloop.rank, rankloop.size, dataset.element_spec
    if size == 1:
        return dataset
    parts = tree.flatten(spec)
    if not all(isinstance(part, tf.TensorSpec) and part.shape[1:].is_fully_defined() for part in parts):
        # Batches of unequal shapes cannot be put together: each rank takes one, and at the end ranks for which none is
        # left take the last ones again.
        def one_of(*windows: Any) -> tf.data.Dataset:
            last_ones = tf.data.Dataset.zip(windows if isinstance(spec, tuple) else windows[0])
            return last_ones.repeat().skip(rank).take(1)

        return dataset.window(size).flat_map(one_of)

    def own(*elements: Any) -> Any:
        element = elements if isinstance(spec, tuple) else elements[0]
        rows = tf.shape(tree.flatten(element)[0])[0]
        each = -(-rows // size)
        index = (rank * each + tf.range(each)) % rows
        return tree.map_structure(lambda tensor: tf.gather(tensor, index), element)

    return dataset.rebatch(batch * size).map(own, num_parallel_calls=tf.data.AUTOTUNE)


def _compare(batch: Any) -> None:
    """Warn if the ranks do not read the same data: augmented inputs may differ, targets may not."""
    seen = batch[1] if isinstance(batch, tuple) and len(batch) > 1 else batch
    leaves = [leaf for leaf in tree.flatten(seen) if isinstance(leaf, tf.Tensor)]
    sums = gather([zlib.crc32(repr(leaf.numpy().tolist()).encode()) for leaf in leaves])
    if any(other != sums[0] for other in sums) and rankloop.rank == 0:
        warn(
            "the ranks do not read the same first batch, so some examples may be seen twice in an epoch and others "
            "not at all: call keras.utils.set_random_seed(NUMBER) before the dataset is made, or give each rank its "
            "own part and sharded=True"
        )
