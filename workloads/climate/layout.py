"""Examples in files, in the two published layouts, one HDF5 file an example and one of statistics; or many packed in a file.

MLPerf HPC    climate/data (H, W, 16), climate/labels_0 (H, W); stats.h5: climate/count, mean, sqmean, minval, maxval, (16,) each
SC18          climate/data (16, H, W), climate/labels (H, W) or (L, H, W), L label sets; climate/stats (16, 4): mean, max, min, std

packed        climate/data (N, H, W, 16), climate/labels_0 (N, H, W) or (N, L, H, W), climate/crc32 (N,): as `pack` makes it of either

A folder has train/ and validation/ with data-*.h5 each, and stats.h5 in itself or in train/. Published: 768 x 1152 points.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import h5py
import numpy as np

from launch.errors import Refusal
from workloads.climate.published import CHANNELS, CLASSES

STATISTICS = "stats.h5"
NORTHWARD = ("V850", "VBOT")
KEPT = 256  # packed files that stay open, to be read from again; far below the 1,024 that a process may have open


@dataclass(frozen=True)
class Scale:
    """How the channels are brought to one size: ``(data - offset) / spread``.

    Parameters
    ----------
    offset, spread : array (16,), float32
        minmax: smallest value and range, as published for both layouts. standard: mean and standard deviation.
    """

    offset: np.ndarray
    spread: np.ndarray

    @classmethod
    def read(cls, folder: Path, how: Literal["minmax", "standard"]) -> Scale:
        """Of a folder's file of statistics, of either layout.

        Raises
        ------
        Refusal
            If there is none, or it does not fit the channels.
        """
        if not folder.is_dir():
            raise Refusal(f"{folder.absolute()} is no folder: give one with train/, validation/ and {STATISTICS}")
        path = statistics(folder)
        if path is None:
            raise Refusal(f"{folder} has no {STATISTICS}: put the statistics of the training set there")
        with _opened(path) as climate:
            if "stats" in climate:  # SC18
                mean, largest, smallest, deviation = climate["stats"][:].astype(np.float64).T
            else:
                mean, square, smallest, largest = (
                    climate[name][:].astype(np.float64) for name in ("mean", "sqmean", "minval", "maxval")
                )
                deviation = np.sqrt(np.maximum(square - mean**2, 0))
        if mean.shape != (len(CHANNELS),):
            raise Refusal(f"{path} has statistics of shape {mean.shape}: there are {len(CHANNELS)} channels")
        offset, spread = (mean, deviation) if how == "standard" else (smallest, largest - smallest)
        if not (np.isfinite(offset).all() and np.isfinite(spread).all() and (spread > 0).all()):
            bad = CHANNELS[int(np.argmin(np.isfinite(offset) & np.isfinite(spread) & (spread > 0)))]
            raise Refusal(f"{path} has no spread of channel {bad}: make the statistics again from the training set")
        return cls(offset.astype(np.float32), spread.astype(np.float32))


class Examples:
    """The examples of one folder of files, read when they are asked for.

    Parameters
    ----------
    folder : Path
        With data-*.h5.
    scale : Scale
        Of the channels.
    label_sets : bool
        Give each file once for each of its label sets, where SC18 drew one at each reading; else the first set only.

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
        first = _layout(files[0])
        self._shape, self._sets = first.size, first.sets if label_sets else 1
        self._copies: Mapping[Path, Path] = {}
        # Packed files are opened to see how many examples they have; of others each has one.
        counts = [_layout(path).examples if first.examples is not None else 1 for path in files]
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
        """Look into the files before the first step, each rank into its part.

        Parameters
        ----------
        rank, size : int
            This rank, and how many there are.
        whole : int
            How many of a rank's maps are read; of the others only what can be seen without reading the data.

        Raises
        ------
        Refusal
            If a file is cut short, of another size than the first, in no known layout, or what `read` raises.
        """
        for path in self._files[rank::size]:
            found = _layout(path)
            if (found.examples is not None) != self._packed:
                raise Refusal(f"{path} is {'not ' * self._packed}packed, and {self._files[0].name} is{' not' * (not self._packed)}: "
                              "give a folder of one layout")  # fmt: skip
            if found.size != self._shape:
                raise Refusal(f"{path} is a map of {found.size[0]} x {found.size[1]} points, {self._files[0].name} one of "
                              f"{self._shape[0]} x {self._shape[1]}: give a folder of one size")  # fmt: skip
        for path, record in self._examples[rank::size][:whole]:
            read(path, 0, record, self._kept)

    def of(self, index: np.ndarray) -> list[Path]:
        """The files that have some of the examples."""
        return list(dict.fromkeys(self._examples[number % len(self._examples)][0] for number in index.tolist()))

    def read_from(self, copies: Mapping[Path, Path]) -> None:
        """From now on read the copy of each file that has one."""
        self._copies = copies

    def load(self, index: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Read a batch.

        Parameters
        ----------
        index : sequence of int
            Which; from the number of maps on, those with their second label set, and so on.

        Returns
        -------
        fields : array (batch, H, W, 16), float32
            Scaled.
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

    def augment(
        self, fields: np.ndarray, labels: np.ndarray, seeds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Turn each map round the earth's axis by any angle, and mirror half of them at the equator.

        The rules that label the maps do not see the difference: wind towards the north becomes wind towards the south, so
        what was cyclonic stays so. Of a real earth, land and sea and seasons get another place.

        Parameters
        ----------
        fields, labels : array
            As `load` gives them.
        seeds : array (batch, 2), uint64
            Of each example.
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


def read(
    path: Path, label_set: int = 0, record: int = 0, kept: dict[Path, h5py.File] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One example as it is in a file of any layout.

    Parameters
    ----------
    path : Path
        The file.
    label_set, record : int
        Which of its label sets, and which of the examples packed in it.
    kept : dict, optional
        Of open files, in which this one is looked for and left, up to `KEPT` of them.

    Returns
    -------
    data : array (H, W, 16), float32
        In the units of `CHANNELS`.
    labels : array (H, W), uint8

    Raises
    ------
    Refusal
        If the file cannot be read, has changed since it was packed, or holds values that are not finite or classes that do not
        exist.
    """
    with _opened(path, kept) as climate:
        data, found = climate["data"], climate["labels_0" if "labels_0" in climate else "labels"]
        if packed := data.ndim == 4:
            data, found, crc32 = data[record], found[record], int(climate["crc32"][record])
        data, found = data[:].astype(np.float32, copy=False), found[:]
    if packed and crc32 != checksum(data, found):
        raise Refusal(f"{path} has changed in example {record} since it was packed: pack it again")
    labels = found[label_set % found.shape[0]] if found.ndim == 3 else found
    if data.shape[0] == len(CHANNELS) and data.shape[-1] != len(CHANNELS):
        data = np.moveaxis(data, 0, -1)
    if packed:  # what was looked at then
        return data, labels
    finite = np.isfinite(data)
    if not finite.all():
        row, column, channel = (int(axis[0]) for axis in np.nonzero(~finite))
        raise Refusal(f"{path} has {data[row, column, channel]} in channel {CHANNELS[channel]} at row {row}, column {column}: "
                      "mend it or take the file away")  # fmt: skip
    if not np.isin(labels, range(len(CLASSES))).all():
        wrong = labels[~np.isin(labels, range(len(CLASSES)))][0]
        raise Refusal(f"{path} has the class {wrong}: there are {', '.join(f'{i} {c}' for i, c in enumerate(CLASSES))}")
    return np.ascontiguousarray(data), labels.astype(np.uint8)


def checksum(data: np.ndarray, labels: np.ndarray) -> int:
    """CRC-32 of a packed example: its data, then its labels."""
    return zlib.crc32(np.ascontiguousarray(labels), zlib.crc32(np.ascontiguousarray(data)))


def encode(data: np.ndarray, labels: np.ndarray) -> bytes:
    """The content of an example's file, in the layout of MLPerf HPC."""
    return _content({"data": data.astype(np.float32, copy=False), "labels_0": labels.astype(np.uint8)})


def encode_statistics(examples: Sequence[Path]) -> bytes:
    """The content of stats.h5 of some examples, in the layout of MLPerf HPC."""
    count, mean, square = 0, np.zeros(len(CHANNELS)), np.zeros(len(CHANNELS))
    smallest, largest = np.full(len(CHANNELS), np.inf), np.full(len(CHANNELS), -np.inf)
    for path in examples:
        data = read(path)[0].reshape(-1, len(CHANNELS))
        count += len(data)
        mean += data.sum(axis=0, dtype=np.float64)
        square += np.einsum("nc,nc->c", data, data, dtype=np.float64)
        smallest, largest = np.minimum(smallest, data.min(axis=0)), np.maximum(largest, data.max(axis=0))
    values = {"mean": mean / count, "sqmean": square / count, "minval": smallest, "maxval": largest}
    return _content({"count": np.float64(count), **values})


def _content(values: dict[str, np.ndarray]) -> bytes:
    import io

    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        for name, value in values.items():
            h5[f"climate/{name}"] = value
    return file.getvalue()


class _opened:
    """The group ``climate`` of a file; what goes wrong in it becomes a line that names the file."""

    def __init__(self, path: Path, kept: dict[Path, h5py.File] | None = None) -> None:
        self._path, self._kept = path, kept

    def __enter__(self) -> h5py.Group:
        try:
            self._file = (self._kept or {}).pop(self._path, None) or h5py.File(self._path, "r")
        except OSError as error:
            raise self._refusal(error) from None
        if "climate" not in self._file:
            self._file.close()
            raise Refusal(f"{self._path} has no group climate: give files of SC18 or MLPerf HPC DeepCAM")
        return self._file["climate"]

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._kept is None or error is not None:
            self._file.close()
        else:
            self._kept[self._path] = self._file  # the last one used is the last of them
            if len(self._kept) > KEPT:
                self._kept.pop(next(iter(self._kept))).close()
        if isinstance(error, (OSError, KeyError)):
            raise self._refusal(error) from None

    def _refusal(self, error: BaseException) -> Refusal:
        return Refusal(
            f"{self._path} cannot be read ({str(error).strip()}): it is cut short or no HDF5 file, fetch it again"
        )


class Layout(NamedTuple):
    """What a file has in it."""

    size: tuple[int, int]  # points of the map along each axis
    sets: int  # of labels
    examples: int | None  # packed in it; None: it is one


def _layout(path: Path) -> Layout:
    with _opened(path) as climate:
        shapes = {name: climate[name].shape for name in ("data", "labels_0", "labels", "crc32") if name in climate}
    data, labels = shapes.get("data", ()), shapes.get("labels_0", shapes.get("labels", ()))
    examples = None
    if len(data) == 4:
        examples = data[0]
        if not examples or shapes.get("crc32") != (examples,) or labels[:1] != (examples,):
            raise Refusal(f"{path} has data of shape {data}, labels of shape {labels} and checksums of shape {shapes.get('crc32', ())}: "
                          "give as many of each, at least one, as python -m workloads.climate.pack does")  # fmt: skip
        data, labels = data[1:], labels[1:]
    size = data[:2] if data[-1:] == (len(CHANNELS),) else data[1:]
    if len(data) != 3 or len(CHANNELS) not in (data[0], data[-1]) or labels[-2:] != size or len(labels) not in (2, 3):
        raise Refusal(f"{path} has data of shape {data} and labels of shape {labels}: "
                      f"give (H, W, {len(CHANNELS)}) and (H, W), or ({len(CHANNELS)}, H, W) and (H, W) or (L, H, W)")  # fmt: skip
    return Layout(size, labels[0] if len(labels) == 3 else 1, examples)


def label_sets(path: Path) -> int:
    """How many label sets a file of one example has."""
    return _layout(path).sets


def statistics(folder: Path) -> Path | None:
    """The file of statistics of a folder."""
    return next((p for p in (folder / STATISTICS, folder / "train" / STATISTICS) if p.is_file()), None)


def is_packed(path: Path) -> bool:
    """Whether a file has many examples."""
    return _layout(path).examples is not None
