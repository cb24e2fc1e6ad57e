"""Speed of the solver beside the same scheme in NumPy, on one core: python tests/benchmarks/lattice_boltzmann.py

Both collide with two relaxation times, stream and bounce back; inlet and outlet are left out of the NumPy side, so the
ratio is, if anything, too low. Million lattice updates per second; the two take turns, and the medians are compared.
"""

import os
import statistics
import sys
import time
from pathlib import Path

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before TensorFlow counts cores
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402

from workloads.cfd_resnet.channel import Case  # noqa: E402
from workloads.cfd_resnet.d2q9 import DIRECTIONS, OPPOSITE, WEIGHTS  # noqa: E402
from workloads.cfd_resnet.lattice_boltzmann import Batch  # noqa: E402

REPEATS = 5


def numpy_steps(solid: np.ndarray, relaxation: tuple[float, float], steps: int) -> float:
    """Time of some steps in NumPy, in seconds."""
    even, odd = (np.float32(rate) for rate in relaxation)
    weights = WEIGHTS.astype(np.float32)[:, None, None]
    along, across = (DIRECTIONS[:, k].astype(np.float32)[:, None, None] for k in (0, 1))
    walls = np.stack([np.roll(solid, (c[1], c[0]), (0, 1)) | solid for c in DIRECTIONS])
    g = np.zeros((9, *solid.shape), np.float32)
    start = time.perf_counter()
    for _ in range(steps):
        density = g.sum(axis=0)
        u, v = (along * g).sum(axis=0), (across * g).sum(axis=0)
        speed = along * u + across * v
        reverse = g[OPPOSITE]
        symmetric = weights * (density + 4.5 * speed**2 - 1.5 * (u * u + v * v))
        collided = g - even * (0.5 * (g + reverse) - symmetric) - odd * (0.5 * (g - reverse) - 3 * weights * speed)
        streamed = np.stack([np.roll(collided[i], (c[1], c[0]), (0, 1)) for i, c in enumerate(DIRECTIONS)])
        g = np.where(walls, collided[OPPOSITE], streamed)
    return time.perf_counter() - start


def main() -> None:
    print(f"{'cells':>16} {'NumPy':>8} {'ours':>8} {'ratio':>6}   (million lattice updates per second, one core)")
    for height, length, flows in ((32, 96, 1), (32, 96, 2), (128, 384, 1)):
        solid = np.zeros((height, length), bool)
        solid[height // 3 : height // 2, length // 4 : length // 3] = True
        case = Case(height, length, 0.05, u_max=0.1)
        batch = Batch(case, flows)
        for slot in range(flows):
            batch.put(slot, solid)
        cells = height * length
        steps = {"numpy": max(1, 600_000 // cells), "ours": max(1, 6_000_000 // cells // flows)}
        batch.advance(steps["ours"])  # compile
        speeds: dict[str, list[float]] = {"numpy": [], "ours": []}
        for _ in range(REPEATS):
            speeds["numpy"].append(cells * steps["numpy"] / numpy_steps(solid, case.relaxation, steps["numpy"]) / 1e6)
            start = time.perf_counter()
            batch.advance(steps["ours"])
            speeds["ours"].append(flows * cells * steps["ours"] / (time.perf_counter() - start) / 1e6)
        theirs, ours = (statistics.median(speeds[name]) for name in ("numpy", "ours"))
        print(f"{flows:>4} x {height:>3} x {length:>3} {theirs:8.1f} {ours:8.1f} {ours / theirs:6.1f}", flush=True)


if __name__ == "__main__":
    main()
