"""How efficient the runs of a study are so far: the throughput per rank, relative to the same point on the fewest
nodes."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from launch.record.study import entries_of
from launch.submit import states
from launch.submit.cutoff import point_of


def so_far(folder: Path, known: Sequence[states.Known]) -> dict[Path, float]:
    """Return the efficiency of those runs of a study whose speed is known.

    It is (X / p) / (X0 / p0), with X the throughput of p ranks together and X0 that of the fewest. This is the parallel
    efficiency of weak scaling, where it is a ratio of times for the same work per rank, and of strong scaling, where it
    is the speed-up over p / p0. X0 is the harmonic mean over the repeats and seeds of the point, as is right for rates
    (Hoefler & Belli, SC15, rule 3). While runs are under way it is only an estimate; python -m profiling report
    measures it.

    Parameters
    ----------
    folder : Path
        Folder of the study.
    known : sequence of Known
        The runs of the study for which the efficiency is wanted.

    Returns
    -------
    dict of Path to float
        Efficiency, by the path of the run; empty if the study has only one number of nodes.

    Raises
    ------
    Refusal
        If the index is damaged.
    """
    entries = {folder / entry["run"]: entry for entry in entries_of(folder)}
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
    """Return the throughput per rank; a speed is multiplied by the work that it advances."""
    return one.throughput * (one.work or 1) / one.ranks if one.throughput and one.ranks else None
