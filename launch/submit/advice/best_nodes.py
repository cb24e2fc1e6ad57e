"""Finds the number of nodes on which a study ran at the best cost for the time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from launch.record.rundir import RunDir
from launch.record.study import entries_of
from launch.submit.cutoff import Measured, measured, point_of

WHY = (
    "best is where efficiency / time is highest, the knee of their curve (Eager, Zahorjan & Lazowska, IEEE Trans. "
    "Comput. 38 (1989) 408)"
)
"""The criterion as text. As time is work / throughput, it means that throughput^2 / nodes is highest."""


class Best(NamedTuple):
    """The best among points of a study that differ only in their nodes."""

    values: Mapping[str, str]  # what the points have in common, by the axes of the study
    points: Sequence[Measured]  # ordered by their nodes
    nodes: int

    @property
    def is_largest(self) -> bool:
        """Whether no more nodes were measured."""
        return self.nodes == self.points[-1].nodes

    def rows(self) -> list[dict[str, float]]:
        """Return, for each point, the speed-up, efficiency and node-hours for the same work, relative to the smallest
        point."""
        base = self.points[0]
        return [
            {
                "nodes": point.nodes,
                "throughput": point.rate,
                "speed_up": point.rate / base.rate,
                "efficiency": (point.rate / point.nodes) / (base.rate / base.nodes),
                "node_hours": (base.rate / base.nodes) / (point.rate / point.nodes),
            }
            for point in self.points
        ]


def of(folder: Path) -> list[Best]:
    """Return the best number of nodes for each series of a study that was measured on two or more numbers of nodes.

    A point counts as measured once none of its runs is still to come. Its value is the harmonic mean over its runs that
    have a result.
    """
    index = entries_of(folder)
    series: dict[tuple[tuple[str, str], ...], dict[int, list[RunDir]]] = {}
    for entry in index:
        runs = series.setdefault(point_of(entry), {}).setdefault(entry["nodes"], [])
        runs.append(RunDir(folder / entry["run"]))
    found = []
    for values, points in series.items():
        known = [point for nodes in sorted(points) if (point := measured(nodes, points[nodes]))]
        if len(known) > 1 and len({point.unit for point in known}) == 1:
            best = max(known, key=lambda point: (point.rate**2 / point.nodes, -point.nodes))
            found.append(Best(dict(values), known, best.nodes))
    return found


def said(best: Best) -> str:
    """Return what the best number of nodes gains and costs, as text."""
    row = next(row for row in best.rows() if row["nodes"] == best.nodes)
    fewest = best.points[0].nodes
    nodes = f"{best.nodes} node{'s' * (best.nodes > 1)}"
    of = f" of {', '.join(f'{axis}={value}' for axis, value in best.values.items())}" if best.values else ""
    if best.nodes == fewest:
        most = max(best.rows(), key=lambda row: row["speed_up"])
        if most["nodes"] == fewest:
            return f"best cost for the time{of}: {nodes}; more were not faster"
        return (
            f"best cost for the time{of}: {nodes}; {most['nodes']} are {most['speed_up']:.3g} times as fast for "
            f"{most['node_hours']:.3g} times the node-hours"
        )
    return (
        f"best cost for the time{of}: {nodes}, {row['speed_up']:.3g} times as fast as {fewest} for "
        f"{row['node_hours']:.3g} times the node-hours"
        + ", the most that were measured: more may be better still"
        * best.is_largest
    )
