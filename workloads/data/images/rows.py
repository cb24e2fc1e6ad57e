"""Images as rows of a csv file: the digit recogniser's train.csv, and MNIST and Fashion-MNIST in the same form.

Format
------
A line per image: its label, and its pixels row by row, whole numbers of 0 to 255; as many pixels as a square has. The
first line names the columns, of which one is ``label``; without names, the first column has the labels. One file is
train.csv or ends with _train.csv; its twin, test.csv or _test.csv, is measured on if it has labels. The digit
recogniser's has none: then the last seventh of the training images is, as MNIST has a test image for six others.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np

from launch.errors import Refusal
from workloads.data.images.sets import Found, Part

LABEL = "label"
HELD = 7  # one image in this many is measured on, if there is no file of test images


def training_files(folder: Path) -> list[Path]:
    """Return the files of a folder that have training images, going by their names."""
    return sorted(folder.glob("*train.csv"))


def read(path: Path) -> Found:
    """Return the set of a csv file and of the file beside it that has the test images.

    Raises
    ------
    Refusal
        If a file is damaged, or its values are not labels and pixels.
    """
    pixels, labels = _images(path)
    twin = path.with_name(f"{path.stem.removesuffix('train')}test.csv")
    if path.stem.endswith("train") and twin.is_file() and _has_labels(twin):
        return Found(Part(str(path), pixels, labels), Part(str(twin), *_images(twin)))
    first = len(labels) - max(1, len(labels) // HELD)
    if not first:
        raise Refusal(f"{path} has one image: give more, to learn from and to measure on")
    return Found(
        Part(f"{path}, train", pixels[:first], labels[:first]),
        Part(f"{path}, the last seventh", pixels[first:], labels[first:]),
    )


def _has_labels(path: Path) -> bool:
    names = _names(path)
    return names is None or LABEL in names


def _names(path: Path) -> list[str] | None:
    """Return the names of the columns, if the first line has them."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            words = [word.strip().strip('"').lower() for word in file.readline().split(",")]
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} cannot be read as a table ({error}): give a csv file of labels and pixels") from None
    if words == [""]:
        raise Refusal(f"{path} is empty, or its first line is: give a csv file with a row for each image")
    return None if all(word.replace(".", "", 1).isdigit() for word in words) else words


def _images(path: Path) -> tuple[np.ndarray, np.ndarray]:
    names = _names(path)
    if names and names.count(LABEL) != 1:
        raise Refusal(f"{path} has {names.count(LABEL)} columns named {LABEL!r}: name the one that has the labels so")
    label = names.index(LABEL) if names else 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a file without rows, which is refused below
            skip = 1 if names else 0
            table = np.loadtxt(path, np.float32, delimiter=",", skiprows=skip, ndmin=2, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = str(error).partition(";")[0].rstrip(".")
        raise Refusal(f"{path} cannot be read as rows of pixels ({reason}): was it cut short?") from None
    if not table.size:
        raise Refusal(f"{path} has no rows: give a csv file with a row for each image")
    side = math.isqrt(table.shape[1] - 1)
    if side < 1 or side * side != table.shape[1] - 1 or names and len(names) != table.shape[1]:
        raise Refusal(
            f"{path} has {table.shape[1]} columns{f' and {len(names)} names' if names else ''}: "
            "give a label and the pixels of a square image, such as 1 + 784"
        )
    wrong = ~((table >= 0) & (table <= 255) & (table == np.rint(table)))  # a NaN passes none of them
    if wrong.any():
        row, column = (int(axis[0]) for axis in np.nonzero(wrong))
        raise Refusal(
            f"{path} has {table[row, column]:g} in row {row + 1}, column {column + 1}: "
            "give labels and pixels that are whole numbers of 0 to 255"
        )
    values = table.astype(np.uint8)
    return np.delete(values, label, axis=1).reshape(-1, side, side), values[:, label].astype(np.int64)
