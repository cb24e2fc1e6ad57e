"""The folds of a cross-validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from launch.errors import Refusal
from launch.plan.typed import Bounds

if TYPE_CHECKING:
    import numpy as np

Folds = Annotated[int, Bounds(2)]


def refuse_other(fold: int, folds: int) -> None:
    """Make sure that a fold exists.

    Raises
    ------
    Refusal
        If it does not.
    """
    if fold >= folds:
        raise Refusal(f"--fold {fold} is not one of {folds} folds: give 0 to {folds - 1}")


def divide(rows: int, folds: int, which: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide shuffled rows into folds of nearly one size, and hold one of them out.

    Parameters
    ----------
    rows, folds : int
        Number of rows and number of folds.
    which : int
        Index of the fold that is held out, from 0.
    seed : int
        Seed of the shuffling, the same for all folds of a cross-validation.

    Returns
    -------
    tuple of ndarray of int64
        Indices of the rows to learn from, and of those held out, each in ascending order.

    Raises
    ------
    Refusal
        If a fold would be empty, or nothing would be left to learn from.
    """
    import numpy as np

    if rows < folds:
        raise Refusal(f"{rows} rows are too few for {folds} folds: give --folds {rows} at most, or more rows")
    parts = np.array_split(np.random.default_rng(seed).permutation(rows), folds)
    held = parts.pop(which)
    return np.sort(np.concatenate(parts)), np.sort(held)


def standard_error(values: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean over the first axis, that of the folds."""
    return values.std(axis=0, ddof=1) / len(values) ** 0.5
