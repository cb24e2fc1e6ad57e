"""Batches loaded ahead of the step that needs them."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from workloads.api import Data

AHEAD = 2  # batches that wait, ready, while a step runs


def batches(data: Data, dealt: Iterable[tuple[np.ndarray, np.ndarray | None]]) -> Iterator[tuple[Any, Any]]:
    """Load a batch for each index array, in order, ahead of their use.

    Threads rather than ``tf.data``: whatever ``load`` returns needs no declaration, its errors arrive as they were raised,
    with their traceback, and the pipeline starts at any step without running through those before it.

    Parameters
    ----------
    data : Data
        What to load from, with how many threads.
    dealt : iterable of (index, seeds)
        The examples of each batch, int64 (batch,), and their seeds, uint64 (batch, 2), for ``data.augment``; None leaves them
        as they are.

    Yields
    ------
    inputs, targets
        Tensors, in the structures that ``data.load`` gives.
    """
    import tensorflow as tf

    def load(index: np.ndarray, seeds: np.ndarray | None) -> tuple[Any, Any]:
        batch = data.load(index)
        if data.augment and seeds is not None:
            batch = data.augment(*batch, seeds)
        return tf.nest.map_structure(tf.convert_to_tensor, batch)

    with ThreadPoolExecutor(data.threads, thread_name_prefix="input") as pool:
        waiting: deque = deque()
        try:
            for index, seeds in dealt:
                waiting.append(pool.submit(load, index, seeds))
                if len(waiting) >= data.threads + AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # also when the loop stops early
            pool.shutdown(cancel_futures=True)
