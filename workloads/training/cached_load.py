"""Loaded examples that are kept in memory. The cache is by example, as each epoch has them in another order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import tree

from workloads.api import Data

AHEAD = 2  # batches that are kept ready while a step runs


def loader(data: Data, cache: int) -> Callable[[np.ndarray], tuple[Any, Any]]:
    """Return a function that loads a set's examples; those of files are kept, as far as ``cache`` bytes go."""
    return CachedLoad(data.load, cache) if data.files and cache else data.load


class CachedLoad:
    """A function that loads examples and keeps them, as long as there is room. Several threads may call it.

    Parameters
    ----------
    load : function
        Function that loads examples, like that of `Data`.
    room : int
        Bytes that may be kept. What was loaded first stays, as every example is equally likely to be wanted again.
    """

    def __init__(self, load: Callable[[np.ndarray], tuple[Any, Any]], room: int) -> None:
        self._load, self._room = load, room
        self._kept: dict[int, list[np.ndarray]] = {}
        self._structure: Any = None
        self._lock = threading.Lock()

    def __call__(self, index: np.ndarray) -> tuple[Any, Any]:
        """Return the examples; those that are kept are not loaded again."""
        wanted = index.tolist()
        examples = {number: self._kept[number] for number in wanted if number in self._kept}
        if not examples and self._room <= 0:
            return self._load(index)
        if missing := list(dict.fromkeys(number for number in wanted if number not in examples)):
            batch = self._load(np.array(missing))
            self._structure = batch
            examples |= zip(missing, map(list, zip(*(np.asarray(array) for array in tree.flatten(batch)))))
            with self._lock:
                for number in missing:
                    size = sum(part.nbytes for part in examples[number])
                    if number not in self._kept and size <= self._room:  # another thread may have loaded it meanwhile
                        self._room -= size
                        # A copy: a view would keep the whole batch.
                        self._kept[number] = [part.copy() for part in examples[number]]
        parts = zip(*(examples[number] for number in wanted))
        return tree.pack_sequence_as(self._structure, [np.stack(part) for part in parts])
