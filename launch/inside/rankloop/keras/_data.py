"""The data that are given to ``model.fit`` and ``model.evaluate``: their kind, and this rank's part of them."""

from __future__ import annotations

import itertools
import types
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

import rankloop
from rankloop.keras._lines import refuse
from rankloop.keras._sources import Arrays, Batches, Dataset, Generator, Source, length


def training(data: tuple, batch: int | None, shuffle: Any, seed: int, steps: int | None, sharded: bool) -> Source:
    """Return the source for the data given to ``model.fit``: x, and y and sample_weight if there are any."""
    x = data[0]
    steps = -(-steps // (1 if sharded else rankloop.size)) if steps else None
    if isinstance(x, tf.data.Dataset):
        return Dataset(x, steps, sharded)
    if isinstance(x, types.GeneratorType):
        return Generator(x, steps, sharded)
    if isinstance(x, keras.utils.PyDataset) and not sharded:
        return Batches(x, bool(shuffle), seed, steps)
    if sharded:
        refuse(
            f"sharded=True is for a tf.data.Dataset or a generator of each rank's own, not for {_kind(x)}: leave it out"
        )
    return Arrays(as_arrays(data), batch or 32, bool(shuffle), seed, steps)


def evaluation(data: tuple, steps: int | None, sharded: bool) -> tuple[Any, int | None]:
    """Return this rank's part of data that are read once: the ranks may have different numbers of batches, and some
    none."""
    x, rank, size = data[0], rankloop.rank, rankloop.size
    if sharded or size == 1:
        return data, steps
    steps = -(-steps // size) if steps else None
    if isinstance(x, tf.data.Dataset):
        return (x.shard(size, rank),), steps
    if isinstance(x, types.GeneratorType):
        return ((batch for batch in itertools.islice(x, rank, None, size)),), steps
    if isinstance(x, keras.utils.PyDataset):
        return (_Once(x),), steps
    arrays = as_arrays(data)
    if length(arrays) < size:
        refuse(
            f"{length(arrays)} examples to evaluate cannot be shared by {size} ranks: give more of them, or fewer ranks"
        )
    return tree.map_structure(lambda array: array[rank::size], arrays), steps


class _Once(keras.utils.PyDataset):
    def __init__(self, inner: keras.utils.PyDataset) -> None:
        super().__init__(inner.workers, inner.use_multiprocessing, inner.max_queue_size)
        if inner.num_batches is None or inner.num_batches < rankloop.size:
            refuse(
                f"{inner.num_batches} batches to evaluate cannot be shared by {rankloop.size} ranks: give at least as "
                "many"
            )
        self._inner = inner

    @property
    def num_batches(self) -> int:
        return len(range(rankloop.rank, self._inner.num_batches, rankloop.size))

    def __getitem__(self, index: int) -> Any:
        return self._inner[index * rankloop.size + rankloop.rank]


def as_arrays(data: tuple) -> Any:
    """Return the data as NumPy arrays, in the precision of Keras, without any None at the end."""

    def array(leaf: Any) -> np.ndarray:
        if isinstance(leaf, (str, bytes)) or not (hasattr(leaf, "__array__") or hasattr(leaf, "__dlpack__")):
            refuse(
                f"rankloop.keras cannot share {_kind(leaf)} between ranks: give arrays, a tf.data.Dataset, a keras "
                "PyDataset or a generator; or give each rank's own part as a tf.data.Dataset with sharded=True"
            )
        values = np.asarray(leaf)
        return values.astype(keras.config.floatx()) if values.dtype.kind == "f" else values

    while data and data[-1] is None:
        data = data[:-1]
    arrays = tuple(tree.map_structure(array, part) for part in data)
    lengths = {len(leaf) for leaf in tree.flatten(arrays)}
    if not lengths:
        refuse("no data were given: give x and y, a tf.data.Dataset, a keras PyDataset or a generator")
    if len(lengths) != 1 or lengths == {0}:
        refuse(
            f"the arrays have {' and '.join(map(str, sorted(lengths)))} examples: all need the same number, at least 1"
        )
    return arrays


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
