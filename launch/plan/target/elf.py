"""Reads what an ELF file says about itself: its machine, its loader and the libraries that it needs. Nothing is
followed or run."""

import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple

MAGIC = b"\x7fELF"

_MACHINES = {
    2: "SPARC", 3: "x86 of 32 bits", 8: "MIPS", 20: "POWER of 32 bits", 21: "POWER", 22: "S/390", 40: "ARM of 32 bits",
    43: "SPARC of 64 bits", 62: "x86-64", 183: "AArch64", 243: "RISC-V", 247: "BPF", 258: "LoongArch",
}  # fmt: skip
_RUNS = {  # machine, as os.uname() names it, and the other kinds that it runs
    "x86_64": (62, 3), "aarch64": (183, 40), "arm64": (183, 40), "ppc64le": (21,), "ppc64": (21, 20), "s390x": (22,),
    "riscv64": (243,), "i686": (3,), "loongarch64": (258,),
}  # fmt: skip
_RELOCATABLE, _EXECUTABLE, _SHARED, _CORE = 1, 2, 3, 4
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRINGS, _FLAGS_1, _PIE = 1, 5, 0x6FFFFFFB, 0x08000000
_MOST = 65536  # bytes of a header table or of the dynamic section


class NotElf(ValueError):
    """A file that begins like an ELF file, but is cut off or damaged."""


class Elf(NamedTuple):
    """A file in the ELF format.

    Parameters
    ----------
    machine : int
        Number of the machine in the ELF format.
    is_program : bool
        Whether it can be started, so is not a library, object file or core dump.
    loader : str
        Path of the program that loads it; empty if it is linked statically.
    needed : tuple of str
        Names of the libraries that it asks for itself.
    """

    machine: int
    is_program: bool
    loader: str
    needed: tuple[str, ...]

    @property
    def machine_name(self) -> str:
        """The machine that the file is for."""
        return _MACHINES.get(self.machine, f"machine {self.machine}")

    @property
    def runs_here(self) -> bool:
        """Whether this machine can run files for that machine; true if the toolkit does not know the latter."""
        return self.machine in _RUNS.get(os.uname().machine, (self.machine,))


def read(path: str | Path) -> Elf:
    """Read the headers of a file.

    Raises
    ------
    NotElf
        If it is damaged.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _read(data)
        except (struct.error, ValueError, IndexError, OverflowError) as error:
            raise NotElf(str(error)) from None


def holds(path: str | Path, text: bytes) -> bool:
    """Return whether a file contains some bytes."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(text) >= 0


def _read(data: mmap.mmap) -> Elf:
    if data[:4] != MAGIC or data[4] not in (1, 2) or data[5] not in (1, 2):
        raise NotElf("its header is not one of ELF")
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    kind, machine, _, entry, start = struct.unpack_from(f"{order}HHI{'QQ' if wide else 'II'}", data, 16)
    size, count = struct.unpack_from(f"{order}HH", data, 54 if wide else 42)
    layout = f"{order}{'II6Q' if wide else '8I'}"
    if size * count > _MOST or count and size < struct.calcsize(layout):
        raise NotElf("its header does not fit")
    parts = []  # (type, offset, address, bytes in the file)
    for place in range(count):
        values = struct.unpack_from(layout, data, start + place * size)
        parts.append((values[0], values[2], values[3], values[5]) if wide else (*values[:3], values[4]))
    if any(part == _INTERPRETER and length > 4096 for part, _, _, length in parts):
        raise NotElf("the path of its loader does not fit")
    loader = next((data[at : at + length].rstrip(b"\0") for part, at, _, length in parts if part == _INTERPRETER), b"")
    entries = _dynamic(data, parts, f"{order}{'qQ' if wide else 'iI'}")
    flags = next((value for tag, value in entries if tag == _FLAGS_1), 0)
    is_program = kind == _EXECUTABLE or kind == _SHARED and bool(loader or flags & _PIE)
    return Elf(machine, is_program and entry != 0, os.fsdecode(loader), _names(data, parts, entries))


def _dynamic(data: mmap.mmap, parts: list[tuple[int, ...]], layout: str) -> list[tuple[int, int]]:
    """Return the entries of the dynamic section."""
    at, length = next(((at, length) for part, at, _, length in parts if part == _DYNAMIC), (0, 0))
    if length > _MOST or at + length > len(data):
        raise NotElf("its dynamic section does not fit")
    return list(struct.iter_unpack(layout, data[at : at + length - length % struct.calcsize(layout)]))


def _names(data: mmap.mmap, parts: list[tuple[int, ...]], entries: list[tuple[int, int]]) -> tuple[str, ...]:
    """Return the libraries that the dynamic section names."""
    table = next((value for tag, value in entries if tag == _STRINGS), None)
    if table is None:
        return ()
    loaded = [
        (at, address) for part, at, address, length in parts if part == _LOAD and address <= table < address + length
    ]
    if not loaded:
        raise NotElf("its names are in no part that is loaded")
    at = table - loaded[0][1] + loaded[0][0]
    names = []
    for tag, offset in entries:
        if tag == _NEEDED:
            begin = at + offset
            names.append(os.fsdecode(data[begin : data.find(b"\0", begin, begin + 4096)]))
    return tuple(names)
