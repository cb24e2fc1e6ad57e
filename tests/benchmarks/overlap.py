"""How much of sending gradients hides behind computing them: python -m launch --nodes 2 tests/benchmarks/overlap.py [BATCH] [STEPS] [BUCKET_MIB,...]

Steps of workloads.cfd_resnet (gated, 32 x 64 cells) on random flows, one thread per rank, with the gradients in one message (0) and in
buckets (4, 1 MiB), in turns; and reductions of the same bytes alone. Rank 0 prints medians. The link may be slowed down before, as

    tests/slurm/cluster on-node DIR node1 tc qdisc add dev eth0 root tbf rate 200mbit burst 256kb latency 100ms
"""

import os
import statistics
import sys
import time
import zlib

os.environ["HOROVOD_DISABLE_GROUP_FUSION"] = "1"  # as --bucket-mb does
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf

from launch.node.rank import from_environment
from workloads.api import Data, Workload
from workloads.cfd_resnet.metrics import relative_error
from workloads.cfd_resnet.networks import NETWORKS
from workloads.training.engines.horovod.communicator import Communicator
from workloads.training.engines.horovod.step import Step

WARM = 2


def made(communicator: Communicator, bucket_mib: float) -> tuple[keras.Model, Step]:
    """A network with the same first weights, and its step."""
    keras.utils.set_random_seed(0)
    model, nothing = NETWORKS["gated"](32, 64), Data(0, lambda index: (None, None))
    workload = Workload(
        model=model, loss=lambda flows, outputs: relative_error(outputs, flows), optimizer=keras.optimizers.Adam,
        train=nothing, validation=nothing, statistics=lambda *_: {}, summarise=lambda *_: {},
    )  # fmt: skip
    optimizer = communicator.averaging(keras.optimizers.Adam(1e-4), bucket=round(bucket_mib * 2**20))
    optimizer.build(model.trainable_variables)
    return model, Step(workload, optimizer, communicator, xla=False)


def main(batch: int, steps: int, buckets: list[float]) -> None:
    """Measure, and print."""
    rank = from_environment()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank.rank % len(os.sched_getaffinity(0))]})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    random = np.random.default_rng(rank.rank)
    masks = tf.constant((random.random((batch, 32, 64, 1)) < 0.1).astype(np.float32))
    flows = tf.constant(random.standard_normal((batch, 32, 64, 2), np.float32))
    with Communicator(rank) as communicator:
        sides = {bucket: made(communicator, bucket) for bucket in buckets}
        gradients = [tf.zeros(weight.shape) for weight in sides[buckets[0]][0].trainable_variables]
        reduce = tf.function(lambda: communicator.average(gradients, name="alone"))
        took: dict[str, list[float]] = {}
        losses: dict[float, float] = {}
        for number in range(WARM + steps):
            for bucket, (_, step) in sides.items():
                began = time.perf_counter()
                outcome = step(number + 1, masks, flows, [False, False])
                losses[bucket] = outcome.loss
                took.setdefault(f"step, buckets of {bucket:g} MiB", []).append(time.perf_counter() - began)
                took.setdefault(f"computing, buckets of {bucket:g} MiB", []).append(outcome.gradient_seconds)
            communicator.barrier()
            began = time.perf_counter()
            reduce()[0].numpy()
            took.setdefault("sending alone", []).append(time.perf_counter() - began)
        sums = {bucket: _sum(model) for bucket, (model, _) in sides.items()}
    if rank.rank == 0:
        mib = sum(weight.size for weight in map(np.asarray, gradients)) * 4 / 2**20
        print(f"batch {batch}, {mib:.1f} MiB of gradients, load {os.getloadavg()[0]:.1f}")
        for name, seconds in took.items():
            low, middle, _ = statistics.quantiles(seconds[WARM:], n=4)
            print(f"{name:32} median {1000 * middle:6.0f} ms, lower quartile {1000 * low:6.0f} ms")
        for bucket, value in sums.items():
            print(f"buckets of {bucket:g} MiB: loss {losses[bucket]:.7f}, CRC-32 of the weights {value:08x}")


def _sum(model: keras.Model) -> int:
    crc = 0
    for weight in model.weights:
        crc = zlib.crc32(np.asarray(weight).tobytes(), crc)
    return crc


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 8,
        int(sys.argv[2]) if len(sys.argv) > 2 else 20,
        [float(word) for word in sys.argv[3].split(",")] if len(sys.argv) > 3 else [0, 4, 1],
    )
