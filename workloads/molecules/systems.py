"""Frames of periodic systems in DeePMD-kit's layout, and which of their atoms are neighbours.

SYSTEM/type.raw           the type of each atom, one integer per line
SYSTEM/type_map.raw       the names of the types (optional)
SYSTEM/set.000/box.npy    (frames, 9) Angstrom      coord.npy (frames, 3 atoms) Angstrom
               energy.npy (frames,) eV              force.npy (frames, 3 atoms) eV/Angstrom
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from launch.errors import Refusal, nearest
from workloads.data import pickles

DIGITS = 10  # a type's number has fewer digits
APART = 1e-3  # least distance of two atoms in Angstrom: at 0, the force between them has no direction
SPARE = 4  # neighbours of a type that an atom may have beyond the most that any had in the data


class System(NamedTuple):
    """Frames of the same atoms, in the order of the names of their types.

    Parameters
    ----------
    names : tuple of str
        Names of the types, in alphabetical order.
    counts : tuple of int
        Number of atoms of each type.
    boxes : ndarray of float64, (F, 3, 3)
        Rows are the vectors that span the box, in Angstrom.
    positions : ndarray of float64, (F, N, 3)
        Positions of the atoms, in Angstrom.
    energies : ndarray of float64, (F,)
        Energy of each frame, in eV.
    forces : ndarray of float32, (F, N, 3)
        Forces on the atoms, in eV/Angstrom.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    boxes: np.ndarray
    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray


def split(data: Path, held: str) -> tuple[System, System]:
    """Return the systems of a folder to learn from, together, and the one that is held out.

    Parameters
    ----------
    data : Path
        Folder of the systems.
    held : str
        Name of the system that is held out; by default the last one.

    Raises
    ------
    Refusal
        If there are fewer than two, one is damaged, or they are not of the same atoms.
    """
    found = [each.parent for each in sorted(data.glob("*/type.raw"))]
    if len(found) < 2:
        raise Refusal(
            f"{data} has {len(found)} folders with a type.raw, and one is learned from and another measured on: "
            "give a folder of two or more systems in DeePMD-kit's layout"
        )
    names = [each.name for each in found]
    if held and held not in names:
        raise Refusal(f"{data} has no system {held!r}: {nearest(held, names)}")
    systems = {each.name: read(each) for each in found}
    first = systems[names[0]]
    for name, system in systems.items():
        if (system.names, system.counts) != (first.names, first.counts):
            raise Refusal(
                f"{data / name} has {_atoms(system)}, and {data / names[0]} has {_atoms(first)}: "
                "give systems of the same atoms"
            )
    other = systems.pop(held or names[-1])
    together = (np.concatenate(each) for each in zip(*(system[2:] for system in systems.values())))
    return System(first.names, first.counts, *together), other


def read(folder: Path) -> System:
    """Read a system, and check all of it.

    Raises
    ------
    Refusal
        If a file is missing, cannot be read, or does not contain what it should.
    """
    if (folder / "nopbc").exists():
        raise Refusal(f"{folder} has a file nopbc, and is not periodic: give periodic systems")
    types = _words(folder / "type.raw")
    if not types or not all(word.isdecimal() and len(word) < DIGITS for word in types):
        raise Refusal(f"{folder / 'type.raw'} is not a list of types: give it an integer from 0 for each atom")
    kinds = np.array(types, int)
    names = tuple(_words(folder / "type_map.raw")) if (folder / "type_map.raw").exists() else ()
    if names and kinds.max() >= len(names):
        raise Refusal(
            f"{folder / 'type.raw'} has type {kinds.max()}, and type_map.raw names {len(names)}: name all of them"
        )
    sets = sorted(each for each in folder.glob("set.*") if each.is_dir())
    if not sets:
        raise Refusal(f"{folder} has no folder set.000: give the frames in DeePMD-kit's layout")
    if any((each / "real_atom_types.npy").exists() for each in sets):
        raise Refusal(f"{folder} has frames of different atoms (real_atom_types.npy): give a system for each")
    parts = [_frames(each, len(kinds)) for each in sets]
    boxes, positions, energies, forces = (np.concatenate(each) for each in zip(*parts))
    labels = np.array(names)[kinds] if names else kinds.astype(str)
    order, (named, counts) = np.argsort(labels, kind="stable"), np.unique(labels, return_counts=True)
    forces = forces[:, order].astype(np.float32)
    return System(tuple(named.tolist()), tuple(counts.tolist()), boxes, positions[:, order], energies, forces)


def _atoms(system: System) -> str:
    return " ".join(f"{count} {name}" for name, count in zip(system.names, system.counts))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(
            f"{path} cannot be read ({getattr(error, 'strerror', None) or error}): give a text file"
        ) from None


def _frames(folder: Path, atoms: int) -> list[np.ndarray]:
    """Return box, coord, energy and force of a set."""
    shapes = {"box": (3, 3), "coord": (atoms, 3), "energy": (), "force": (atoms, 3)}
    arrays: list[np.ndarray] = []
    for name, shape in shapes.items():
        path = folder / f"{name}.npy"
        try:
            array = pickles.numbers(path.read_bytes()).astype(np.float64)
        except (OSError, pickles.Unreadable) as error:
            reason = getattr(error, "strerror", None) or error
            raise Refusal(f"{path} cannot be read ({reason}): give the file as DeePMD-kit has it") from None
        frames = len(arrays[0]) if arrays else len(array) if array.ndim else 0
        if not frames or array.size != frames * np.prod(shape, dtype=int) or array.shape[0] != frames:
            needed = f"({frames or 'frames'}, {np.prod(shape, dtype=int)})" if shape else f"({frames},)"
            raise Refusal(f"{path} has the shape {array.shape}, and {needed} is needed: was it cut short?")
        array = array.reshape(frames, *shape)
        if bad := np.flatnonzero(~np.isfinite(array).reshape(frames, -1).all(axis=1)).tolist():
            raise Refusal(f"{path} has a value that is not finite in frame {bad[0]}: leave the frame out of all files")
        arrays.append(array)
    if (np.abs(np.linalg.det(arrays[0])) < 1e-6).any():
        raise Refusal(f"{folder / 'box.npy'} has a box without volume: give three vectors that span one")
    for frame, (positions, box) in enumerate(zip(arrays[1], arrays[0])):
        if _near(positions, box, APART)[1].any():
            raise Refusal(
                f"{folder / 'coord.npy'} has two atoms at one place in frame {frame}: leave the frame out of all files"
            )
    return arrays


def width(boxes: np.ndarray) -> float:
    """Return the smallest distance between opposite faces of boxes (F, 3, 3), in Angstrom."""
    return float(np.min(1 / np.linalg.norm(np.linalg.inv(boxes), axis=1)))


def refuse_small(system: System, cutoff: float) -> None:
    """Make sure that an atom and its own image are never both within the cutoff of another.

    Raises
    ------
    Refusal
        If a box is too narrow for that.
    """
    half = width(system.boxes) / 2
    if cutoff > half:
        raise Refusal(f"--cutoff {cutoff:g} is more than half of the narrowest box: give {half:.2f} at most")


class Crowded(ArithmeticError):
    """An atom has more neighbours than there is room for."""


def room(system: System, cutoff: float) -> tuple[int, ...]:
    """Return how many neighbours of each type an atom may have: the most in these frames, and a few more.

    Raises
    ------
    Refusal
        If no atom has any neighbours.
    """
    starts = np.cumsum((0, *system.counts))[:-1]
    near = (np.add.reduceat(_near(*frame, cutoff)[1], starts, axis=1) for frame in zip(system.positions, system.boxes))
    found = np.max([each.max(axis=0) for each in near], axis=0)
    if not found.any():
        raise Refusal(f"--cutoff {cutoff:g} reaches no neighbour in the data: give more")
    return tuple(int(number) + SPARE for number in found)


def neighbours(
    positions: np.ndarray, box: np.ndarray, counts: tuple[int, ...], room: tuple[int, ...], cutoff: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the displacements from each atom to its neighbours, those of each type together.

    Parameters
    ----------
    positions, box : ndarray, (N, 3) and (3, 3)
        Positions of the atoms of a frame, and the vectors of its box, in Angstrom.
    counts, room : tuple of int
        Number of atoms of each type, and room for neighbours of each type; M is the sum of the room.
    cutoff : float
        Distance within which atoms are neighbours, in Angstrom.

    Returns
    -------
    displacements : ndarray of float32, (N, M, 3)
        Vectors from an atom to its neighbours, by the nearest image. Unused places have a vector as long as the cutoff,
        where all weights are 0.
    reverse : ndarray of int32, (N, M)
        Place of the opposite displacement in the flattened (N, M); an unused place has its own.

    Raises
    ------
    Crowded
        If the room is too small.
    """
    vectors, near = _near(positions, box, cutoff)
    atoms, width = len(positions), sum(room)
    displacements = np.full((atoms, width, 3), (cutoff, 0, 0), np.float32)
    slot, slot_of = np.zeros((atoms, atoms), np.int64), np.arange(atoms * width).reshape(atoms, width)
    first = start = 0
    for count, space in zip(counts, room):
        part = slice(first, first + count)
        number = np.cumsum(near[:, part], axis=1)
        if number[:, -1].max() > space:
            raise Crowded(f"an atom has {number[:, -1].max()} neighbours of a type, and there is room for {space}")
        slot[:, part] = start + number - 1
        first, start = first + count, start + space
    i, j = np.nonzero(near)
    displacements[i, slot[i, j]] = vectors[i, j]
    reverse = slot_of.copy()
    reverse[i, slot[i, j]] = slot_of[j, slot[j, i]]
    return displacements, reverse.astype(np.int32)


def between(positions: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the vectors from each atom to every other, by the nearest image, (N, N, 3)."""
    vectors = positions[None] - positions[:, None]
    return vectors - np.rint(vectors @ np.linalg.inv(box)) @ box


def _near(positions: np.ndarray, box: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors between all pairs of atoms, (N, N, 3), and which of them are shorter than the cutoff."""
    vectors = between(positions, box)
    near = np.einsum("ijk,ijk->ij", vectors, vectors) < cutoff**2
    np.fill_diagonal(near, False)
    return vectors, near
