"""Many examples in few files:   python -m workloads.climate.pack --data FOLDER --folder OUT [--examples-per-file 64]

FOLDER has a file an example, in a published layout; OUT is read by ``--data OUT`` as FOLDER is, example by example, each with a
checksum. Started again it makes what is missing; started more than once, on any nodes, it shares the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch import errors
from launch.errors import Refusal
from launch.node import stop
from launch.plan import option_help, options
from launch.record.files import publish, replacing
from workloads.data.claims import share
from workloads.data.news import Live, News


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The options of ``python -m workloads.climate.pack``."""

    data: Path | None = None  # folder of files in a published layout
    folder: Path | None = None  # of the packed files: another one
    examples_per_file: int = 64  # 3.7 GB of maps of 768 x 1152 points


class Packed:
    """A packed file, as a piece of work.

    Parameters
    ----------
    name : str
        Of the file, without its suffix.
    folder : Path
        Where it goes.
    files : sequence of Path
        An example each, which become records in this order.
    """

    def __init__(self, name: str, folder: Path, files: Sequence[Path]) -> None:
        self.name, self.weight = name, len(files)
        self._path, self._files = folder / f"{name}.h5", files

    def done(self, there: set[str]) -> bool:
        """Whether its file is among those."""
        return self._path.name in there

    def make(self, beat: Callable[[int], None]) -> None:
        """Read and look at each example, and write the file.

        Raises
        ------
        Refusal
            If an example cannot be trained on, or is not of the size of the first.
        """
        import h5py
        import numpy as np

        from workloads.climate.layout import checksum, label_sets, read

        sets = label_sets(self._files[0])
        with replacing(self._path) as temporary, h5py.File(temporary, "w") as file:
            for number, path in enumerate(self._files):
                beat(number)
                found = label_sets(path)
                if found != sets:
                    raise Refusal(
                        f"{path} has {found} label sets, {self._files[0].name} {sets}: give a folder of one kind"
                    )
                data, labels = read(path)
                if sets > 1:
                    labels = np.stack([labels, *(read(path, one)[1] for one in range(1, sets))])
                if not number:
                    count = len(self._files)
                    records = file.create_dataset("climate/data", (count, *data.shape), np.float32)
                    classes = file.create_dataset("climate/labels_0", (count, *labels.shape), np.uint8)
                    checksums = file.create_dataset("climate/crc32", (count,), np.uint32)
                if data.shape != records.shape[1:]:
                    raise Refusal(f"{path} is a map of {data.shape[0]} x {data.shape[1]} points, {self._files[0].name} one of "
                                  f"{records.shape[1]} x {records.shape[2]}: give a folder of one size")  # fmt: skip
                records[number], classes[number], checksums[number] = data, labels, checksum(data, labels)


def pack(
    data: Path, folder: Path, examples_per_file: int = 64, progress: Callable[[str], None] | None = None
) -> dict[str, tuple[int, int]]:
    """Pack train/ and validation/ of a folder, and take its statistics along.

    Parameters
    ----------
    data, folder : Path
        From where, and to where.
    examples_per_file : int
        The last file of each has what is left.
    progress : function, optional
        Called with a line of text when there is news; by default on standard error.

    Returns
    -------
    dict
        Of each split how many examples there are in how many files.

    Raises
    ------
    Refusal
        If there is nothing to pack, an example is bad, or the folder cannot be written to.
    """
    from workloads.climate.layout import STATISTICS, Scale, is_packed, statistics

    progress, made = progress or Live(), {}
    if examples_per_file < 1:
        raise Refusal(f"--examples-per-file {examples_per_file} is too small: give 1 or more")
    if data.absolute() == folder.absolute():
        raise Refusal(f"--folder {folder} is where the files are that are to be packed: give another one")
    Scale.read(data, "standard")
    splits = {split: sorted((data / split).glob("data-*.h5")) for split in ("train", "validation")}
    for split, files in splits.items():
        if not files:
            raise Refusal(f"{data / split} has no examples: put files data-*.h5 there")
        if is_packed(files[0]):
            raise Refusal(f"{data} is packed already: give the folder that it was made of")
    try:
        for split, files in splits.items():
            (folder / split).mkdir(parents=True, exist_ok=True)
            parts = [files[first : first + examples_per_file] for first in range(0, len(files), examples_per_file)]
            pieces = [
                Packed(f"data-{number:05d}-of-{len(parts):05d}", folder / split, some)
                for number, some in enumerate(parts)
            ]
            others = {path.name for path in (folder / split).glob("data-*.h5")} - {
                f"{piece.name}.h5" for piece in pieces
            }
            if others:
                raise Refusal(
                    f"{folder / split} has other files already ({min(others)}): give an empty folder as --folder"
                )
            share(folder / split, pieces, News(progress, f"examples of {split} packed"))
            made[split] = len(files), len(pieces)
        publish(folder / STATISTICS, statistics(data).read_bytes())
    except OSError as error:
        raise Refusal(f"the packed files cannot be written to {folder} ({error.strerror or error}): "
                      "give a folder with room as --folder") from None  # fmt: skip
    return made


def main(argv: Sequence[str]) -> None:
    """Pack a set."""
    values, rest = options.split(Arguments, argv)
    options.refuse_unknown(rest, Arguments, "workloads.climate.pack")
    if values.pop("help", False):
        print(f"{__doc__}\nOptions:\n{option_help.describe(Arguments)}")
        return
    arguments = Arguments(**values)
    if not arguments.data or not arguments.folder:
        raise Refusal("say what is to be packed and where it goes: --data FOLDER --folder OUT")
    stop.install()
    for split, (examples, files) in pack(arguments.data, arguments.folder, arguments.examples_per_file).items():
        print(f"{split}: {examples} examples in {files} files of {arguments.folder / split}")


if __name__ == "__main__":
    errors.run(main)
