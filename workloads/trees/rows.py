"""The rows that each rank learns from, read from a csv file or generated."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from launch.errors import Refusal
from workloads.data import tables
from workloads.data.folds import divide

BLOCK = 2**14  # rows that are generated from one seed
FIRST = 2**16  # training rows, the same on all ranks, whose quantiles are the edges of the histograms
TEST_PART = 0.1  # part of a file's rows that is the test set
TEST_ROWS = 20_000  # generated rows of the test set
NOISE = 1.0  # standard deviation of the noise in generated rows: no model can reach a lower RMSE


class Rows(NamedTuple):
    """Inputs, float32 (N, columns), and targets, float32 (N,)."""

    inputs: np.ndarray
    targets: np.ndarray

    def part(self, which: int, parts: int) -> Rows:
        """Return one of several parts of nearly equal size, each of consecutive rows."""
        first, end = (which_ * len(self.targets) // parts for which_ in (which, which + 1))
        return Rows(self.inputs[first:end], self.targets[first:end])


class Share(NamedTuple):
    """The rows of one rank.

    Parameters
    ----------
    mine : Rows
        Rows that the rank learns from.
    first : Rows
        The first training rows of all, the same on every rank.
    test : Rows
        Rows that the rank measures on; those of all ranks together are the test set.
    total : int
        Number of training rows of all ranks.
    """

    mine: Rows
    first: Rows
    test: Rows
    total: int


def of_file(path: Path, target: str, seed: int, rank: int, size: int) -> Share:
    """Return a rank's share of the rows of a csv file, of which a tenth, chosen at random, is the test set.

    Raises
    ------
    Refusal
        If the file is not a table of numbers (`tables.read`), or has too few rows.
    """
    table = tables.read(path, target)
    parts = [table.of(rows) for rows in divide(len(table.targets), round(1 / TEST_PART), 0, seed)]
    train, test = (Rows(part.inputs.astype(np.float32), part.targets.astype(np.float32)) for part in parts)
    if len(test.targets) < size:
        raise Refusal(f"{path} has {len(table.targets)} rows, too few for {size} ranks: give {10 * size} or more")
    return Share(
        train.part(rank, size), Rows(*(each[:FIRST] for each in train)), test.part(rank, size), len(train.targets)
    )


def of_function(total: int, seed: int, rank: int, size: int) -> Share:
    """Return a rank's share of generated rows; each row is the same whatever the number of ranks.

    Raises
    ------
    Refusal
        If there are fewer rows than ranks.
    """
    if total < size:
        raise Refusal(f"--rows {total} are too few for {size} ranks: give more")
    mine = friedman(rank * total // size, (rank + 1) * total // size, seed)
    test = friedman(0, TEST_ROWS, seed + 2**31).part(rank, size)
    return Share(mine, friedman(0, min(total, FIRST), seed), test, total)


def friedman(first: int, end: int, seed: int) -> Rows:
    """Generate some rows of an endless table of Friedman's first function.

    10 sin(pi x0 x1) + 20 (x2 - 1/2)^2 + 10 x3 + 5 x4 + noise, of ten inputs in 0 to 1, five of which do not matter (J.
    Friedman, "Multivariate adaptive regression splines", Annals of Statistics 19, 1991, equation 56).

    Parameters
    ----------
    first, end : int
        Index of the first row, and of the one after the last.
    seed : int
        Seed of the table.
    """
    blocks = range(first // BLOCK, -(-end // BLOCK))
    drawn = [np.random.default_rng([seed, block]) for block in blocks]
    x, noise = (np.concatenate(each) for each in zip(*((r.random((BLOCK, 10)), r.normal(size=BLOCK)) for r in drawn)))
    inner = slice(first - blocks.start * BLOCK, end - blocks.start * BLOCK)
    x, noise = x[inner], noise[inner]
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return Rows(x.astype(np.float32), (y + NOISE * noise).astype(np.float32))
