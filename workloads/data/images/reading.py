"""Read an image set from a folder or a file, in whichever of the known layouts it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from launch.errors import Refusal
from workloads.data.images import archive, cifar, idx, rows
from workloads.data.images.sets import Found, Images, ImageSet, by, checked

WANTED = (
    "give --data a folder with MNIST's four idx files, CIFAR's files, binary or for Python, or a train.csv of labels "
    "and pixels; or an .npz or .csv file"
)
PACKED = (".tar", ".tgz", ".zip", ".tar.gz", ".tar.xz")
MNIST = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # training images of each digit
FASHION = [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]  # labels of its first test images; each class has as many training images


class Layout(NamedTuple):
    """How to recognise a layout and how to read it: the files of a folder that have it, and the function for one."""

    found: Callable[[Path], list[Path]]
    read: Callable[[Path], Found]


def _whole(is_here: Callable[[Path], bool]) -> Callable[[Path], list[Path]]:
    return lambda folder: [folder] if is_here(folder) else []


LAYOUTS = (
    Layout(_whole(idx.is_here), idx.read),
    Layout(_whole(cifar.is_binary), cifar.binary),
    Layout(_whole(cifar.is_python), cifar.python),
    Layout(lambda folder: sorted(folder.glob("*.npz")), archive.read),
    Layout(rows.training_files, rows.read),
)
"""The known layouts, in order of preference: a set that a folder has in two of them is read in the first."""


def read(path: Path, classes: int = 0) -> ImageSet:
    """Read an image set, and check all of it.

    Parameters
    ----------
    path : Path
        A folder whose files, or those of its only subfolder with any, are in one of the layouts; or an .npz or .csv
        file.
    classes : int
        Number of classes: labels are 0 to ``classes - 1``. 0: as the layout says, otherwise 10.

    Raises
    ------
    Refusal
        If the set does not exist or is damaged: cut short, of another type or shape, or with labels that are not
        classes.
    """
    found = _find(path)
    count = classes or found.classes or 10
    train, validation = (checked(part, count) for part in (found.train, found.validation))
    if train.pixels.shape[1:] != validation.pixels.shape[1:]:
        shapes = " and ".join(by(images.pixels.shape[1:]) for images in (train, validation))
        raise Refusal(
            f"{path} has images of {shapes} to train and to measure on: give a set whose images have one shape"
        )
    return ImageSet(train, validation, count, _name(train, validation))


def _find(path: Path) -> Found:
    if path.suffix in (".npz", ".csv") and path.is_file():
        return (archive if path.suffix == ".npz" else rows).read(path)
    if not path.is_dir():
        raise Refusal(f"there is no image set {path}: {_unpack([path]) or WANTED}")
    inside = sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    for folders in ([path], inside):
        for layout in LAYOUTS:
            files = [file for folder in folders for file in layout.found(folder)]
            if len(files) > 1:
                raise Refusal(f"{path} has {len(files)} image sets, {', '.join(f.name for f in files)}: give one")
            if files:
                return layout.read(files[0])
    raise Refusal(f"there is no image set in {path}: {_unpack(sorted(path.iterdir())) or WANTED}")


def _unpack(paths: list[Path]) -> str:
    packed = [path.name for path in paths if path.name.endswith(PACKED) and path.is_file()]
    return f"unpack {packed[0]}, and give --data the folder that it makes" if packed else ""


def _name(train: Images, validation: Images) -> str:
    """Return the name of a set that is known and complete, otherwise an empty text."""
    counts = np.bincount(train.labels).tolist()
    shape = train.pixels.shape
    if shape[1:] == (28, 28, 1):
        if counts == MNIST:
            return "MNIST"
        balanced = counts == [6000] * 10 and len(validation.labels) == 10_000
        return "Fashion-MNIST" if balanced and validation.labels[:10].tolist() == FASHION else ""
    whole = shape == (50_000, 32, 32, 3) and len(validation.labels) == 10_000
    return f"CIFAR-{len(counts)}" if whole and counts in ([5000] * 10, [500] * 100) else ""
