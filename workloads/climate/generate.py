"""Generated weather with labels by the published rules, in files of the published layout, generated once and shared.

python -m workloads.climate.generate --folder DIR     the set in the published size; several processes share the work

The defaults of the other options are those of the small set, which the workload generates by itself, in
$XDG_CACHE_HOME/rankloop/climate.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from launch import errors
from launch.errors import Refusal
from launch.node import stop
from launch.plan import options
from launch.plan.typed import Bounds, Count, Seed
from launch.record.writing import publish
from workloads.data.news import Live, News
from workloads.data.pieces import Piece, share

if TYPE_CHECKING:
    import numpy as np

VERSION = 1  # part of the cache's key: raise it with every change that changes an example
DAYS = 8  # days of a sequence, with one example per day
STEP_HOURS = 6  # between the maps in which cyclones are detected and tracked
STEPS_A_DAY = 24 // STEP_HOURS


Side = Annotated[int, Bounds(16, 100_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The parameters of a set: everything that its examples depend on. The defaults are the small set."""

    height: Side = 96  # latitudes
    width: Side = 144  # longitudes
    train: Count = 24  # training sequences of 8 days, with an example per day
    validation: Count = 8  # other sequences to measure on
    seed: Seed = 0


SIZES = {"small": Corpus(), "full": Corpus(height=768, width=1152, train=256, validation=32)}


def corpus(parameters: Corpus, *, folder: Path | None = None, progress: Callable[[str], None] | None = None) -> Path:
    """Return the folder of a set. All processes that ask for it at the same time generate missing examples first.

    Parameters
    ----------
    parameters : Corpus
        Parameters of the set.
    folder : Path, optional
        The folder of the set; by default one named after the parameters in ``$XDG_CACHE_HOME/rankloop/climate``.
    progress : function, optional
        Called with a line of text when there is news; by default on standard error.

    Returns
    -------
    Path
        Folder in the layout of MLPerf HPC; see `layout`.

    Raises
    ------
    Refusal
        If the folder cannot be written to.
    SystemExit
        With the status `launch.node.stop.STOPPED`, if a signal asked this process to stop.
    """
    progress = progress or Live()
    root = folder or cache(parameters)
    try:
        for split, count in (("train", parameters.train), ("validation", parameters.validation)):
            pending = [days(parameters, split, number, root / split) for number in range(count)]
            share(root / split, pending, News(progress, f"days of weather for {split}"))
        share(root, [statistics(root)], lambda *counts: None)
    except OSError as error:
        raise Refusal(
            f"the folder of weather {root} cannot be used ({error.strerror}): "
            "set XDG_CACHE_HOME to one with room that can be written to"
        ) from None
    return root


def cache(parameters: Corpus) -> Path:
    """Return the default folder of a set."""
    import hashlib  # not at the top: the launcher reads this module in every dry run

    values = dataclasses.asdict(parameters) | {"version": VERSION}
    key = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rankloop" / "climate"
    return root / f"{parameters.height}x{parameters.width}-{key}"


def days(parameters: Corpus, split: str, number: int, folder: Path) -> Piece:
    """Return the piece of work that makes some days of weather, tracked in time: a file per day."""
    first = datetime.date(2000, 1, 1) + datetime.timedelta(days=DAYS * number)
    dates = (first + datetime.timedelta(days=day) for day in range(DAYS))
    paths = [folder / f"data-{date:%Y-%m-%d}-04-{split == 'validation':d}.h5" for date in dates]  # 04: at noon

    def make(beat: Callable[[int], None]) -> None:
        from workloads.climate.layout import encode

        seed = [parameters.seed, int(split == "validation"), number]
        for path, (fields, labels) in zip(paths, examples(parameters.height, parameters.width, seed, beat)):
            publish(path, encode(fields, labels))

    return Piece(f"sequence-{number:05d}", DAYS, paths, make)


def statistics(folder: Path) -> Piece:
    """Return the piece of work that makes the statistics of all training examples."""

    def make(beat: Callable[[int], None]) -> None:
        from workloads.climate.layout import encode_statistics

        publish(folder / "stats.h5", encode_statistics(sorted((folder / "train").glob("data-*.h5"))))

    return Piece("stats", 1, [folder / "stats.h5"], make)


def examples(
    height: int, width: int, seed: Sequence[int], beat: Callable[[int], None]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the maps of a sequence, one a day at noon, with their labels.

    Parameters
    ----------
    height, width : int
        Number of points of the map along each axis.
    seed : sequence of int
        The seed of the weather.
    beat : function
        Called often, with the number of maps generated so far.

    Yields
    ------
    fields : array (H, W, 16), float32
    labels : array (H, W), uint8
        Class of each point by the rules in `rivers` and `cyclones`; where both apply, it is a cyclone, as in the
        published data.
    """
    import numpy as np

    from workloads.climate import cyclones, rivers
    from workloads.climate.grid import Grid
    from workloads.climate.published import CHANNELS, CYCLONE, RIVER
    from workloads.climate.weather import Weather

    grid = Grid(height, width)
    weather = Weather(grid, list(seed), DAYS)
    candidates = []
    for step in range(DAYS * STEPS_A_DAY):
        candidates.append(cyclones.candidates(weather(step * STEP_HOURS), grid))
        beat(step * DAYS // (DAYS * STEPS_A_DAY))
    tracked = cyclones.tracks(candidates, STEP_HOURS)
    for step in range(STEPS_A_DAY // 2, DAYS * STEPS_A_DAY, STEPS_A_DAY):
        fields = weather(step * STEP_HOURS)
        labels = np.zeros((height, width), np.uint8)
        u, v, humidity = (fields[..., CHANNELS.index(name)] for name in ("U850", "V850", "QREFHT"))
        labels[rivers.rivers(rivers.transport(u, v, humidity), grid.latitudes, grid.longitudes) > 0] = RIVER
        for track in tracked:
            for when, one in track:
                if when == step:
                    cyclones.paint(labels, fields, one, grid, CYCLONE)
        yield fields, labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments(Corpus):
    """The options of ``python -m workloads.climate.generate``."""

    size: Literal["full", "small"] = "full"  # the set that the options above change
    folder: Path | None = None  # of the set, in place of one in $XDG_CACHE_HOME/rankloop/climate


def main(argv: Sequence[str]) -> None:
    """Generate a set."""
    values = options.of_command(Arguments, argv, __doc__, "workloads.climate.generate")
    folder, size = values.pop("folder", None), values.pop("size", "full")
    stop.install()
    print(corpus(dataclasses.replace(SIZES[size], **values), folder=folder))


if __name__ == "__main__":
    errors.run(main)
