"""Examples in HDF5 files, in the two published layouts, one file per example and one of statistics, or packed.

MLPerf HPC    climate/data (H, W, 16), climate/labels_0 (H, W)
              stats.h5: climate/count, mean, sqmean, minval, maxval, (16,) each
SC18          climate/data (16, H, W), climate/labels (H, W) or (L, H, W), L label sets
              stats.h5: climate/stats (16, 4): mean, max, min, std
packed        climate/data (N, H, W, 16), climate/labels_0 (N, H, W) or (N, L, H, W), climate/crc32 (N,)
              as `pack` writes it from either

A folder has train/ and validation/ with data-*.h5 each, and stats.h5 in itself or in train/. Published: 768 x 1152.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from launch.errors import Refusal, one_line
from workloads.climate.published import CHANNELS, CLASSES

STATISTICS = "stats.h5"
KEPT = 256  # packed files that stay open for further reads; far below the usual limit of 1,024 open files


def read(
    path: Path, label_set: int = 0, record: int = 0, kept: dict[Path, h5py.File] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return one example from a file of any layout.

    Parameters
    ----------
    path : Path
        The file.
    label_set, record : int
        Index of the label set, and index of the example in a packed file.
    kept : dict, optional
        Cache of open files, up to `KEPT` of them, which is used for this one too.

    Returns
    -------
    data : array (H, W, 16), float32
        Fields in the units of `CHANNELS`.
    labels : array (H, W), uint8

    Raises
    ------
    Refusal
        If the file cannot be read, has changed since it was packed, or holds values that are not finite or classes that
        do not exist.
    """
    with opened(path, kept) as climate:
        data, sets = climate["data"], climate["labels_0" if "labels_0" in climate else "labels"]
        crc32 = int(climate["crc32"][record]) if data.ndim == 4 else None
        if crc32 is not None:
            data, sets = data[record], sets[record]
        data, sets = data[:].astype(np.float32, copy=False), sets[:]
    if crc32 is not None and crc32 != checksum(data, sets):
        raise Refusal(f"{path} has changed in example {record} since it was packed: pack it again")
    labels = sets[label_set % sets.shape[0]] if sets.ndim == 3 else sets
    if data.shape[0] == len(CHANNELS) and data.shape[-1] != len(CHANNELS):
        data = np.moveaxis(data, 0, -1)
    if crc32 is not None:  # the values were checked when it was packed
        return data, labels
    finite = np.isfinite(data)
    if not finite.all():
        row, column, channel = (int(axis[0]) for axis in np.nonzero(~finite))
        raise Refusal(
            f"{path} has {data[row, column, channel]} in channel {CHANNELS[channel]} at row {row}, column {column}: "
            "fix it or remove the file"
        )
    if not np.isin(labels, range(len(CLASSES))).all():
        wrong = labels[~np.isin(labels, range(len(CLASSES)))][0]
        raise Refusal(f"{path} has the class {wrong}: there are {', '.join(f'{i} {c}' for i, c in enumerate(CLASSES))}")
    return np.ascontiguousarray(data), labels.astype(np.uint8)


def checksum(data: np.ndarray, labels: np.ndarray) -> int:
    """Return the CRC-32 of a packed example: of its data, then of its labels."""
    return zlib.crc32(np.ascontiguousarray(labels).data, zlib.crc32(np.ascontiguousarray(data).data))


def encode(data: np.ndarray, labels: np.ndarray) -> bytes:
    """Return the content of an example's file, in the layout of MLPerf HPC."""
    return _content({"data": data.astype(np.float32, copy=False), "labels_0": labels.astype(np.uint8)})


def encode_statistics(examples: Sequence[Path]) -> bytes:
    """Return the content of stats.h5 for some examples, in the layout of MLPerf HPC."""
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


def _content(values: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        for name, value in values.items():
            h5[f"climate/{name}"] = value
    return file.getvalue()


class opened:
    """The group ``climate`` of a file; errors in the block become a refusal that names the file."""

    def __init__(self, path: Path, kept: dict[Path, h5py.File] | None = None) -> None:
        self._path, self._kept = path, kept

    def __enter__(self) -> Any:  # a group; h5py's annotations do not know what is in it
        try:
            self._file = (self._kept or {}).pop(self._path, None) or h5py.File(self._path, "r")
            climate = self._file.get("climate")
        except Exception as error:  # a damaged file can raise anything
            raise self._refusal(error) from None
        if not isinstance(climate, h5py.Group):
            self._file.close()
            raise Refusal(f"{self._path} has no group climate: give files of SC18 or MLPerf HPC DeepCAM")
        return climate

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._kept is None or error is not None:
            self._file.close()
        else:
            self._kept[self._path] = self._file  # the last one used is the last entry
            if len(self._kept) > KEPT:
                self._kept.pop(next(iter(self._kept))).close()
        if isinstance(error, Exception):
            raise self._refusal(error) from None

    def _refusal(self, error: Exception) -> Refusal:
        reason = one_line(error)
        return Refusal(f"{self._path} cannot be read ({reason}): it is cut short or not an HDF5 file, fetch it again")


class Layout(NamedTuple):
    """The content of a file."""

    size: tuple[int, int]  # points of the map along each axis
    sets: int  # number of label sets
    examples: int | None  # number of examples in a packed file; None: the file is one example


def layout(path: Path) -> Layout:
    """Return the sizes of a file's content, without reading its data.

    Raises
    ------
    Refusal
        If it is cut short or its layout is unknown.
    """
    with opened(path) as climate:
        found = {name: climate.get(name) for name in ("data", "labels_0", "labels", "crc32")}
        shapes = {name: each.shape for name, each in found.items() if isinstance(each, h5py.Dataset) and each.shape}
    data, labels = shapes.get("data", ()), shapes.get("labels_0", shapes.get("labels", ()))
    examples = None
    if len(data) == 4:
        examples = data[0]
        if not examples or shapes.get("crc32") != (examples,) or labels[:1] != (examples,):
            checksums = shapes.get("crc32", ())
            raise Refusal(
                f"{path} has data of shape {data}, labels of shape {labels} and checksums of shape {checksums}: "
                "give as many of each, at least one, as python -m workloads.climate.pack does"
            )
        data, labels = data[1:], labels[1:]
    size = data[:2] if data[-1:] == (len(CHANNELS),) else data[1:]
    if len(data) != 3 or len(CHANNELS) not in (data[0], data[-1]) or labels[-2:] != size or len(labels) not in (2, 3):
        raise Refusal(
            f"{path} has data of shape {data} and labels of shape {labels}: "
            f"give (H, W, {len(CHANNELS)}) and (H, W), or ({len(CHANNELS)}, H, W) and (H, W) or (L, H, W)"
        )
    return Layout(size, labels[0] if len(labels) == 3 else 1, examples)


def statistics(folder: Path) -> Path:
    """Return the file of statistics of a folder.

    Raises
    ------
    Refusal
        If there is none.
    """
    for path in (folder / STATISTICS, folder / "train" / STATISTICS):
        if path.is_file():
            return path
    raise Refusal(f"{folder} has no {STATISTICS}: put the statistics of the training set there")
