"""Pickled arrays of numbers: read without letting a pickle call any function, as it otherwise can."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np


class Unreadable(Exception):
    """It is not a pickle of arrays, numbers, texts, lists and dictionaries, or it is damaged; why, in words."""


def load(path: Path) -> Any:
    """What a pickle has, of Python 2 or 3: arrays of numbers, numbers and texts, in lists and dictionaries.

    Raises
    ------
    Unreadable
        If it is damaged, or has anything else.
    OSError
        If the file cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            return _Arrays(file, encoding="latin1").load()
        except Exception as error:  # a damaged pickle can raise anything
            raise Unreadable(" ".join(str(error).split()) or type(error).__name__) from None


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
