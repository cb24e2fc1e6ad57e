"""Speed of the flow solver on one core, beside others:   python tests/benchmarks/lattice_boltzmann.py [REPEATS]

Million lattice updates a second of CPU time; the sides take turns. All are D2Q9 with two relaxation times, single precision where
nothing else is said, and a case of the grids is a channel with walls, inlet, outlet and a box in it. Beside ours

- lbmpy's kernel of one step, vectorised C that it writes and compiles for a grid of that size, alone: no wall, inlet or outlet is met;
- lbmpy's time loop with the same walls, a velocity given at the inlet and a density at the outlet, in double precision (with
  single its boundaries did not compile, 2.0);
- loops over cells and directions as one writes them in Numba, with walls and box, without inlet and outlet;
- the same scheme in NumPy, likewise;
- what memory allows: an update reads and writes 9 populations, 72 bytes; a copy of as many bytes as the populations of the grid,
  from one array to another, in turns with the solvers.

lbmpy is taken from the Python that RANKLOOP_LBMPY names, which is made by   python -m venv lbm && lbm/bin/pip install lbmpy==2.0 py-cpuinfo==9.0.0; it
needs a C compiler.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import numba  # noqa: E402
import numpy as np  # noqa: E402
from measured import in_turns, show  # noqa: E402

from workloads.cfd_resnet.channel import Case  # noqa: E402
from workloads.cfd_resnet.d2q9 import DIRECTIONS, OPPOSITE, WEIGHTS  # noqa: E402
from workloads.cfd_resnet.lattice_boltzmann import Batch  # noqa: E402

LBMPY = os.environ.get("RANKLOOP_LBMPY")
GRIDS = ((32, 96), (128, 384))
UPDATES = 20_000_000  # a turn of a fast side
ALONG, ACROSS, BACK, WEIGHT = DIRECTIONS[:, 0], DIRECTIONS[:, 1], OPPOSITE, WEIGHTS.astype(np.float32)

PEER = """
import sys, time
import numpy as np, pystencils as ps
from lbmpy import LBMConfig, LBMOptimisation, LBStencil, Method, Stencil
from lbmpy.boundaries import UBB, FixedDensity, NoSlip
from lbmpy.creationfunctions import create_lb_update_rule
from lbmpy.lbstep import LatticeBoltzmannStep
from pystencils.slicing import make_slice, slice_from_direction
kind, height, length, updates = sys.argv[1], *map(int, sys.argv[2:])
config = LBMConfig(stencil=LBStencil(Stencil.D2Q9), method=Method.TRT, relaxation_rates=[1.7, 0.9], compressible=False,
                   zero_centered=True, delta_equilibrium=True)
if kind == "kernel":
    source, target = (np.zeros((height + 2, length + 2, 9), np.float32, order="F") for _ in range(2))
    fields = ps.fields(f"source(9), target(9): float32[{height + 2},{length + 2}]", layout="fzyx")
    written = LBMOptimisation(symbolic_field=fields[0], symbolic_temporary_field=fields[1], field_layout="fzyx")
    compiled = ps.CreateKernelConfig(target=ps.Target.CurrentCPU, default_dtype="float32", ghost_layers=1)
    compiled.cpu.vectorize.enable = compiled.cpu.vectorize.assume_inner_stride_one = True
    step = ps.create_kernel(create_lb_update_rule(lbm_config=config, lbm_optimisation=written), compiled).compile()
    def run(steps):
        for _ in range(steps // 2):
            step(source=source, target=target)
            step(source=target, target=source)
else:
    loop = LatticeBoltzmannStep(domain_size=(length, height), lbm_config=config, name="channel")
    for kind, place in ((NoSlip(), "N"), (NoSlip(), "S"), (UBB((0.05, 0)), "W"), (FixedDensity(1.0), "E")):
        loop.boundary_handling.set_boundary(kind, slice_from_direction(place, 2))
    box = make_slice[length // 4 : length // 3, height // 3 : height // 2]
    loop.boundary_handling.set_boundary(NoSlip(), box)
    run = loop.run
run(4)
steps = updates // (height * length)
for _ in sys.stdin:
    began = time.process_time()
    run(steps)
    print(height * length * steps / (time.process_time() - began) / 1e6, flush=True)
"""


def box(height: int, length: int) -> np.ndarray:
    """The obstacle."""
    solid = np.zeros((height, length), bool)
    solid[height // 3 : height // 2, length // 4 : length // 3] = True
    return solid


def timed(run: Callable[[int], object], height: int, length: int, updates: int) -> float:
    """Million updates a second of CPU time."""
    steps = updates // (height * length)
    began = time.process_time()
    run(steps)
    return height * length * steps / (time.process_time() - began) / 1e6


def ours(height: int, length: int) -> Callable[[], float]:
    """Our solver."""
    batch = Batch(Case(height, length, 0.05, u_max=0.1), 1)
    batch.put(0, box(height, length))
    batch.advance(2)  # compiles
    return lambda: timed(batch.advance, height, length, UPDATES)


def lbmpy(kind: str, height: int, length: int, updates: int) -> Callable[[], float]:
    """A process with lbmpy, which measures when a line comes."""
    words = [LBMPY, "-c", PEER, kind, height, length, updates]
    process = subprocess.Popen([*map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def measure() -> float:
        process.stdin.write("\n")
        return float(process.stdout.readline())

    measure()  # returns when all is compiled
    return measure


@numba.njit(fastmath=True)
def loops(f: np.ndarray, to: np.ndarray, walls: np.ndarray, even: float, odd: float, steps: int) -> None:
    """As one writes it first: collide and stream cell by cell."""
    height, length = walls.shape
    for _ in range(steps):
        for y in range(height):
            for x in range(length):
                density, u, v = np.float32(0), np.float32(0), np.float32(0)
                for i in range(9):
                    density += f[i, y, x]
                    u += np.float32(ALONG[i]) * f[i, y, x]
                    v += np.float32(ACROSS[i]) * f[i, y, x]
                for i in range(9):
                    speed = np.float32(ALONG[i]) * u + np.float32(ACROSS[i]) * v
                    rest = density + np.float32(4.5) * speed * speed - np.float32(1.5) * (u * u + v * v)
                    one, other = f[i, y, x], f[BACK[i], y, x]
                    collided = one - even * (np.float32(0.5) * (one + other) - WEIGHT[i] * rest)
                    collided -= odd * (np.float32(0.5) * (one - other) - np.float32(3) * WEIGHT[i] * speed)
                    row, column = y + ACROSS[i], (x + ALONG[i]) % length
                    if row < 0 or row >= height or walls[row, column]:
                        to[BACK[i], y, x] = collided
                    else:
                        to[i, row, column] = collided
        f, to = to, f


def plain_numba(height: int, length: int) -> Callable[[], float]:
    """The loops above."""
    f, to = (np.zeros((9, height, length), np.float32) for _ in range(2))
    even, odd = map(np.float32, Case(height, length, 0.05).relaxation)
    loops(f, to, box(height, length), even, odd, 2)
    return lambda: timed(
        lambda steps: loops(f, to, box(height, length), even, odd, steps), height, length, UPDATES // 10
    )


def plain_numpy(height: int, length: int) -> Callable[[], float]:
    """The scheme by whole arrays."""
    even, odd = map(np.float32, Case(height, length, 0.05).relaxation)
    weights, along, across = (array.astype(np.float32)[:, None, None] for array in (WEIGHTS, ALONG, ACROSS))
    solid = box(height, length)
    walls = np.stack([np.roll(solid, (c[1], c[0]), (0, 1)) | solid for c in DIRECTIONS])

    def run(steps: int) -> None:
        g = np.zeros((9, height, length), np.float32)
        for _ in range(steps):
            density = g.sum(axis=0)
            u, v = (along * g).sum(axis=0), (across * g).sum(axis=0)
            speed = along * u + across * v
            reverse = g[OPPOSITE]
            symmetric = weights * (density + 4.5 * speed**2 - 1.5 * (u * u + v * v))
            collided = g - even * (0.5 * (g + reverse) - symmetric) - odd * (0.5 * (g - reverse) - 3 * weights * speed)
            streamed = np.stack([np.roll(collided[i], (c[1], c[0]), (0, 1)) for i, c in enumerate(DIRECTIONS)])
            g = np.where(walls, collided[OPPOSITE], streamed)

    return lambda: timed(run, height, length, UPDATES // 40)


def memory(height: int, length: int) -> Callable[[], float]:
    """Updates that a copy of the populations stands for."""
    f, to = (np.ones(9 * height * length, np.float32) for _ in range(2))

    def run(steps: int) -> None:
        for _ in range(steps // 2):
            np.copyto(to, f)
            np.copyto(f, to)

    return lambda: timed(run, height, length, 10 * UPDATES)


def main(repeats: int) -> None:
    """Compare, and print."""
    for height, length in GRIDS:
        sides = {"ours": ours(height, length)}
        if LBMPY:
            sides["lbmpy, the kernel alone"] = lbmpy("kernel", height, length, UPDATES)
            sides["lbmpy, its time loop, double"] = lbmpy("loop", height, length, UPDATES // 10)
        sides |= {"loops in Numba": plain_numba(height, length), "NumPy": plain_numpy(height, length)}
        sides["a copy of the populations"] = memory(height, length)
        print(f"\n{height} x {length} cells")
        show(in_turns(sides, repeats), "MLUPS")
        print(f"load of the machine: {os.getloadavg()[0]:.1f}", flush=True)
    if not LBMPY:
        print("lbmpy left out: RANKLOOP_LBMPY names no Python that has it")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
