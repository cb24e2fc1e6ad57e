"""Examples loaded ahead of their step by threads of Python:   batch indices -> load -> cache -> augment -> device

The order of the batches is that of the steps, whatever thread is first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import jax
import numpy as np
from keras import tree

from workloads.api import Data
from workloads.training.cached_load import AHEAD, loader
from workloads.training.sharding import Batches


class Pipeline:
    """See `engines.interface.Pipeline`."""

    def __init__(self, data: Data, cache: int = 0) -> None:
        self._augment, self._threads = data.augment, data.threads
        self._load = loader(data, cache)
        self._first: list[np.ndarray] = []

    def __call__(self, batches: Sequence[Callable[[], Batches]]) -> Generator[tuple[Any, Any], None, None]:
        """See `engines.interface.Pipeline`."""
        pool = ThreadPoolExecutor(self._threads, "pipeline")
        steps = ((index, seeds) for each in batches for index, seeds in _steps(each()))
        waiting: deque[Future] = deque(pool.submit(self._batch, *step) for step in islice(steps, AHEAD + 1))
        return self._loaded(pool, steps, waiting)

    def _loaded(self, pool: ThreadPoolExecutor, steps: Iterator, waiting: deque[Future]) -> Generator[Any, None, None]:
        try:
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(pool.submit(self._batch, *step) for step in islice(steps, 1))
                yield batch
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _batch(self, index: np.ndarray, seeds: np.ndarray) -> Any:
        # What a workload computes here is for the processor: the device is busy with the step.
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            batch = self._load(index)
            if self._augment:
                batch = self._augment(*batch, seeds)
            batch = tree.map_structure(np.asarray, batch)
        self._check(tree.flatten(batch))
        return jax.device_put(batch)

    def _check(self, arrays: list[np.ndarray]) -> None:
        """Make sure that each batch has the types and shapes of the first, or the step would be compiled for each."""
        self._first = self._first or [array[:0] for array in arrays]
        for array, first in zip(arrays, self._first, strict=True):
            if (array.dtype, array.shape[1:]) != (first.dtype, first.shape[1:]):
                raise ValueError(
                    f"a batch has {array.dtype} {array.shape} where the first had {first.dtype.name} "
                    f"{(None, *first.shape[1:])}: give all examples one shape and type"
                )


def _steps(batches: Batches) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return zip(batches.indices, batches.seeds)
