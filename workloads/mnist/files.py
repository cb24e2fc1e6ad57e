"""Image sets as they are published: MNIST's idx files, npz archives, CIFAR's binary files.

Formats
-------
idx: two zero bytes, one for the type (8: unsigned byte), one for the number of axes, each axis as a big-endian 32-bit
number, the values; as LeCun, Cortes and Burges describe it with MNIST. Fashion-MNIST, KMNIST and EMNIST use it too.
CIFAR: records of one label byte (CIFAR-10), or a coarse and a fine one (CIFAR-100), and 3 x 32 x 32 pixels, channel by
channel; as Krizhevsky describes it with the data.
"""

from __future__ import annotations

import gzip
import math
import re
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from launch.errors import Refusal

UNSIGNED_BYTE = 8  # the type of an idx file that holds pixels or labels
CIFAR_PIXELS = 3 * 32 * 32
PARTS = {"train": ("train",), "validation": ("t10k", "test")}  # how file names say which part they contain
ARRAYS = {"train": ("x_train", "y_train"), "validation": ("x_test", "y_test")}  # in an npz archive, as Keras names them


class Images(NamedTuple):
    """Some images and what they show.

    Parameters
    ----------
    pixels : ndarray of uint8, (N, H, W, C)
        C is 1 or 3.
    labels : ndarray of int64, (N,)
        The class of each.
    """

    pixels: np.ndarray
    labels: np.ndarray


class ImageSet(NamedTuple):
    """Training images, and others of the same shape to measure on."""

    train: Images
    validation: Images
    classes: int


def read(path: Path, classes: int = 0) -> ImageSet:
    """Read an image set, and check all of it.

    Parameters
    ----------
    path : Path
        A folder with the four idx files (or their .gz) or CIFAR's .bin files, or an .npz file.
    classes : int
        Labels are 0 to ``classes - 1``; 0: 10, and 100 for CIFAR-100.

    Raises
    ------
    Refusal
        If the set does not exist or is damaged: cut short, of another type or shape, or with labels that are not
        classes.
    """
    if path.is_dir() and list(path.glob("*.bin")):
        parts, known = _cifar(path)
    elif path.is_dir():
        parts, known = {part: _idx_part(path, part) for part in PARTS}, 10
    elif path.suffix == ".npz" and path.is_file():
        parts, known = _npz(path), 10
    else:
        raise Refusal(
            f"there is no image set {path}: give --data a folder with MNIST's four idx files or CIFAR's .bin files, "
            "or an .npz file"
        )
    checked = {part: _checked(f"{path}, {part}", *arrays, classes or known) for part, arrays in parts.items()}
    train, validation = checked["train"], checked["validation"]
    if train.pixels.shape[1:] != validation.pixels.shape[1:]:
        shapes = " and ".join(_by(images.pixels.shape[1:]) for images in (train, validation))
        raise Refusal(
            f"{path} has images of {shapes} to train and to measure on: give a set whose images have one shape"
        )
    return ImageSet(train, validation, classes or known)


def held_out(images: ImageSet, count: int) -> ImageSet:
    """Measure on the last training images, and train on those before them: the test images are not for choosing.

    Parameters
    ----------
    images : ImageSet
        As published.
    count : int
        Images to measure on.

    Raises
    ------
    Refusal
        If no image is left to train on.
    """
    there = len(images.train.labels)
    if count >= there:
        raise Refusal(f"--hold-out {count} leaves nothing of {there} training images to learn from: give fewer")
    train, held = (Images(*(array[part] for array in images.train)) for part in (slice(-count), slice(-count, None)))
    return ImageSet(train, held, images.classes)


def idx(path: Path) -> np.ndarray:
    """The array in an idx file of unsigned bytes, gzipped or not.

    Raises
    ------
    Refusal
        If it is not such a file, or was cut short.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Refusal(f"{path} cannot be unpacked ({error}): fetch it again") from None
    axes = data[3] if len(data) > 3 else 0
    if data[:2] != b"\0\0" or data[2:3] != bytes([UNSIGNED_BYTE]) or axes not in (1, 3, 4):
        raise Refusal(
            f"{path} is not an idx file of images or labels (it begins with {data[:4].hex(' ') or 'nothing'}, "
            "not 00 00 08 01 or 00 00 08 03): give MNIST's files or others in their format"
        )
    start = 4 + 4 * axes
    shape = tuple(int(length) for length in np.frombuffer(data[4:start].ljust(4 * axes, b"\0"), ">u4"))
    if len(data) - start != math.prod(shape):
        raise Refusal(
            f"{path} has {max(0, len(data) - start)} bytes of values, and its header says {math.prod(shape)} "
            f"({_by(shape)}): fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _idx_part(folder: Path, part: str) -> tuple[str, np.ndarray, np.ndarray]:
    images, labels = (_idx_file(folder, part, kind) for kind in ("images", "labels"))
    pixels = idx(images)
    if images.name.startswith("emnist") and pixels.ndim == 3:
        pixels = pixels.transpose(0, 2, 1)  # EMNIST's idx files hold columns where MNIST's hold rows
    return images.name, pixels, idx(labels)


def _idx_file(folder: Path, part: str, kind: str) -> Path:
    pattern = re.compile(rf"(.*-)?({'|'.join(PARTS[part])})-{kind}[-.]idx[134]-ubyte(\.gz)?")
    found = {
        path.name.removesuffix(".gz"): path
        for path in sorted(folder.iterdir(), reverse=True)
        if pattern.fullmatch(path.name)
    }
    if len(found) != 1:
        there = f"{len(found)} files: {', '.join(sorted(found))}" if found else "none"
        name = f"{PARTS[part][0]}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
        raise Refusal(
            f"{folder} should have one file {name} or .gz and has {there}: "
            "give --data a folder with the four files of one set"
        )
    return next(iter(found.values()))


def _npz(path: Path) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for pair in ARRAYS.values() for name in pair if name not in archive.files]
            if missing:
                raise Refusal(
                    f"{path} has no {', '.join(missing)}: name its arrays as Keras does, "
                    "x_train, y_train, x_test, y_test"
                )
            return {part: (part, archive[x], archive[y]) for part, (x, y) in ARRAYS.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError) as error:
        raise Refusal(f"{path} cannot be read as an npz archive ({error}): fetch it again, or save it again") from None


def _cifar(folder: Path) -> tuple[dict[str, tuple[str, np.ndarray, np.ndarray]], int]:
    """CIFAR-10 from data_batch_1.bin ... and test_batch.bin, CIFAR-100 (fine labels) from train.bin and test.bin."""
    fine = (folder / "train.bin").is_file()
    names = {"train": ["train.bin"], "validation": ["test.bin"]}
    if not fine:
        names = {"train": [f"data_batch_{n}.bin" for n in range(1, 6)], "validation": ["test_batch.bin"]}
    head = 2 if fine else 1
    parts = {}
    for part, files in names.items():
        if missing := [name for name in files if not (folder / name).is_file()]:
            raise Refusal(
                f"{folder} has no {', '.join(missing)}: "
                "give --data a folder with all binary files of CIFAR-10 or CIFAR-100"
            )
        records = np.concatenate([_records(folder / name, head + CIFAR_PIXELS) for name in files])
        pixels = records[:, head:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        parts[part] = part, np.ascontiguousarray(pixels), records[:, head - 1]
    return parts, 100 if fine else 10


def _records(path: Path, size: int) -> np.ndarray:
    data = np.fromfile(path, np.uint8)
    if not len(data) or len(data) % size:
        raise Refusal(f"{path} has {len(data)} bytes, not a multiple of a record's {size}: fetch it again")
    return data.reshape(-1, size)


def _checked(where: str, name: str, pixels: np.ndarray, labels: np.ndarray, classes: int) -> Images:
    """The images, with a channel axis, if they can be learned from."""
    if pixels.dtype != np.uint8 or not (pixels.ndim == 3 or pixels.ndim == 4 and pixels.shape[-1] in (1, 3)):
        raise Refusal(
            f"{where}: images of shape {_by(pixels.shape)} and type {pixels.dtype} ({name}): "
            "give uint8, (N, H, W) or (N, H, W, 1 or 3)"
        )
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels  # as in Keras' CIFAR
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise Refusal(f"{where}: labels of shape {_by(labels.shape)} and type {labels.dtype}: give whole numbers, (N,)")
    if len(pixels) != len(labels):
        raise Refusal(f"{where}: {len(pixels)} images and {len(labels)} labels: give as many of each")
    if not len(labels):
        raise Refusal(f"{where}: there are no images: give some")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        raise Refusal(
            f"{where}: label {labels[outside[0]]} of image {outside[0]} is not one of the {classes} classes "
            f"0 to {classes - 1}: give --classes, or fix the labels"
        )
    return Images(pixels if pixels.ndim == 4 else pixels[..., None], labels.astype(np.int64))


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
