"""A network measured on a set of examples that the ranks share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from launch.errors import Refusal
from workloads.api import Workload
from workloads.training.engines.interface import Communicator, Engine
from workloads.training.sharding import Batches, part
from workloads.training.step import LOSS


class Evaluation:
    """The measurement of a workload's validation set with the weights as they are.

    Parameters
    ----------
    engine : Engine
        Engine that loads the batches and runs the network.
    workload : Workload
        Workload whose loss and ``statistics`` are summed over the validation set, and summarised.
    communicator : Communicator
        The ranks, each of which measures every size-th example.
    batch : int
        Number of examples at a time.
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
        # The examples are measured as they are, not augmented.
        self._examples = engine.Pipeline(replace(workload.validation, augment=None), cache)
        self._sums = engine.sums(workload)

    def __call__(self) -> dict[str, float]:
        """Measure the validation set. Every rank takes part, and gets the metrics of the whole set.

        Returns
        -------
        dict of str to float
            ``loss``, the mean over the examples, and what the workload's ``summarise`` makes of the totals.
        """
        examples, indices = len(self._workload.validation), self._indices()
        totals: dict[str, np.ndarray] = {}
        # A rank without examples reads one that does not count, to know the names and shapes of what is summed.
        for sums in self._sums_of(indices or [np.arange(1)]):
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + (value if indices else np.zeros_like(value))
        totals = self._communicator.sum(totals)
        loss = float(totals.pop(LOSS)) / examples
        return {"loss": loss, **self._workload.summarise(totals, examples)}

    def rehearse(self) -> None:
        """Measure one batch, so that a mistake in the workload's ``statistics`` or ``summarise`` shows before the first
        step, and not after the first epoch. What is compiled for it serves the measurements to come."""
        index = (self._indices() or [np.arange(1)])[0]
        (totals,) = self._sums_of([index])
        del totals[LOSS]
        # One batch may lack what the whole set has, such as examples of each class: what this does to numbers is not
        # a mistake.
        with contextlib.suppress(ArithmeticError, ValueError), np.errstate(all="ignore"):
            self._workload.summarise(totals, len(index))

    def _indices(self) -> list[np.ndarray]:
        """Return the examples of this rank, a batch at a time."""
        rank = self._communicator.rank
        return list(part(len(self._workload.validation), self._batch, rank.rank, rank.size))

    def _sums_of(self, indices: Sequence[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        for inputs, targets in self._examples([partial(_batch, index) for index in indices]):
            yield {name: np.asarray(value, np.float64) for name, value in self._sums(inputs, targets).items()}


def _batch(index: np.ndarray) -> Batches:
    return Batches(index[None], np.zeros((1, len(index), 2), np.uint64))
