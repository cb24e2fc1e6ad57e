"""Pickled arrays of numbers, read without running what else a pickle may hold."""

from __future__ import annotations

import io
import pickle
from typing import IO, Any

import numpy as np


class _Arrays(pickle.Unpickler):
    """Unpickles arrays and lists of numbers and nothing else: a pickle can otherwise call any function."""

    MADE_BY: dict[str, Any] = {  # under any name of numpy's modules: numpy.core, later numpy._core
        "_reconstruct": np.zeros(1).__reduce__()[0],
        "_frombuffer": np.zeros(1).__reduce_ex__(5)[0],
        "scalar": np.float64(0).__reduce__()[0],
        "ndarray": np.ndarray,
        "dtype": np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "numpy" and name in self.MADE_BY:
            return self.MADE_BY[name]
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in old protocols
            return lambda text, encoding: text.encode("latin1")
        raise pickle.UnpicklingError(f"it wants {module}.{name}, which is not an array")


def unpickled(file: IO[bytes]) -> Any:
    """What a pickle holds: an array, or lists, of numbers. A damaged one can raise anything.

    Raises
    ------
    pickle.UnpicklingError
        If it wants to call anything that does not make an array.
    """
    return _Arrays(file, encoding="latin1").load()


def npy(content: bytes) -> Any:
    """The array in a .npy file, also one of objects, which are pickled. A damaged one can raise anything.

    Raises
    ------
    ValueError
        If it is not such a file, or was cut short.
    pickle.UnpicklingError
        As `unpickled`.
    """
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version in headers and headers[version](file)[2].hasobject:
        return unpickled(file)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
