"""How fast the ranks of this machine talk: python -m launch --nodes 2 tests/benchmarks/links.py

Rank 0 prints a table [network] for a site file, from allreduces of two ranks on two nodes, each the median of 40: of the
large ones the bytes/s, of the small ones the latency. With one node and two ranks it is the link within a node.
"""

import os
import statistics
import time

import horovod.tensorflow as hvd
import tensorflow as tf

REPEATS, SMALL, LARGE = 40, 1024, (2**21, 2**23)
CYCLE_S = 1e-4
os.environ["HOROVOD_CYCLE_TIME"] = str(CYCLE_S * 1e3)


def measure(size: int) -> float:
    """Median seconds of an allreduce of some bytes."""
    tensor, seconds = tf.zeros(size // 4), []
    for _ in range(REPEATS):
        hvd.allreduce(tf.zeros(1), name="together")
        began = time.perf_counter()
        hvd.allreduce(tensor, name=f"of{size}").numpy()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def main() -> None:
    """Measure, and print."""
    hvd.init()
    small, (less, more) = measure(SMALL), map(measure, LARGE)
    if hvd.rank() == 0:
        # Two ranks in a ring: 2 latency + bytes / speed, behind half a cycle and an agreement of 2 latencies.
        speed = (LARGE[1] - LARGE[0]) / (more - less)
        latency = max(small - CYCLE_S / 2, 0) / 4
        where = "inter_node" if hvd.local_size() == 1 else "intra_node"
        print(f"[network]\n{where}_gbit_per_s = {speed * 8e-9:.3g}\n{where}_latency_us = {latency * 1e6:.3g}")
        print(f"# {SMALL} B {small * 1e3:.3g} ms, {LARGE[0]} B {less * 1e3:.3g} ms, {LARGE[1]} B {more * 1e3:.3g} ms")
    hvd.shutdown()


if __name__ == "__main__":
    main()
