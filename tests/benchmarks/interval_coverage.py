"""How often intervals of throughput and efficiency hold the truth, by the repeats of each point and the noise of runs:

    python tests/benchmarks/interval_coverage.py [STUDIES]

Studies are made of which the truth is known: four points, 1 to 8 nodes, whose runs take the time of a law times noise.
Of each noise it prints the share of intervals, of nominal 95 %, that hold the truth, over all points, and for
efficiency over all but the first.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from profiling.study import scaling
from profiling.study.tables import Point, Series

NODES = (1, 2, 4, 8)
REPEATS = (2, 3, 4, 5, 6, 8, 10)
Noise = Callable[[np.random.Generator, int], np.ndarray]  # (repeats, points): factors of the time, with their true mean


def log_normal(draw: np.random.Generator, repeats: int) -> np.ndarray:
    """Runs differ by 3 %, alike at all points."""
    return np.exp(0.03 * draw.normal(size=(repeats, len(NODES))) - 0.03**2 / 2)


def heavy(draw: np.random.Generator, repeats: int) -> np.ndarray:
    """Student's t of 3 degrees of freedom: now and then a run is far off, either way."""
    return 1 + 0.02 * draw.standard_t(3, size=(repeats, len(NODES))).clip(-20, 20)


def slow_runs(draw: np.random.Generator, repeats: int) -> np.ndarray:
    """2 % of noise, and an exponential delay of 3 % in the mean: others use the network."""
    return (
        1 + 0.02 * draw.normal(size=(repeats, len(NODES))) + 0.03 * (draw.exponential(size=(repeats, len(NODES))) - 1)
    )


def drift(draw: np.random.Generator, repeats: int) -> np.ndarray:
    """The machine becomes slower by 2 % from the first repeat to the last, of all points, beside 2 % of noise."""
    slower = np.linspace(-0.01, 0.01, repeats)[:, None]
    return (1 + slower) * np.exp(0.02 * draw.normal(size=(repeats, len(NODES))) - 0.02**2 / 2)


def nodes(draw: np.random.Generator, repeats: int) -> np.ndarray:
    """The slowest of a run's nodes holds up the others; each run has others, of which each differs by 2 %."""
    made, truth = np.empty((repeats, len(NODES))), _slowest()
    for place, count in enumerate(NODES):
        made[:, place] = np.exp(0.02 * draw.normal(size=(repeats, count)).max(axis=1)) / truth[place]
    return made * np.exp(0.005 * draw.normal(size=made.shape))


def unlike(draw: np.random.Generator, repeats: int) -> np.ndarray:
    """The more nodes, the more runs differ: 1 % on the first, 4 % on eight."""
    return np.exp(np.array([0.01, 0.016, 0.025, 0.04]) * draw.normal(size=(repeats, len(NODES))))


NOISES: dict[str, Noise] = {
    "log-normal": log_normal,
    "heavy tails": heavy,
    "slow runs": slow_runs,
    "drift": drift,
    "node effects": nodes,
    "unlike points": unlike,
}
_known: list[np.ndarray] = []


def _slowest() -> np.ndarray:
    """Mean factor of the slowest of so many nodes."""
    if not _known:
        draw = np.random.default_rng(0)
        _known.append(np.array([np.exp(0.02 * draw.normal(size=(400_000, n)).max(axis=1)).mean() for n in NODES]))
    return _known[0]


def held(noise: Noise, repeats: int, studies: int, seed: int = 1) -> tuple[float, float, float]:
    """Shares of the intervals of throughput and of efficiency that hold the truth; share of studies that pool."""
    draw = np.random.default_rng(seed)
    times = np.array([1.0, 1.1, 1.25, 1.5])  # of the same work per node
    rates = np.array(NODES) / times
    efficiency = rates / rates[0] / np.array(NODES)
    found: list[list[bool]] = [[], [], []]
    for _ in range(studies):
        measured = rates / noise(draw, repeats)
        points = tuple(Point(count, tuple(map(float, measured[:, place]))) for place, count in enumerate(NODES))
        table = scaling.table(Series("s", "weak", "examples/s", points))
        for place, row in enumerate(table):
            interval, of_efficiency = row.throughput_interval, row.efficiency_interval
            found[0].append(interval is not None and interval.low <= rates[place] <= interval.high)
            if place:
                found[1].append(
                    of_efficiency is not None and of_efficiency.low <= efficiency[place] <= of_efficiency.high
                )
        found[2].append(table[0].pooled)
    throughput, efficient, pooled = (float(np.mean(each)) for each in found)
    return throughput, efficient, pooled


def main(studies: int) -> None:
    """Print the table."""
    print(f"share of 95 % intervals that hold the truth, of {studies} studies of four points: throughput / efficiency")
    print(f"{'repeats':<14}" + "".join(f"{repeats:>17}" for repeats in REPEATS))
    for name, noise in NOISES.items():
        cells = []
        for repeats in REPEATS:
            throughput, efficient, pooled = held(noise, repeats, studies)
            cells.append(f"{throughput:.1%} / {efficient:.1%}".rjust(17))
        print(f"{name:<14}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
