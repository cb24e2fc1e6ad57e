"""One training step of a climate network on maps of 768 x 1152 points:   python tests/benchmarks/full_size.py NETWORK [PRECISION] [GIB] [STEPS]

Batch 1, on all cores that the process may use: the step as the loop makes it, STEPS (3) times, of which the first compiles; the peak of the
process's memory; operations (three times the products of the forward pass) a second of CPU time, beside what matrix products of 4,096
rows reach in the same process. NETWORK: tiramisu, deeplab or deepcam; PRECISION: float32 or bfloat16. It gives up where it would need
more than GIB of memory.
"""

import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from launch.node.rank import Rank
from launch.plan import options
from workloads import climate
from workloads.training import train

MAP = (768, 1152)


def products(dtype: str) -> float:
    """Operations a second of CPU time of the fastest of a few matrix products."""
    import tensorflow as tf

    factor, best = tf.cast(tf.random.stateless_uniform((4096, 4096), (1, 2)), dtype), 0.0
    for _ in range(5):
        began = time.process_time()
        tf.matmul(factor, factor)[0, 0].numpy()
        best = max(best, 2 * 4096**3 / (time.process_time() - began))
    return best


def main(network: str, precision: str, gib: float, steps: int) -> None:
    """Make the steps, and print."""
    if gib:
        resource.setrlimit(resource.RLIMIT_AS, (round(gib * 2**30),) * 2)
    words = ["--network", network, "--precision", precision, "--size", "full", "--batch", "1"]
    config = options.parse(climate.Config, words, "workloads.climate")
    train.configure(config, Rank(), 0)
    import keras
    import numpy as np
    import tensorflow as tf

    from workloads.api import Data, Workload
    from workloads.climate.metrics import weighted_cross_entropy
    from workloads.climate.published import weights
    from workloads.training import flops
    from workloads.training.engines.horovod.communicator import Communicator
    from workloads.training.engines.horovod.step import Step

    model, value = climate._network(config, *MAP), weights(config.weights)
    communicator = Communicator(Rank())
    optimizer = communicator.averaging(climate._optimizer(config, config.lr))
    optimizer.build(model.trainable_variables)
    nothing = Data(0, lambda index: None)
    workload = Workload(
        model=model, loss=lambda labels, logits: weighted_cross_entropy(labels, logits, value),
        optimizer=lambda rate: optimizer, train=nothing, validation=nothing,
        statistics=lambda *_: {}, summarise=lambda *_: {},
    )  # fmt: skip
    random = np.random.default_rng(0)
    fields = tf.constant(random.standard_normal((1, *MAP, 16), np.float32))
    labels = tf.constant(random.integers(0, 3, (1, *MAP), np.uint8))
    step, seconds, cpus = Step(workload, optimizer, communicator, config.xla), [], []
    for number in range(steps):
        began, cpu = time.perf_counter(), time.process_time()
        outcome = step(number + 1, fields, labels, [False, False])
        seconds.append(time.perf_counter() - began)
        cpus.append(time.process_time() - cpu)
        print(
            f"step {number + 1}: {seconds[-1]:.1f} s, {cpus[-1]:.1f} s of CPU time, loss {outcome.loss:.4f}", flush=True
        )
    counted = flops.TRAINING * step.forward_flops
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    peak = products(keras.config.dtype_policy().compute_dtype)
    best, used = min(seconds[1:]), min(cpus[1:])
    print(
        f"{network}, {model.count_params():,} parameters, {precision}, {len(os.sched_getaffinity(0))} cores: {counted / 1e12:.3f} TF a step, "
        f"{used:.1f} s of CPU time in {best:.1f} s; {counted / used / 1e9:.0f} GFLOP a second of CPU time, {counted / used / peak:.0%} of "
        f"the {peak / 1e9:.0f} of matrix products; {memory:.1f} GiB at most; load of the machine {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main(
        sys.argv[1],
        sys.argv[2] if len(sys.argv) > 2 else "float32",
        float(sys.argv[3]) if len(sys.argv) > 3 else 0,
        int(sys.argv[4]) if len(sys.argv) > 4 else 3,
    )
