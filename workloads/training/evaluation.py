"""A network measured on a set of examples that the ranks share."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from launch.errors import Refusal
from workloads.training.api import Workload
from workloads.training.communicator import Communicator
from workloads.training.pipeline import Pipeline
from workloads.training.sharding import Batches, part
from workloads.training.step import in_float32

LOSS = "loop/loss"  # beside the workload's own statistics, which may have one named loss


class Evaluation:
    """The validation set of a workload, measured with the weights as they are.

    Parameters
    ----------
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

    def __init__(self, workload: Workload, communicator: Communicator, batch: int, cache: int = 0) -> None:
        if not len(workload.validation):
            raise Refusal("the validation set is empty: give the workload examples to be measured on")
        self._workload, self._communicator, self._batch = workload, communicator, batch
        # Measured on are the examples as they are.
        self._examples = Pipeline(replace(workload.validation, augment=None), cache)

        @tf.function
        def sums(inputs: Any, targets: Any) -> dict[str, tf.Tensor]:
            outputs = in_float32(workload.model(inputs, training=False))
            return {LOSS: tf.reduce_sum(workload.loss(targets, outputs)), **workload.statistics(targets, outputs)}

        self._sums = sums

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
