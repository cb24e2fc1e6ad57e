"""Generated weather with labels by the published rules, in files of the published layout: made once, by whoever is free.

python -m workloads.climate.generate --folder DIR     the set in the published size; started again, or more than once, it shares the work

The workload makes its small set so by itself, in $XDG_CACHE_HOME/rankloop/climate.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from launch import errors
from launch.errors import Refusal
from launch.node import stop
from launch.plan import option_help, options
from launch.record.files import publish
from workloads.data.claims import share
from workloads.data.news import Live, News

if TYPE_CHECKING:
    import numpy as np

VERSION = 1  # part of the cache's key: raise it with every change that changes an example
DAYS = 8  # of a sequence: as many examples, one a day
STEP_HOURS = 6  # between the maps in which cyclones are looked for and followed
STEPS_A_DAY = 24 // STEP_HOURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The parameters of a set: all that its examples depend on. The defaults are the small set."""

    height: int = 96  # latitudes
    width: int = 144  # longitudes
    train: int = 24  # sequences of 8 days to learn from, an example a day
    validation: int = 8  # other sequences to measure on
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("height", 16), ("width", 16), ("train", 1), ("validation", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise Refusal(f"--{name} {getattr(self, name)} is too small for maps of weather: give {least} or more")


SIZES = {"small": Corpus(), "full": Corpus(height=768, width=1152, train=256, validation=32)}


def corpus(
    parameters: Corpus, *, folder: Path | None = None, progress: Callable[[str], None] | None = None
) -> Path:  # fmt: skip
    """The folder of a set, whose missing examples are made first, by all processes that ask for it at the same time.

    Parameters
    ----------
    parameters : Corpus
        Which set.
    folder : Path, optional
        Of the set itself; by default one named after the parameters in ``$XDG_CACHE_HOME/rankloop/climate``.
    progress : function, optional
        Called with a line of text when there is news; by default on standard error.

    Returns
    -------
    Path
        In the layout of MLPerf HPC; see `layout`.

    Raises
    ------
    Refusal
        If the folder cannot be written to.
    SystemExit
        With `launch.node.stop.STOPPED`, if a signal asked this process to stop.
    """
    progress = progress or Live()
    root = folder or cache(parameters)
    try:
        for split, count in (("train", parameters.train), ("validation", parameters.validation)):
            (root / split).mkdir(parents=True, exist_ok=True)
            pending = [Days(parameters, split, number, root / split) for number in range(count)]
            share(root / split, pending, News(progress, f"days of weather for {split}"))
        statistics = Statistics(root, root / "train")
        share(root, [statistics], lambda *counts: None)
    except OSError as error:
        raise Refusal(f"the folder of weather {root} cannot be used ({error.strerror}): "
                      "set XDG_CACHE_HOME to one with room that can be written to") from None  # fmt: skip
    return root


def cache(parameters: Corpus) -> Path:
    """Where a set is kept unless told otherwise."""
    import hashlib  # not at the top: the launcher reads this module in every dry run

    values = dataclasses.asdict(parameters) | {"version": VERSION}
    key = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rankloop" / "climate"
    return root / f"{parameters.height}x{parameters.width}-{key}"


class Days:
    """Some days of weather, followed in time, as a piece of work."""

    def __init__(self, parameters: Corpus, split: str, number: int, folder: Path) -> None:
        self.name = f"sequence-{number:05d}"
        self.weight = DAYS
        self._parameters, self._split, self._number = parameters, split, number
        begin = datetime.date(2000, 1, 1) + datetime.timedelta(days=DAYS * number)
        days = (begin + datetime.timedelta(days=day) for day in range(DAYS))
        self._files = [folder / f"data-{day:%Y-%m-%d}-04-{split == 'validation':d}.h5" for day in days]  # 04: at noon

    def done(self, there: set[str]) -> bool:
        """Whether all its files are among those."""
        return all(path.name in there for path in self._files)

    def make(self, beat: Callable[[int], None]) -> None:
        """Write its files, and tell after each day how many are done."""
        from workloads.climate.layout import encode

        seed = [self._parameters.seed, int(self._split == "validation"), self._number]
        made = examples(self._parameters.height, self._parameters.width, seed, beat)
        for path, (fields, labels) in zip(self._files, made):
            publish(path, encode(fields, labels))


class Statistics:
    """The statistics of all training examples, as a piece of work."""

    name, weight = "stats", 1

    def __init__(self, folder: Path, train: Path) -> None:
        self._path, self._train = folder / "stats.h5", train

    def done(self, there: set[str]) -> bool:
        """Whether its file is among those."""
        return self._path.name in there

    def make(self, beat: Callable[[int], None]) -> None:
        """Write its file."""
        from workloads.climate.layout import encode_statistics

        publish(self._path, encode_statistics(sorted(self._train.glob("data-*.h5"))))


def examples(
    height: int, width: int, seed: Sequence[int], beat: Callable[[int], None]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """The maps of a sequence, one a day at noon, with their labels.

    Parameters
    ----------
    height, width : int
        Points of the map along each axis.
    seed : sequence of int
        Of the weather.
    beat : function
        Called often, with the number of maps made so far.

    Yields
    ------
    fields : array (H, W, 16), float32
    labels : array (H, W), uint8
        By the rules in `rivers` and `cyclones` alone; where both are, it is a cyclone, as in the published data.
    """
    import numpy as np

    from workloads.climate import cyclones, rivers
    from workloads.climate.grid import Grid
    from workloads.climate.published import CHANNELS, CYCLONE, RIVER
    from workloads.climate.weather import Weather

    grid = Grid(height, width)
    weather = Weather(grid, list(seed), DAYS)
    found = []
    for step in range(DAYS * STEPS_A_DAY):
        found.append(cyclones.candidates(weather(step * STEP_HOURS), grid))
        beat(step * DAYS // (DAYS * STEPS_A_DAY))
    tracked = cyclones.tracks(found, STEP_HOURS)
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
    """Make a set."""
    values, rest = options.split(Arguments, argv)
    options.refuse_unknown(rest, Arguments, "workloads.climate.generate")
    if values.pop("help", False):
        print(f"{__doc__}\nOptions, with the defaults of --size small:\n{option_help.describe(Arguments)}")
        return
    folder = values.pop("folder", None)
    parameters = dataclasses.replace(SIZES[values.pop("size", "full")], **values)
    stop.install()
    print(corpus(parameters, folder=folder))


if __name__ == "__main__":
    errors.run(main)
