"""A network measured on a set of examples that the ranks share."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from launch.errors import Refusal
from workloads.api import Workload
from workloads.training.engines.interface import Communicator, Engine
from workloads.training.sharding import Batches, part
from workloads.training.step import LOSS


class Evaluation:
    """The validation set of a workload, measured with the weights as they are.

    Parameters
    ----------
    engine : Engine
        By which the batches are loaded and the network is run.
    workload : Workload
        Its ``statistics`` and its loss are summed over the validation set, and summarised.
    communicator : Communicator
        Each rank measures every size-th example.
    batch : int
        Examples at a time.
    cache : int
        Bytes of loaded examples that may be kept from one measurement to the next.

    Raises
    ------
    Refusal
        If there is nothing to measure on.
    """

    def __init__(
        self, engine: Engine, workload: Workload, communicator: Communicator, batch: int, cache: int = 0
    ) -> None:
        if not len(workload.validation):
            raise Refusal("the validation set is empty: give the workload examples to be measured on")
        self._workload, self._communicator, self._batch = workload, communicator, batch
        # Measured on are the examples as they are.
        self._examples = engine.Pipeline(replace(workload.validation, augment=None), cache)
        self._sums = engine.sums(workload)

    def __call__(self) -> dict[str, float]:
        """Measure. Every rank takes part, and gets the metrics of the whole set.

        Returns
        -------
        dict of str to float
            ``loss``, the mean over the examples, and what the workload's ``summarise`` makes of the totals.
        """
        data, rank = self._workload.validation, self._communicator.rank
        indices = list(part(len(data), self._batch, rank.rank, rank.size))
        totals: dict[str, np.ndarray] = {}
        # A rank without examples reads one that does not count, to know the names and shapes of what is summed.
        for inputs, targets in self._examples([partial(_batch, index) for index in indices or [np.arange(1)]]):
            for name, value in self._sums(inputs, targets).items():
                value = np.asarray(value, np.float64)
                totals[name] = totals.get(name, 0.0) + (value if indices else np.zeros_like(value))
        totals = self._communicator.sum(totals)
        loss = float(totals.pop(LOSS)) / len(data)
        return {"loss": loss, **self._workload.summarise(totals, len(data))}


def _batch(index: np.ndarray) -> Batches:
    return Batches(index[None], np.zeros((1, len(index), 2), np.uint64))
