"""Arrays of numbers in pickles and in the files of numpy: read without letting a pickle call any function."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from launch.errors import one_line


class Unreadable(Exception):
    """The content is damaged, or is not what was expected; the message says why."""


def load(path: Path) -> Any:
    """Return the content of a pickle of Python 2 or 3: arrays of numbers, numbers and texts, in lists and dictionaries.

    Raises
    ------
    Unreadable
        If it is damaged, or contains anything else.
    OSError
        If the file cannot be opened.
    """
    return loads(path.read_bytes())


def loads(content: bytes) -> Any:
    """Return the content of a pickle that is in memory, as `load` does."""
    try:
        return _Arrays(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise _unreadable(error) from None


def npy(content: bytes) -> Any:
    """Return the array in the content of a .npy file; an array of objects is stored there as a pickle.

    Raises
    ------
    Unreadable
        If it is damaged, or contains objects other than those of `load`.
    """
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version in headers and headers[version](file)[2].hasobject:
            return loads(content[file.tell() :])
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # as above
        raise _unreadable(error) from None


def numbers(content: bytes) -> np.ndarray:
    """Return the array of real numbers or truth values in the content of a .npy file.

    Raises
    ------
    Unreadable
        If it is damaged, or contains anything else.
    """
    found = npy(content)
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        kind = f"type {found.dtype}" if isinstance(found, np.ndarray) else type(found).__name__
        raise Unreadable(f"it is of {kind}, not an array of numbers")
    return found


def npz(path: Path) -> dict[str, bytes]:
    """Return the .npy files in a .npz file by the names of their arrays, checked by their CRC-32.

    Raises
    ------
    Unreadable
        If it cannot be opened, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
    except Exception as error:  # as above
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> Unreadable:
    return Unreadable(one_line(error))


class _Arrays(pickle.Unpickler):
    MADE_BY: dict[str, Any] = {  # under any name of numpy's modules: numpy.core, later numpy._core
        "_reconstruct": np.zeros(1).__reduce__()[0],
        "_frombuffer": np.zeros(1).__reduce_ex__(5)[0],
        "ndarray": np.ndarray,
        "dtype": np.dtype,
        "scalar": np.float64(1).__reduce__()[0],
    }

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "numpy" and name in self.MADE_BY:
            return self.MADE_BY[name]
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in old protocols
            return lambda text, encoding: text.encode("latin1")
        raise pickle.UnpicklingError(f"it wants {module}.{name}, which is not an array")
