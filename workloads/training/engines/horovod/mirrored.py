"""One process on all its devices, by TensorFlow's MirroredStrategy: what ranks can be compared with.

The weights are on every device; each takes its part of the batch, and the gradients are averaged before the update.
Variables and the loop are made within `scope`; nothing else differs.
"""

from __future__ import annotations

import contextlib
from typing import Any

import tensorflow as tf

from launch.errors import Refusal
from workloads.api import Training

CPUS = 2  # devices that the processor is divided into if there is no GPU


def prepare() -> None:
    """Make the devices known, before TensorFlow uses any."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        [cpu] = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * CPUS)


def scope(config: Training) -> contextlib.AbstractContextManager:
    """Return the context in which variables are made for all devices, if the options ask for it.

    Raises
    ------
    Refusal
        If the devices cannot share the batch.
    """
    if config.strategy != "mirrored":
        return contextlib.nullcontext()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if config.batch % len(devices):
        raise Refusal(
            f"a batch of {config.batch} cannot be shared by {len(devices)} devices: give a multiple as --batch"
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices]).scope()


def on_all_devices(strategy: tf.distribute.Strategy, gradients: Any) -> Any:
    """Return a function that averages loss and gradients over the parts of a batch, one part per device.

    Parameters
    ----------
    strategy : tf.distribute.Strategy
        Strategy in whose scope the variables were made.
    gradients : function
        ``(inputs, targets) -> (loss, gradients)``, on one device.
    """
    count = strategy.num_replicas_in_sync

    def own(inputs: Any, targets: Any) -> tuple[tf.Tensor, list]:
        place = tf.distribute.get_replica_context().replica_id_in_sync_group
        part = tf.nest.map_structure(
            lambda x: tf.reshape(x, (count, x.shape[0] // count, *x.shape[1:]))[place], (inputs, targets)
        )
        return gradients(*part)

    def means(inputs: Any, targets: Any) -> tuple[tf.Tensor, list]:
        of_devices = strategy.run(own, (inputs, targets))
        return tf.nest.map_structure(lambda value: strategy.reduce("MEAN", value, axis=None), of_devices)

    return means
