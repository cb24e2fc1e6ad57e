"""What has to be set before JAX has made its devices."""

import contextlib
import os

import jax
import keras

from launch.node.rank import Rank
from workloads.api import Training
from workloads.training.engines.jax import convolution, pooling


def configure(config: Training, rank: Rank, seed: int, threads: int) -> None:
    """Set threads, GPU, determinism, precision and seed."""
    os.environ["NPROC"] = str(threads)  # XLA sizes its pool of threads by it
    if "LAUNCH_GPU" in os.environ:  # this rank's GPU, which the launcher has chosen
        for kind in ("cuda", "rocm"):
            jax.config.update(f"jax_{kind}_visible_devices", os.environ["LAUNCH_GPU"])
    if config.deterministic:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()
    if config.precision != "float32":
        keras.config.set_dtype_policy(f"mixed_{config.precision}")
    convolution.use_products()
    pooling.use_comparisons()
    keras.utils.set_random_seed(seed)


def scope(config: Training) -> contextlib.AbstractContextManager:
    """Return an empty context: JAX has no strategies."""
    return contextlib.nullcontext()
