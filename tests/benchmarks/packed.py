"""Files opened and time read, example by example in a shuffled order, from climate's files as published and packed.

python -m tests.benchmarks.packed [--size 96x144] [--examples 192] [--per-file 64] [--rounds 3]

Both hold the same maps; sides take turns. Before each turn the files are dropped from the page cache (cold), then they are read again
(warm). What a shared file system makes of it is not in these numbers: here the disk is the machine's own.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from workloads.climate.layout import encode, encode_statistics
from workloads.climate.maps import Maps, Scale
from workloads.climate.pack import pack


def write(folder: Path, height: int, width: int, examples: int) -> None:
    """Random maps in the layout of MLPerf HPC."""
    random = np.random.default_rng(0)
    for split, count in (("train", examples), ("validation", 1)):
        (folder / split).mkdir(parents=True)
        for number in range(count):
            data = random.normal(size=(height, width, 16)).astype(np.float32)
            path = folder / split / f"data-{number:05}.h5"
            path.write_bytes(encode(data, random.integers(0, 3, (height, width))))
    (folder / "stats.h5").write_bytes(encode_statistics([folder / "validation" / "data-00000.h5"]))


def forget(folder: Path) -> None:
    """Drop the files from the page cache."""
    for path in folder.rglob("*.h5"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


class Counted(h5py.File):
    """A file that counts how often one is opened."""

    opened = 0

    def __init__(self, *arguments: object, **settings: object) -> None:
        Counted.opened += 1
        super().__init__(*arguments, **settings)


def epoch(folder: Path) -> tuple[int, float]:
    """Files opened and seconds taken to read all training examples in a shuffled order, two at a time."""
    examples = Maps(folder / "train", Scale.read(folder, "standard"))
    order = np.random.default_rng(1).permutation(len(examples)).reshape(-1, 2)
    Counted.opened, began = 0, time.perf_counter()
    for index in order:
        examples.load(index)
    return Counted.opened, time.perf_counter() - began


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="96x144")
    parser.add_argument("--examples", type=int, default=192)
    parser.add_argument("--per-file", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    height, width = map(int, given.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        sides = {"a file an example": Path(folder) / "files", "packed": Path(folder) / "packed"}
        write(sides["a file an example"], height, width, given.examples)
        pack(*sides.values(), given.per_file, progress=lambda line: None)
        h5py.File = Counted
        found: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for _ in range(given.rounds):
            for name, side in sides.items():
                forget(side)
                for state in ("cold", "warm"):
                    found.setdefault((name, state), []).append(epoch(side))
        print(f"{given.examples} maps of {height} x {width}, {given.per_file} in a packed file, {given.rounds} rounds")
        print("| | files | opened in an epoch | cold, ms an example | warm, ms an example |\n|---|---|---|---|---|")
        for name, side in sides.items():
            times = [sorted(1e3 * seconds / given.examples for _, seconds in found[name, s]) for s in ("cold", "warm")]
            cells = [f"{one[len(one) // 2]:.2f} ({one[0]:.2f} - {one[-1]:.2f})" for one in times]
            files = len(list((side / "train").iterdir()))
            print(f"| {name} | {files} | {found[name, 'cold'][0][0]} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
