"""Many examples in few files:   python -m workloads.climate.pack --data FOLDER --folder OUT [--examples-per-file 64]

FOLDER has a file per example, in a published layout. ``--data OUT`` reads OUT like FOLDER, example by example, each
with a checksum. A rerun packs what is missing; several processes at once, on any nodes, share the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch import errors
from launch.errors import Refusal
from launch.node import stop
from launch.plan import options
from launch.plan.typed import Count
from launch.record.writing import publish, replacing
from workloads.data.news import Live, News
from workloads.data.pieces import Piece, share


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The options of ``python -m workloads.climate.pack``."""

    data: Path | None = None  # folder of files in a published layout
    folder: Path | None = None  # another folder, for the packed files
    examples_per_file: Count = 64  # 3.7 GB of maps of 768 x 1152 points


def packed(path: Path, files: Sequence[Path]) -> Piece:
    """Return the piece of work that makes a packed file, in which each source file becomes a record.

    Writing it raises a refusal if an example cannot be trained on, or does not have the size of the first.
    """

    def make(beat: Callable[[int], None]) -> None:
        import h5py
        import numpy as np

        from workloads.climate.layout import checksum, layout, read

        first, count = files[0], len(files)
        sets, shape = layout(first).sets, read(first)[0].shape
        label_shape = (sets, *shape[:2]) if sets > 1 else shape[:2]
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            records = file.create_dataset("climate/data", (count, *shape), np.float32)
            classes = file.create_dataset("climate/labels_0", (count, *label_shape), np.uint8)
            checksums = file.create_dataset("climate/crc32", (count,), np.uint32)
            for number, example in enumerate(files):
                beat(number)
                if (others := layout(example).sets) != sets:
                    raise Refusal(f"{example} has {others} label sets, {first.name} {sets}: give a folder of one kind")
                data = read(example)[0]
                if data.shape != shape:
                    sizes = "{} x {} points, {} one of {} x {}".format(*data.shape[:2], first.name, *shape[:2])
                    raise Refusal(f"{example} is a map of {sizes}: give a folder of one size")
                labels = np.reshape([read(example, label_set)[1] for label_set in range(sets)], label_shape)
                records[number], classes[number], checksums[number] = data, labels, checksum(data, labels)

    return Piece(path.stem, len(files), [path], make)


def pack(
    data: Path, folder: Path, examples_per_file: int = 64, progress: Callable[[str], None] | None = None
) -> dict[str, tuple[int, int]]:
    """Pack train/ and validation/ of a folder, and copy its statistics.

    Parameters
    ----------
    data, folder : Path
        Folder to read, and folder to write.
    examples_per_file : int
        Number of examples per file; the last file of each split has the rest.
    progress : function, optional
        Called with a line of text when there is news; by default on standard error.

    Returns
    -------
    dict
        Number of examples and number of files, for each split.

    Raises
    ------
    Refusal
        If there is nothing to pack, an example is bad, or the folder cannot be written to.
    """
    from workloads.climate.layout import STATISTICS, layout, statistics
    from workloads.climate.maps import Scale

    progress = progress or Live()
    made: dict[str, tuple[int, int]] = {}
    if data.absolute() == folder.absolute():
        raise Refusal(f"--folder {folder} is where the files are that are to be packed: give another one")
    Scale.read(data, "standard")
    splits = {split: sorted((data / split).glob("data-*.h5")) for split in ("train", "validation")}
    for split, files in splits.items():
        if not files:
            raise Refusal(f"{data / split} has no examples: put files data-*.h5 there")
        if layout(files[0]).examples is not None:
            raise Refusal(f"{data} is packed already: give the folder that it was made of")
    try:
        for split, files in splits.items():
            parts = [files[first : first + examples_per_file] for first in range(0, len(files), examples_per_file)]
            paths = [folder / split / f"data-{number:05d}-of-{len(parts):05d}.h5" for number in range(len(parts))]
            if others := set((folder / split).glob("data-*.h5")) - set(paths):
                raise Refusal(f"{folder / split} has other files already ({min(others).name}): give an empty folder")
            pieces = [packed(path, some) for path, some in zip(paths, parts)]
            share(folder / split, pieces, News(progress, f"examples of {split} packed"))
            made[split] = len(files), len(pieces)
        publish(folder / STATISTICS, statistics(data).read_bytes())
    except OSError as error:
        raise Refusal(
            f"the packed files cannot be written to {folder} ({error.strerror or error}): "
            "give a folder with room as --folder"
        ) from None
    return made


def main(argv: Sequence[str]) -> None:
    """Pack a set."""
    arguments = Arguments(**options.of_command(Arguments, argv, __doc__, "workloads.climate.pack"))
    if not arguments.data or not arguments.folder:
        raise Refusal("what is to be packed and where it goes is missing: give --data FOLDER --folder OUT")
    stop.install()
    for split, (examples, files) in pack(arguments.data, arguments.folder, arguments.examples_per_file).items():
        print(f"{split}: {examples} examples in {files} files of {arguments.folder / split}")


if __name__ == "__main__":
    errors.run(main)
