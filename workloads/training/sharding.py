"""Which example goes to which rank at which step: pure functions of (seed, epoch, step).

The training set is split into shards first, and shuffled within each shard then: no example is seen twice in an epoch,
whatever the number of ranks, and a rank needs only its own shards. A step takes equally many examples of each shard, so
that with a fixed number of shards the examples of a step do not depend on how many ranks share them:
the batches of the ranks, one after the other, are the batch that one rank would have had.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from launch.errors import Refusal


class Batches(NamedTuple):
    """The batches of some steps of one rank, in the order of the steps.

    Parameters
    ----------
    indices : ndarray of int64, (steps, batch)
        Indices of the examples.
    seeds : ndarray of uint64, (steps, batch, 2)
        A pair for each example: its index, and a number that is made from the run's seed and the epoch.
    """

    indices: np.ndarray
    seeds: np.ndarray


@dataclass(frozen=True)
class Sharding:
    """How the ranks share a training set.

    Parameters
    ----------
    examples : int
        Number of examples in the training set.
    batch : int
        Examples per rank per step.
    size : int
        Number of ranks.
    seed : int
        Seed of the shuffling.
    shards : int
        Number of shards, a multiple of ``size``; rank r has the r-th block of ``shards / size`` of them.
        0: one per rank. Example i belongs to shard ``i % shards``, so that a shard of a sorted set resembles it.

    Raises
    ------
    Refusal
        If the ranks cannot share the shards equally, or there are too few examples for one step.
    """

    examples: int
    batch: int
    size: int
    seed: int
    shards: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shards", self.shards or self.size)
        if self.shards % self.size:
            raise Refusal(
                f"{self.shards} shards cannot be shared by {self.size} ranks: "
                f"give a multiple of {self.size} as --shards"
            )
        if self.batch % self.shards_per_rank:
            raise Refusal(
                f"a batch of {self.batch} does not take equally much from the {self.shards_per_rank} shards of a rank: "
                f"give a multiple of {self.shards_per_rank} as --batch, or fewer --shards"
            )
        smallest = self.examples // self.shards
        if smallest == 0:
            raise Refusal(
                f"{self.examples} training examples leave some of {self.shards} shards empty: "
                "use fewer ranks and shards, or more data"
            )
        if smallest * self.shards_per_rank < self.batch:
            raise Refusal(
                f"{self.examples} training examples are fewer than one step takes ({self.batch} on each of "
                f"{self.size} ranks): use --batch {smallest * self.shards_per_rank} or less, fewer ranks, or more data"
            )

    @property
    def shards_per_rank(self) -> int:
        """Shards of each rank."""
        return self.shards // self.size

    @property
    def chunk(self) -> int:
        """Examples that a step takes from each shard."""
        return self.batch * self.size // self.shards

    @property
    def steps_per_epoch(self) -> int:
        """Steps of every rank in an epoch; up to a step's worth of examples, others each time, are left out."""
        return self.examples // self.shards // self.chunk

    def examples_of(self, rank: int) -> np.ndarray:
        """Return all examples that a rank can meet in any epoch: those of its shards."""
        shard = np.arange(self.examples) % self.shards
        return np.flatnonzero(shard // self.shards_per_rank == rank)

    def epoch(self, epoch: int, rank: int) -> np.ndarray:
        """Return the examples of one rank in one epoch.

        Returns
        -------
        ndarray of int64, (steps_per_epoch, batch)
            Row s is the batch of step s, counted from 0 within the epoch.
        """
        steps, chunk = self.steps_per_epoch, self.chunk
        parts = []
        for shard in range(rank * self.shards_per_rank, (rank + 1) * self.shards_per_rank):
            own = np.arange(shard, self.examples, self.shards)
            # Philox is counter-based: its stream for one key tells nothing about that for the next.
            random = np.random.Generator(np.random.Philox(np.random.SeedSequence((self.seed, epoch, shard))))
            parts.append(random.permutation(own)[: steps * chunk].reshape(steps, chunk))
        return np.concatenate(parts, axis=1)

    def batches(self, rank: int, start: int, stop: int) -> list[Callable[[], Batches]]:
        """Return the batches of one rank for the steps ``start <= step < stop``, counted from 0 over the whole run.

        Returns
        -------
        list of function
            One function per epoch, which gives the batches of those steps that are in it.
        """

        def of_epoch(epoch: int, first: int, last: int) -> Batches:
            indices = self.epoch(epoch, rank)[first:last]
            number = np.random.SeedSequence((self.seed, epoch)).generate_state(1, np.uint64)
            seeds = np.stack([indices.astype(np.uint64), np.broadcast_to(number, indices.shape)], axis=2)
            return Batches(indices, seeds)

        length = self.steps_per_epoch
        return [
            functools.partial(of_epoch, epoch, max(start - epoch * length, 0), min(stop - epoch * length, length))
            for epoch in range(start // length, -(-stop // length))
        ]


def part(examples: int, batch: int, rank: int, size: int) -> Iterator[np.ndarray]:
    """Yield a rank's batches when every example is wanted once, as in an evaluation: examples rank, rank + size, ...

    The last batch can be shorter; ranks can differ by one example, and with fewer examples than ranks some have none.
    """
    own = np.arange(rank, examples, size)
    for first in range(0, len(own), batch):
        yield own[first : first + batch]
