"""Max-pooling on a processor, where XLA's gradient takes some 20 times as long as comparing the cells of a window."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import keras.src.backend.jax.nn as of_keras  # used by all layers of Keras, without a public name
import numpy as np

from workloads.training.engines.jax.convolution import is_plain, neighbours

_max_pool: Any = of_keras.max_pool


def use_comparisons() -> None:
    """Make the layers of Keras pool as this module does."""
    of_keras.max_pool = max_pool


def max_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Any:
    """Compute ``keras.ops.max_pool``: the first of equal cells gets the gradient, and a NaN makes its window NaN."""
    counts = inputs.shape[1:-1]
    sizes = [int(size) for size in np.broadcast_to(pool_size, len(counts))]
    steps = sizes if strides is None else [int(step) for step in np.broadcast_to(strides, len(counts))]
    filled = padding.lower() == "valid" or not any(count % size for count, size in zip(counts, sizes))
    if sizes != steps or not filled or not is_plain(data_format):
        return _max_pool(inputs, pool_size, strides, padding, data_format)
    windows = [count // size for count, size in zip(counts, sizes)]
    largest, *others = neighbours(jnp.asarray(inputs), sizes, steps, windows)
    for cells in others:
        largest = jnp.where((cells > largest) | jnp.isnan(cells), cells, largest)
    return largest
