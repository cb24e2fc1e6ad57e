"""Variables of a classic netCDF file (CDF-1 and CDF-2), in which many reanalyses are handed out.

https://docs.unidata.ucar.edu/netcdf-c/current/file_format_specifications.html
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from launch.errors import Refusal

TYPES = {1: ">i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8"}
DIMENSION, VARIABLE, ATTRIBUTE = 10, 11, 12


def read(path: Path) -> dict[str, np.ndarray]:
    """All variables, in the machine's byte order.

    Parameters
    ----------
    path : Path
        Of the file.

    Raises
    ------
    Refusal
        If it is no such file, is cut short, or its variables grow along an unlimited dimension with others beside them.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Refusal(f"{path} cannot be read ({error.strerror}): give a netCDF file") from None
    if content[:3] != b"CDF" or content[3:4] not in (b"\x01", b"\x02"):
        raise Refusal(f"{path} is not a classic netCDF file: give one, or convert it with nccopy -k classic")
    try:
        return _Header(content).variables()
    except (struct.error, ValueError):
        raise Refusal(f"{path} is cut short or damaged: fetch it again") from None


class _Header:
    """Goes through the header of a file from its beginning to its end."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 4
        self._wide = content[3] == 2  # offsets have 64 bits

    def variables(self) -> dict[str, np.ndarray]:
        records = self._integer()
        dimensions = [self._integer() if self._name() is not None else 0 for _ in range(self._list(DIMENSION))]
        self._attributes()
        found = {}
        for _ in range(self._list(VARIABLE)):
            name = self._name()
            shape = [dimensions[self._integer()] for _ in range(self._integer())]
            self._attributes()
            kind, _, begin = TYPES[self._integer()], self._integer(), self._integer(wide=self._wide)
            if shape and shape[0] == 0:  # unlimited: contiguous if there is one record
                if records != 1:
                    raise ValueError(f"{records} records")
                shape[0] = records
            values = np.frombuffer(self._content, kind, math.prod(shape), begin).reshape(shape)
            found[name] = values if kind == "S1" else values.astype(values.dtype.newbyteorder("="))
        return found

    def _integer(self, wide: bool = False) -> int:
        (value,) = struct.unpack_from(">q" if wide else ">i", self._content, self._at)
        self._at += 8 if wide else 4
        return value

    def _list(self, tag: int) -> int:
        """The number of elements of a list, which is absent (0, 0) where there are none."""
        found, count = self._integer(), self._integer()
        if found not in (0, tag):
            raise ValueError(f"tag {found}")
        return count

    def _name(self) -> str:
        length = self._integer()
        name = self._content[self._at : self._at + length].decode()
        self._at += -(-length // 4) * 4
        return name

    def _attributes(self) -> None:
        for _ in range(self._list(ATTRIBUTE)):
            self._name()
            kind, count = TYPES[self._integer()], self._integer()
            self._at += -(-count * np.dtype(kind).itemsize // 4) * 4
