"""Obstacles in a channel: random ovals and boxes, and masks from files."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from launch.errors import Refusal
from workloads.data import pickles

Split = Literal["train", "validation", "test"]
# The published layout: half-axes of 20 to 39 cells in a channel of 128.
HALF_AXES = 20 / 128, 39 / 128
# Share of the channel's height that obstacles leave open in every column. With less, the flow between them is a jet
# that is too fast for the method (above 0.25 cells per step at u_max = 0.1) and seldom steady.
OPEN = 0.4
INLET = 1 / 8  # of the height: columns after the inlet that stay free
# A hash of its cells assigns one random shape in eight to the validation set and one to the test set, so that no shape
# can be in two sets.
SHARES = 8
FROM_FILE = 1 / 2  # of the width: greatest length of an obstacle from a file, which begins at 1 / 8 of the width
SUFFIXES = ".npy", ".txt"


def random_mask(rng: np.random.Generator, height: int, width: int, count: int, split: Split) -> np.ndarray:
    """Draw ovals and boxes at random places, turned by random angles, some of them over another or over a wall.

    Parameters
    ----------
    rng : numpy Generator
        Generator that is used until the obstacles leave the channel open and belong to the requested set.
    height, width : int
        Number of cells across the channel, and along the part of it where obstacles may lie.
    count : int
        Number of obstacles.
    split : "train", "validation" or "test"
        The set that the shape is for. No shape, and no mirror image of it, belongs to two of them.

    Returns
    -------
    array (height, width), bool

    Raises
    ------
    Refusal
        If that many obstacles do not leave the channel open.
    """
    y, x = np.mgrid[:height, :width] + 0.5
    for _ in range(2000):
        mask = np.zeros((height, width), bool)
        for _ in range(count):
            a, b = rng.uniform(*HALF_AXES, 2) * height
            cx, cy, angle = (
                rng.uniform(INLET * height + max(a, b), width),
                rng.uniform(0, height),
                rng.uniform(0, np.pi),
            )
            along = ((x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)) / a
            across = ((y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)) / b
            oval = rng.integers(2) == 0
            mask |= (along**2 + across**2 < 1) if oval else (np.maximum(abs(along), abs(across)) < 1)
        if fault(mask) is None:
            mask = ~reached(mask)  # enclosed fluid is at rest: it counts as obstacle
            if fault(mask) is None and split_of(mask) == split:
                return mask
    raise Refusal(
        f"{count} obstacles do not fit into a channel of {height} x {width} cells with {OPEN:.0%} of it open: "
        "give fewer, or more width"
    )


def split_of(mask: np.ndarray) -> Split:
    """Return the set to which a random shape and its mirror image belong."""
    mirrored = min(np.packbits(mask).tobytes(), np.packbits(mask[::-1]).tobytes())
    share = zlib.crc32(mirrored) % SHARES
    return "validation" if share == 0 else "test" if share == 1 else "train"


def reached(mask: np.ndarray) -> np.ndarray:
    """Return the fluid that is connected with the inlet, also over corners: the lattice has diagonal links."""
    label: Any = ndimage.label
    parts, _ = label(~mask, np.ones((3, 3)))
    return ~mask & np.isin(parts, parts[:, 0])


def fault(mask: np.ndarray) -> str | None:
    """Return why the flow around these obstacles cannot be computed, or None."""
    free = round(INLET * len(mask))
    if mask[:, : max(free, 1)].any():
        return f"reaches into the first {max(free, 1)} columns, where the inlet is"
    if (narrow := (~mask).mean(axis=0).min()) < OPEN:
        return (
            f"leaves {narrow:.0%} of the channel's height open, and {OPEN:.0%} are needed"
            if narrow
            else "blocks the channel"
        )
    return None if reached(mask)[:, -1].any() else "blocks the channel"


def masks_from(folder: Path, height: int, width: int) -> dict[str, np.ndarray]:
    """Return the obstacles in the files of a folder, placed in the channel.

    A file is a text file (two whole numbers, cells along and across, then rows of 0 and 1 across the channel, as in
    Hennigh's steady-state-flow data) or a NumPy array (H, W). A mask of the channel's own height and width is used as
    it is. From any other mask the obstacle is cut out and scaled to a length of `FROM_FILE` of the width, or less if it
    would be too high. It is placed on the lower wall if it stood on its picture's lower edge.

    Parameters
    ----------
    folder : Path
        Folder of which all .txt and .npy files are read, in the order of their names.
    height, width : int
        Size of the channel, in cells.

    Returns
    -------
    dict of str to array (height, width), bool
        Masks by the files' names.

    Raises
    ------
    Refusal
        If there is no such file, or one cannot be read, is not a mask, or blocks the flow.
    """
    try:
        files = sorted(path for path in Path(folder).iterdir() if path.suffix in SUFFIXES)
    except OSError as error:
        raise Refusal(
            f"the folder of masks {folder} cannot be read ({error.strerror}): "
            f"give a folder with {' or '.join(SUFFIXES)} files"
        ) from None
    if not files:
        raise Refusal(f"the folder of masks {folder} holds no {' or '.join(SUFFIXES)} file: give one that does")
    masks = {}
    for path in files:
        mask = read(path)
        mask = mask if mask.shape == (height, width) else _placed(mask, height, width)
        if wrong := fault(mask) or fault(~reached(mask)):
            raise Refusal(
                f"the obstacle in {path} {wrong}, in a channel of {height} x {width}: change the file, or move it away"
            )
        masks[path.name] = ~reached(mask)
    return masks


def read(path: Path) -> np.ndarray:
    """Return the mask in a file, as it is: array (across, along), bool.

    Raises
    ------
    Refusal
        If the file cannot be read, does not have the shape that it states, has values other than 0 and 1, or is empty.
    """
    try:
        if path.suffix == ".npy":
            mask = pickles.numbers(path.read_bytes())
        else:
            numbers = np.array(path.read_text(encoding="ascii").split(), float)
            if len(numbers) < 2 or len(numbers) != 2 + numbers[0] * numbers[1]:
                size = " x ".join(f"{n:g}" for n in numbers[:2])
                raise Refusal(
                    f"the mask {path} says {size} cells and has {max(len(numbers) - 2, 0)}: "
                    "its first line is cells along and across"
                )
            along, across = numbers[:2].astype(int)
            mask = numbers[2:].reshape(along, across).T
    except OSError as error:
        raise Refusal(f"the mask {path} cannot be read ({error.strerror}): fix or remove it") from None
    except (ValueError, pickles.Unreadable):
        raise Refusal(
            f"the mask {path} cannot be read: a text file of 0 and 1, or an array saved by numpy, is expected"
        ) from None
    if mask.ndim != 2:
        raise Refusal(
            f"the mask {path} has the shape {mask.shape}: two axes are expected, across and along the channel"
        )
    if not np.isin(mask, (0, 1)).all():
        other = mask[~np.isin(mask, (0, 1))].flat[0]
        raise Refusal(
            f"the mask {path} has the value {other:g}: 1 is an obstacle, 0 is fluid, and nothing else is possible"
        )
    if not mask.any():
        raise Refusal(f"the mask {path} has no obstacle: mark its cells with 1")
    return mask.astype(bool)


def _placed(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the obstacle of a mask, cut out, scaled and placed in the channel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    above, below = rows[0], len(mask) - 1 - rows[-1]
    shape = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = min(height / len(mask), FROM_FILE * width / shape.shape[1])
    # At least one cell, so that a thin plate does not vanish.
    size = np.maximum(1, np.rint(scale * np.array(shape.shape))).astype(int)
    picked = [np.minimum(((np.arange(n) + 0.5) * m / n).astype(int), m - 1) for n, m in zip(size, shape.shape)]
    # An obstacle that nearly touches the lower edge of its picture stands on the wall; else gaps keep their proportion.
    stands = below <= 0.05 * len(mask)
    top = height - size[0] if stands else round((height - size[0]) * above / (above + below))
    placed = np.zeros((height, width), bool)
    placed[top : top + size[0], width // 8 : width // 8 + size[1]] = shape[np.ix_(*picked)]
    return placed
