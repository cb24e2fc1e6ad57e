"""MNIST's own files, which Fashion-MNIST, KMNIST and EMNIST use too.

Format
------
Two zero bytes, one for the type (8: unsigned byte), one for the number of axes, each axis as a big-endian 32-bit
number, the values; as LeCun, Cortes and Burges describe it with MNIST. Four files: images and labels of both parts.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np

from launch.errors import Refusal
from workloads.data.images.sets import Found, Part, by

UNSIGNED_BYTE = 8  # the type of an idx file that holds pixels or labels
PARTS = {"train": "train", "validation": "t10k|test"}  # how file names say which part they contain
NAME = re.compile(r"(?P<set>.*-)?(?P<part>train|t10k|test)-(?P<kind>images|labels)[-.]idx[134]-ubyte(\.gz)?")
EMNIST = {"byclass": 62, "bymerge": 47, "balanced": 47, "letters": 27}  # number of classes; letters are numbered from 1


def is_here(folder: Path) -> bool:
    """Return whether a folder has files of this format."""
    return any(NAME.fullmatch(path.name) for path in folder.iterdir())


def read(folder: Path) -> Found:
    """Return the set of the four files in a folder.

    Raises
    ------
    Refusal
        If one is missing, exists twice or is damaged.
    """
    train, validation = (_part(folder, part) for part in PARTS)
    name = Path(train.source).name
    classes = next((number for split, number in EMNIST.items() if name.startswith(f"emnist-{split}-")), 0)
    return Found(train, validation, classes)


def array(path: Path) -> np.ndarray:
    """Return the array in an idx file of unsigned bytes, gzipped or not.

    Raises
    ------
    Refusal
        If it is not such a file, or was cut short.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
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
            f"({by(shape)}): fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _part(folder: Path, part: str) -> Part:
    images, labels = (_file(folder, part, kind) for kind in ("images", "labels"))
    pixels = array(images)
    if images.name.startswith("emnist") and pixels.ndim == 3:
        pixels = pixels.transpose(0, 2, 1)  # EMNIST's idx files hold columns where MNIST's hold rows
    return Part(str(images), pixels, array(labels))


def _file(folder: Path, part: str, kind: str) -> Path:
    names = PARTS[part].split("|")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), reverse=True):
        said = NAME.fullmatch(path.name)
        if said and said["part"] in names and said["kind"] == kind:
            found[path.name.removesuffix(".gz")] = path
    if len(found) != 1:
        there = f"{len(found)} files: {', '.join(sorted(found))}" if found else "none"
        name = f"{names[0]}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
        raise Refusal(
            f"{folder} should have one file {name} or .gz and has {there}: "
            "give --data a folder with the four files of one set"
        )
    return next(iter(found.values()))
