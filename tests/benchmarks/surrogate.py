"""How much faster the network is than the solver that it learned from:   python tests/benchmarks/surrogate.py [SIZE] [CORES] [FLOWS] [TURNS]

Both on the same CORES (1). The solver makes FLOWS flows as it makes the data: from the obstacles to a steady state by the same tolerance,
shapes that have none drawn anew, a thread a core. The network is that of ``workloads.cfd_resnet`` at its defaults, called on the masks
of such flows, 1 and 32 at a time, as a ``tf.function`` (by XLA it took 4 to 9 times as long); what its weights are makes no difference
to its speed, so they are the first ones. SIZE: small (32 x 64 cells are predicted, 32 x 96 solved) or full. The sides take turns.
"""

import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

SIZE = sys.argv[1] if len(sys.argv) > 1 else "small"
CORES = int(sys.argv[2]) if len(sys.argv) > 2 else 1
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])  # before TensorFlow counts them
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import numpy as np  # noqa: E402
from measured import in_turns, show  # noqa: E402

from launch.node.rank import Rank  # noqa: E402
from launch.plan import options  # noqa: E402
from workloads import cfd_resnet  # noqa: E402
from workloads.cfd_resnet import generate  # noqa: E402
from workloads.cfd_resnet.data import SIZES  # noqa: E402
from workloads.cfd_resnet.generate import record_type  # noqa: E402
from workloads.training import train  # noqa: E402

Seconds = tuple[float, float]  # of CPU time and of time that passed, a flow


def timed(run: Callable[[], object], flows: int) -> Seconds:
    """What a flow takes."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return (time.process_time() - cpu) / flows, (time.perf_counter() - wall) / flows


def solver(flows: int, records: np.ndarray) -> Callable[[], Seconds]:
    """Flows of the test set, an equal part of them for each core."""
    parts = [range(core * flows // CORES, (core + 1) * flows // CORES) for core in range(CORES)]

    def make(part: range) -> None:
        generate.make(SIZES[SIZE], "test", part, records[part.start : part.stop], lambda done: True)

    def run() -> None:
        threads = [threading.Thread(target=make, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return lambda: timed(run, flows)


def network(batch: int, masks: np.ndarray) -> Callable[[], Seconds]:
    """Predictions of so many flows at a time, of 64 in all or more."""
    import tensorflow as tf

    config = options.parse(cfd_resnet.Config, ["--size", SIZE], "workloads.cfd_resnet")
    model = cfd_resnet._network(config, SIZES[SIZE])
    predict = tf.function(lambda inputs: model(inputs, training=False))
    inputs = tf.constant(np.resize(masks, (batch, *masks.shape[1:])), tf.float32)
    predict(inputs)
    calls = max(2, 64 // batch)

    def run() -> None:
        for _ in range(calls):
            predict(inputs).numpy()

    return lambda: timed(run, calls * batch)


def main(flows: int, turns: int) -> None:
    """Compare, and print."""
    train.configure(options.parse(cfd_resnet.Config, [], "workloads.cfd_resnet"), Rank(), 0)
    size = SIZES[SIZE]
    records = np.zeros(flows, record_type(size.height, size.width))
    solve = solver(min(flows, CORES), records)
    solve()  # compiles
    sides: dict[str, Callable[[], Seconds]] = {"solver": solver(flows, records)}
    sides["solver"]()
    for batch in (1, 32):
        sides[f"network, {batch} at a time"] = network(batch, records["mask"])
    found = in_turns(sides, turns)
    print(f"{SIZE}: {size.height} x {size.width} cells, {flows} flows a turn of the solver, {CORES} cores")
    for place, kind in enumerate(("CPU time", "time")):
        times = {side: [value[place] for value in values] for side, values in found.items()}
        print(f"\n{kind} a flow")
        show(times, "ms", 1000)
        for side in list(times)[1:]:
            low, middle, high = statistics.quantiles([a / b for a, b in zip(times["solver"], times[side])], n=4)
            print(f"{side}: the solver takes {middle:.0f} times as long, quartiles {low:.0f} - {high:.0f}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[3]) if len(sys.argv) > 3 else 8, int(sys.argv[4]) if len(sys.argv) > 4 else 5)
