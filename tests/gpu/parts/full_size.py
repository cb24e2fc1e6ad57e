"""Steps of a network at its full size on JAX, ours and by hand, in both precisions:   full_size.py ... NETWORK

Random values take the place of the data, which are not needed for the time of a step.
"""

import resource
import time
from typing import Any

import hand
import jax
import numpy as np
import part
from part import Part

from launch.node.rank import Rank
from launch.plan import options
from workloads import cfd_resnet, climate
from workloads.api import Data, Workload
from workloads.training import flops, train

_MAP = (768, 1152)
_STEPS = 10


def measure(own: Part) -> None:
    """See the module."""
    (network,) = own.words
    for precision in ("bfloat16", "float32"):
        batch = 1 if own.tiny else {"cfd_resnet": 16, "deepcam": 2, "tiramisu": 1}[network]
        one(own, network, precision, batch, 1 if own.tiny else _STEPS)


def one(own: Part, network: str, precision: str, batch: int, steps: int) -> None:
    """The steps of one precision."""
    module = cfd_resnet if network == "cfd_resnet" else climate
    words = ["--engine=jax", f"--precision={precision}", f"--batch={batch}"]
    if network != "cfd_resnet":
        words += [f"--network={network}", f"--width={8 if own.tiny else 64}"]
    elif own.tiny:
        words += ["--network=fc"]  # the gated network takes a minute to compile on a processor
    config = options.parse(module.Config, words, network)
    engine = train.configure(config, Rank(), 0)
    import keras

    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
    random = np.random.default_rng(0)
    if network == "cfd_resnet":
        workload, inputs, targets = _flows(config, (32, 64) if own.tiny else (128, 256), batch, random)
    else:
        workload, inputs, targets = _maps(config, (32, 48) if own.tiny else _MAP, batch, random)
    with engine.Communicator(Rank()) as communicator:
        optimizer = communicator.averaging(workload.optimizer(config.lr))
        optimizer.build(workload.model.trainable_variables)
        examples = jax.device_put((inputs, targets))
        step, began = engine.Step(workload, optimizer, communicator), time.perf_counter()
        step(1, *examples, [False, False])
        own.row(f"{precision}: first step, which compiles", time.perf_counter() - began, "s")
        step(2, *examples, [False, False])
        began = time.perf_counter()
        for number in range(steps):
            step(number + 3, *examples, [False, False])
        each = (time.perf_counter() - began) / steps
        kind = f"{precision}, batch {batch}"
        own.row(f"{kind}: ours", 1000 * each, "ms per step", f"{workload.model.count_params():,} parameters")
        if counted := step.forward_flops:
            rate = flops.TRAINING * counted / each
            peak = flops.peak(engine.square, keras.config.dtype_policy().compute_dtype)
            own.row(f"{kind}: operations", flops.TRAINING * counted / 1e12, "TFLOP per step")
            own.row(f"{kind}: MFU", 100 * rate / peak, "%", f"of {peak / 1e12:.3g} TFLOP/s of matrix products")
        own.row(f"{kind}: memory of the device", *_memory())
        by_hand = hand.seconds_per_step(workload, optimizer, [examples], steps)
        own.row(f"{kind}: by hand", 1000 * by_hand, "ms per step")
        own.row(f"{kind}: ours over by hand, time of a step", each / by_hand)


def _maps(config: Any, size: tuple[int, int], batch: int, random: Any) -> tuple[Workload, Any, Any]:
    from workloads.climate.metrics import weighted_cross_entropy
    from workloads.climate.published import weights

    model, value = climate._network(config, *size), weights(config.weights)
    workload = _workload(
        model,
        lambda labels, logits: weighted_cross_entropy(labels, logits, value),
        lambda rate: climate._optimizer(config, rate),
    )
    fields = random.standard_normal((batch, *size, 16), np.float32)
    return workload, fields, random.integers(0, 3, (batch, *size)).astype(np.uint8)


def _flows(config: Any, size: tuple[int, int], batch: int, random: Any) -> tuple[Workload, Any, Any]:
    from workloads.cfd_resnet.metrics import relative_error
    from workloads.cfd_resnet.sources import _network

    model = _network(config, *size, channels=1)
    workload = _workload(
        model,
        lambda targets, outputs: relative_error(outputs, targets["flow"]),
        lambda rate: cfd_resnet._optimizer(config, rate),
    )
    masks = (random.random((batch, *size, 1)) < 0.1).astype(np.float32)
    return workload, masks, {"flow": random.standard_normal((batch, *size, 2), np.float32)}


def _workload(model: Any, loss: Any, optimizer: Any) -> Workload:
    nothing = Data(0, lambda index: (None, None))
    return Workload(
        model=model, loss=loss, optimizer=optimizer, train=nothing, validation=nothing,
        statistics=lambda targets, outputs: {}, summarise=lambda totals, examples: {},
    )  # fmt: skip


def _memory() -> tuple[float, str, str]:
    """The most that was in use: of the GPU, or of the process."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"] / 2**30, "GiB", "the most so far, of the GPU"
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "GiB", "the most so far, of the process"


if __name__ == "__main__":
    part.main(measure)
