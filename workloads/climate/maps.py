"""The maps of a folder as the network sees them: read when needed, scaled, turned and mirrored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from launch.errors import Refusal
from workloads.climate.layout import STATISTICS, layout, opened, read, statistics
from workloads.climate.published import CHANNELS

NORTHWARD = ("V850", "VBOT")


@dataclass(frozen=True)
class Scale:
    """How the channels are scaled: ``(data - offset) / spread``.

    Parameters
    ----------
    offset, spread : array (16,), float32
        minmax: smallest value and range, as published for both layouts. standard: mean and standard deviation.
    """

    offset: np.ndarray
    spread: np.ndarray

    @classmethod
    def read(cls, folder: Path, how: Literal["minmax", "standard"]) -> Scale:
        """Return the scale from a folder's file of statistics, in either layout.

        Raises
        ------
        Refusal
            If there is none, or it does not fit the channels.
        """
        if not folder.is_dir():
            raise Refusal(f"{folder.absolute()} is not a folder: give one with train/, validation/ and {STATISTICS}")
        path = statistics(folder)
        with opened(path) as climate:
            published = "stats" in climate  # in the layout of SC18
            names = ("mean", "sqmean", "minval", "maxval")
            found = climate["stats"][()].T if published else [climate[name][()] for name in names]
            values = np.asarray(found, np.float64)
        if values.shape != (4, len(CHANNELS)):
            raise Refusal(
                f"{path} has statistics of shape {values.shape}: 4 of each of the {len(CHANNELS)} channels are needed, "
                "make them again from the training set"
            )
        if published:
            mean, largest, smallest, deviation = values
        else:
            mean, square, smallest, largest = values
            deviation = np.sqrt(np.maximum(square - mean**2, 0))
        offset, spread = (mean, deviation) if how == "standard" else (smallest, largest - smallest)
        if not (np.isfinite(offset).all() and np.isfinite(spread).all() and (spread > 0).all()):
            bad = CHANNELS[int(np.argmin(np.isfinite(offset) & np.isfinite(spread) & (spread > 0)))]
            raise Refusal(f"{path} has no spread of channel {bad}: make the statistics again from the training set")
        return cls(offset.astype(np.float32), spread.astype(np.float32))


class Maps:
    """The examples of one folder of files, read when they are needed.

    Parameters
    ----------
    folder : Path
        Folder with files data-*.h5.
    scale : Scale
        Scale of the channels.
    label_sets : bool
        Whether to use each file once with each of its label sets (SC18 drew one at each reading); otherwise only the
        first set is used.

    Raises
    ------
    Refusal
        If there are no files, or the first is not in one of the layouts.
    """

    def __init__(self, folder: Path, scale: Scale, label_sets: bool = False) -> None:
        files = sorted(folder.glob("data-*.h5"))
        if not files:
            raise Refusal(f"{folder} has no examples: put files data-*.h5 there")
        self._scale = scale
        first = layout(files[0])
        self._shape, self._sets = first.size, first.sets if label_sets else 1
        self._copies: Mapping[Path, Path] = {}
        # Packed files are opened to count their examples; other files have one each.
        counts = [layout(path).examples if first.examples is not None else 1 for path in files]
        self._packed = first.examples is not None
        self._kept: dict[Path, h5py.File] | None = {} if self._packed else None
        self._examples = [(path, record) for path, count in zip(files, counts) for record in range(count or 0)]
        self._files = files

    def __len__(self) -> int:
        return len(self._examples) * self._sets

    @property
    def size(self) -> tuple[int, int]:
        """Points of the map along each axis."""
        return self._shape

    def check(self, rank: int, size: int, whole: int) -> None:
        """Check the files before the first step; each rank checks its part.

        Parameters
        ----------
        rank, size : int
            This rank, and the number of ranks.
        whole : int
            Number of a rank's maps that are read; of the others only what can be checked without reading the data is
            checked.

        Raises
        ------
        Refusal
            If a file is cut short, has another size than the first or an unknown layout, or if `read` refuses it.
        """
        first = self._files[0].name
        for path in self._files[rank::size]:
            found = layout(path)
            if (found.examples is not None) != self._packed:
                other, own = ("not packed", "is") if self._packed else ("packed", "is not")
                raise Refusal(f"{path} is {other}, and {first} {own}: give a folder of one layout")
            if found.size != self._shape:
                sizes = "{} x {} points, {} one of {} x {}".format(*found.size, first, *self._shape)
                raise Refusal(f"{path} is a map of {sizes}: give a folder of one size")
        for path, record in self._examples[rank::size][:whole]:
            for label_set in range(self._sets):
                read(path, label_set, record, self._kept)

    def of(self, index: np.ndarray) -> list[Path]:
        """Return the files that contain some of the examples."""
        return list(dict.fromkeys(self._examples[number % len(self._examples)][0] for number in index.tolist()))

    def read_from(self, copies: Mapping[Path, Path]) -> None:
        """Read, from now on, the copies of files that have one."""
        self._copies = copies

    def load(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read a batch.

        Parameters
        ----------
        index : array of int
            Indices of the maps; from the number of maps on, the maps with their second label set, and so on.

        Returns
        -------
        fields : array (batch, H, W, 16), float32
            Scaled fields.
        labels : array (batch, H, W), uint8
            Class of each point.

        Raises
        ------
        Refusal
            If a file cannot be read, or holds values that are not finite or classes that do not exist.
        """
        fields = np.empty((len(index), *self._shape, len(CHANNELS)), np.float32)
        labels = np.empty((len(index), *self._shape), np.uint8)
        for place, number in enumerate(index):
            label_set, example = divmod(int(number), len(self._examples))
            path, record = self._examples[example]
            data, labels[place] = read(self._copies.get(path, path), label_set, record, self._kept)
            np.subtract(data, self._scale.offset, out=fields[place])
            fields[place] /= self._scale.spread
        return fields, labels

    def augment(self, fields: np.ndarray, labels: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn each map round the earth's axis by any angle, and mirror half of them at the equator.

        The rules that label the maps do not see the difference: wind towards the north becomes wind towards the south,
        so cyclonic rotation stays cyclonic. On a real earth, land, sea and seasons move too.

        Parameters
        ----------
        fields, labels : array
            Fields and labels as `load` gives them.
        seeds : array (batch, 2), uint64
            A seed per example.
        """
        fields, labels = fields.copy(), labels.copy()
        for field, label, seed in zip(fields, labels, seeds):
            random = np.random.default_rng(seed)
            turn = int(random.integers(label.shape[1]))
            field[:], label[:] = np.roll(field, turn, axis=1), np.roll(label, turn, axis=1)
            if random.integers(2):
                field[:], label[:] = field[::-1].copy(), label[::-1].copy()
                for name in NORTHWARD:
                    place = CHANNELS.index(name)
                    centre = 2 * self._scale.offset[place] / self._scale.spread[place]
                    field[..., place] = -field[..., place] - centre  # the negative wind, scaled
        return fields, labels
