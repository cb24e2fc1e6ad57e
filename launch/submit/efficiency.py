"""How efficient the runs of a study are so far: the throughput of a rank, against the same point on the fewest
nodes."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from launch.record.rundir import read_index
from launch.submit import states
from launch.submit.cutoff import point_of


def so_far(folder: Path, known: Sequence[states.Known]) -> dict[Path, float]:
    """The efficiency of those runs of a study of which a speed is known.

    (X / p) / (X0 / p0), with X the throughput of p ranks together and X0 that of the fewest: the parallel efficiency of
    weak scaling, where that is a ratio of times for the same work a rank, and of strong scaling, where it is the
    speed-up over p / p0. X0 is the harmonic mean over the repeats and seeds of the point, as rates demand (Hoefler &
    Belli, SC15, rule 3). While runs are under way it is a sketch: python -m profiling report measures.

    Parameters
    ----------
    folder : Path
        Of the study.
    known : sequence of Known
        Those of its runs that are to be judged.

    Returns
    -------
    dict of Path to float
        By the path of the run; nothing where the study has but one number of nodes.

    Raises
    ------
    Refusal
        If the index is damaged.
    """
    entries = {folder / entry["run"]: entry for entry in (read_index(folder) or {"runs": []})["runs"]}
    if len({entry["nodes"] for entry in entries.values()}) < 2:
        return {}
    fewest = min(entry["nodes"] for entry in entries.values())
    bases = [path for path, entry in entries.items() if entry["nodes"] == fewest]
    told = {one.path: one for one in known}
    told |= {one.path: one for one in states.look([path for path in bases if path not in told])[0]}
    base: dict[tuple, list[float]] = {}
    for path in bases:
        if each := _each(told[path]):
            base.setdefault((told[path].unit, *point_of(entries[path])), []).append(each)
    found = {}
    for one in known:
        each = _each(one)
        of_fewest = base.get((one.unit, *point_of(entries[one.path]))) if one.path in entries else None
        if each and of_fewest:
            found[one.path] = each / statistics.harmonic_mean(of_fewest)
    return found


def _each(one: states.Known) -> float | None:
    """The throughput of a rank; of a speed, times the work that advances with it."""
    return one.throughput * (one.work or 1) / one.ranks if one.throughput and one.ranks else None
