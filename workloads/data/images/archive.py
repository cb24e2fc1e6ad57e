"""An npz archive with the arrays x_train, y_train, x_test and y_test, as Keras stores MNIST."""

from __future__ import annotations

from pathlib import Path

from launch.errors import Refusal
from workloads.data import pickles
from workloads.data.images.sets import Found, Part

ARRAYS = {"train": ("x_train", "y_train"), "validation": ("x_test", "y_test")}


def read(path: Path) -> Found:
    """Return the image set in an archive.

    Raises
    ------
    Refusal
        If it is damaged, or lacks an array of numbers.
    """
    try:
        found = pickles.npz(path)
        missing = [name for pair in ARRAYS.values() for name in pair if name not in found]
        if missing:
            raise Refusal(
                f"{path} has no {', '.join(missing)}: name its arrays as Keras does, x_train, y_train, x_test, y_test"
            )
        train, validation = (
            Part(f"{path}, {name}", *(pickles.numbers(found.pop(array)) for array in pair))
            for name, pair in ARRAYS.items()
        )
    except pickles.Unreadable as error:
        raise Refusal(f"{path} cannot be read as an npz archive ({error}): fetch it again, or save it again") from None
    return Found(train, validation)
