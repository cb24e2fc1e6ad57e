"""CIFAR-10 and CIFAR-100, in their binary version and in that for Python, as Krizhevsky describes them with the data.

Format
------
Binary: records of one label byte (CIFAR-10), or a coarse and a fine one (CIFAR-100), and 3 x 32 x 32 pixels, channel by
channel. Python: pickled dictionaries, ``data`` uint8 (N, 3072) in the same order, and ``labels``, or ``fine_labels`` of
CIFAR-100. The fine labels are the classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from launch.errors import Refusal
from workloads.data import pickles
from workloads.data.images.sets import Found, Part

PIXELS = 3 * 32 * 32
TEN = [f"data_batch_{number}" for number in range(1, 6)], ["test_batch"]
HUNDRED = ["train"], ["test"]


def is_binary(folder: Path) -> bool:
    """Return whether a folder has files of the binary version."""
    return any(folder.glob("*.bin"))


def is_python(folder: Path) -> bool:
    """Return whether a folder has files of the version for Python."""
    return any((folder / name).is_file() for names in (*TEN, *HUNDRED) for name in names)


def binary(folder: Path) -> Found:
    """Return the set in a folder with the binary version.

    Raises
    ------
    Refusal
        If a file is missing or was cut short.
    """
    return _read(folder, ".bin", _records)


def python(folder: Path) -> Found:
    """Return the set in a folder with the version for Python. Its pickles cannot run any code.

    Raises
    ------
    Refusal
        If a file is missing, is not such a pickle, or was cut short.
    """
    return _read(folder, "", _pickle)


def _read(folder: Path, suffix: str, read: Callable[[Path, bool], tuple[np.ndarray, np.ndarray]]) -> Found:
    fine = (folder / f"train{suffix}").is_file()
    train, validation = (
        _part(folder, [name + suffix for name in names], fine, read) for names in (HUNDRED if fine else TEN)
    )
    return Found(train, validation, 100 if fine else 10)


def _part(folder: Path, names: Sequence[str], fine: bool, read: Callable) -> Part:
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise Refusal(
            f"{folder} has no {', '.join(missing)}: give --data a folder with all files of CIFAR-10 or CIFAR-100"
        )
    pixels, labels = zip(*(read(folder / name, fine) for name in names))
    images = np.concatenate(pixels).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Part(f"{folder}, {names[0]}", np.ascontiguousarray(images), np.concatenate(labels))


def _records(path: Path, fine: bool) -> tuple[np.ndarray, np.ndarray]:
    head = 2 if fine else 1
    data = np.fromfile(path, np.uint8)
    if not len(data) or len(data) % (head + PIXELS):
        raise Refusal(f"{path} has {len(data)} bytes, not a multiple of a record's {head + PIXELS}: fetch it again")
    records = data.reshape(-1, head + PIXELS)
    return records[:, head:], records[:, head - 1]


def _pickle(path: Path, fine: bool) -> tuple[np.ndarray, np.ndarray]:
    try:
        found = pickles.load(path)
    except (OSError, pickles.Unreadable) as error:
        raise Refusal(f"{path} cannot be read as a pickle of images ({error}): fetch it again") from None
    keys = ["data", "fine_labels" if fine else "labels"]
    named = {_text(key): value for key, value in found.items()} if isinstance(found, dict) else {}
    if missing := [key for key in keys if key not in named]:
        raise Refusal(f"{path} has no {', '.join(missing)}: give CIFAR's files, or others with these names")
    try:
        pixels, labels = (np.asarray(named[key]) for key in keys)
    except ValueError as error:  # lists of different lengths
        raise Refusal(f"{path} has no arrays ({error}): fetch it again") from None
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise Refusal(
            f"{path} has images of shape {' x '.join(map(str, pixels.shape))} and type {pixels.dtype}: "
            f"give uint8, (N, {PIXELS})"
        )
    if len(labels) != len(pixels) if labels.ndim else True:
        raise Refusal(f"{path} has {len(pixels)} images and {labels.size} labels: give as many of each")
    return pixels, labels


def _text(key: Any) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)
