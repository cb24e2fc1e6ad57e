"""An npz archive with the arrays x_train, y_train, x_test and y_test, as Keras stores MNIST."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from launch.errors import Refusal
from workloads.data.images.sets import Found, Part

ARRAYS = {"train": ("x_train", "y_train"), "validation": ("x_test", "y_test")}


def read(path: Path) -> Found:
    """The set of an archive.

    Raises
    ------
    Refusal
        If it is damaged, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for pair in ARRAYS.values() for name in pair if name not in archive.files]
            if missing:
                raise Refusal(
                    f"{path} has no {', '.join(missing)}: name its arrays as Keras does, "
                    "x_train, y_train, x_test, y_test"
                )
            train, validation = (Part(f"{path}, {name}", archive[x], archive[y]) for name, (x, y) in ARRAYS.items())
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, AttributeError) as error:
        raise Refusal(f"{path} cannot be read as an npz archive ({error}): fetch it again, or save it again") from None
    return Found(train, validation)
