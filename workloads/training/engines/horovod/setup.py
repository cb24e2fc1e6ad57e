"""What has to be set before TensorFlow is used."""

import os

import keras
import tensorflow as tf

from launch.errors import Refusal
from launch.node.rank import Rank
from workloads.api import Training
from workloads.training.engines.horovod import bias, mirrored


def configure(config: Training, rank: Rank, seed: int, threads: int) -> None:
    """Set threads, GPU, determinism, precision and seed."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    if config.strategy == "mirrored":
        mirrored.prepare()
    elif gpus := tf.config.list_physical_devices("GPU"):
        # This rank's GPU, which the launcher has chosen; the others stay visible for the links between them.
        own = gpus[int(os.environ.get("LAUNCH_GPU", "0"))]
        tf.config.set_visible_devices(own, "GPU")
        tf.config.experimental.set_memory_growth(own, True)
    elif "LAUNCH_GPU" in os.environ:
        raise Refusal(
            f"rank {rank.rank} has a GPU, and this TensorFlow finds none: install tensorflow[and-cuda] as "
            "docs/install.md says, or launch with --gpus-per-node 0; rankloop doctor says which library does not load"
        )
    if config.bucket_mb:
        # Each bucket stays a message of its own, also where two are ready at once: so the additions have one order.
        os.environ.setdefault("HOROVOD_DISABLE_GROUP_FUSION", "1")
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    if config.precision != "float32":
        keras.config.set_dtype_policy(f"mixed_{config.precision}")
    if config.precision == "bfloat16":
        bias.sum_gradients_in_float32()
    keras.utils.set_random_seed(seed)
