"""Communication between the ranks through Horovod: gradients, what is sent with them, and small objects.

``hvd.DistributedOptimizer`` is not used: with Keras 3 it never sees the gradients, and each rank trains a network of
its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import rankloop
from rankloop import _pulse
from rankloop.keras._lines import refuse

FLAGS = ("stop", "save", "end")
"""What a rank may ask all others for: to save and leave, to save and go on, to end the training."""

_horovod = None
_exchanges = 0


def horovod() -> Any:
    """Return Horovod, with all ranks connected; None if this is the only rank."""
    global _horovod
    if _horovod is None and rankloop.size > 1:
        try:
            import horovod.tensorflow as hvd
        except ImportError as error:
            refuse(
                f"{sys.executable} cannot import Horovod for TensorFlow ({error}), by which {rankloop.size} ranks "
                "would train one network: install it, or start 1 rank"
            )
        hvd.init()
        if (hvd.rank(), hvd.size()) != (rankloop.rank, rankloop.size):
            refuse(
                f"Horovod takes this for rank {hvd.rank()} of {hvd.size()}, its environment for rank {rankloop.rank} "
                f"of {rankloop.size}: start the ranks with rankloop"
            )
        _horovod = hvd
    return _horovod


def take_gpu() -> None:
    """Let TensorFlow use only the GPU of this rank, if it sees those of others too."""
    gpus = tf.config.list_physical_devices("GPU") if "LAUNCH_GPU" in os.environ else []
    if len(gpus) > 1:
        try:
            tf.config.set_visible_devices(gpus[int(os.environ["LAUNCH_GPU"])], "GPU")
        except RuntimeError:
            refuse("TensorFlow has taken all GPUs of the node already: import rankloop.keras before you make a model")


def gather(value: Any) -> list[Any]:
    """Return the values of all ranks, in the order of the ranks; a value is anything small that can be pickled."""
    hvd = horovod()
    with _pulse.waiting("gather"):
        return hvd.allgather_object(value, name="rankloop") if hvd else [value]


def from_first(value: Any) -> Any:
    """Return the value of rank 0."""
    hvd = horovod()
    with _pulse.waiting("from_first"):
        return hvd.broadcast_object(value, root_rank=0, name="rankloop") if hvd else value


def broadcast(variables: Sequence[keras.Variable]) -> None:
    """Give every rank the values that the variables have on rank 0."""
    hvd = horovod()
    if hvd and variables:
        hvd.broadcast_variables([variable.value for variable in variables], root_rank=0)


def _average(tensors: list[tf.Tensor], name: str) -> list[tf.Tensor]:
    """Return the mean over all ranks of each tensor, in one grouped allreduce per type, which also fixes the order of
    the additions."""
    # Horovod has no bfloat16, and a group has one type.
    sent = [tf.cast(tensor, tf.float32) if tensor.dtype == tf.bfloat16 else tensor for tensor in tensors]
    groups: dict[tf.DType, list[int]] = {}
    for place, tensor in enumerate(sent):
        groups.setdefault(tensor.dtype, []).append(place)
    means = list(sent)
    hvd = horovod()
    for dtype, places in groups.items():
        group: Any = [sent[place] for place in places]
        group = hvd.grouped_allreduce(group, op=hvd.Average, name=f"{name}_{dtype.name}")
        for place, mean in zip(places, group):
            means[place] = tf.cast(mean, tensors[place].dtype)
    return means


class Exchange:
    """What travels with the gradients of an optimizer, in the same message: flags, and statistics that layers keep.

    Attributes
    ----------
    kept : list of keras.Variable
        Variables such as the moving means of BatchNormalization; each becomes its mean over all ranks.
    """

    def __init__(self) -> None:
        global _exchanges
        _exchanges += 1  # the same on all ranks, as they run the same program
        self._name = f"rankloop{_exchanges}"
        self.kept: list[keras.Variable] = []
        self._asked = [False] * len(FLAGS)
        with tf.device("CPU"):
            self._own, self._all = (tf.Variable(tf.zeros(len(FLAGS)), trainable=False) for _ in range(2))

    def ask(self, flags: Sequence[bool]) -> None:
        """Ask all ranks for something, from the next step on."""
        if list(flags) != self._asked:
            self._asked = list(flags)
            self._own.assign(np.array(flags, np.float32))

    def asked(self) -> list[bool]:
        """Return what any rank asked for in the last step."""
        return [mean > 0 for mean in self._all.numpy()] if horovod() else self._asked

    def average(self, gradients: Sequence[Any]) -> list[Any]:
        """Return the mean over all ranks of each gradient; also inside a ``tf.function``."""
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients if gradient is not None]
        rest = [tf.reshape(tf.cast(variable.value, tf.float32), [-1]) for variable in self.kept]
        *means, others = _average([*dense, tf.concat([self._own, *rest], 0)], self._name)
        flags, *rest = tf.split(others, [len(FLAGS), *(int(np.prod(variable.shape)) for variable in self.kept)])
        self._all.assign(flags)
        for variable, mean in zip(self.kept, rest):
            variable.assign(tf.cast(tf.reshape(mean, variable.shape), variable.dtype))
        of_all = iter(means)
        return [None if gradient is None else next(of_all) for gradient in gradients]


def averaging(optimizer: Any) -> keras.optimizers.Optimizer:
    """Make an optimizer average its gradients over all ranks before it applies them.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        Any optimizer, including a LossScaleOptimizer, or the name of one. It is changed in place; saving and loading it
        works as before.

    Returns
    -------
    keras.optimizers.Optimizer
        The same object, or the optimizer of that name. Its ``apply`` averages, which ``model.fit``, ``apply_gradients``
        and the user's own loops all call.
    """
    try:
        optimizer = keras.optimizers.get(optimizer)
    except (ValueError, TypeError):
        optimizer = None
    if optimizer is None:
        refuse("averaging takes an optimizer of Keras, or the name of one: averaging(keras.optimizers.Adam(1e-3))")
    if not hasattr(optimizer, "rankloop_exchange"):
        optimizer.rankloop_exchange = exchange = Exchange()
        if horovod():
            apply = optimizer.apply

            def averaged(grads: Any, trainable_variables: Any = None) -> Any:
                return apply(exchange.average(list(grads)), trainable_variables)

            optimizer.apply = averaged
    return optimizer


def kept_statistics(model: keras.Model) -> list[keras.Variable]:
    """Return the variables that layers themselves update, such as moving means; not frozen weights, which do not
    change."""
    frozen = {id(variable) for layer in model._flatten_layers() if not layer.trainable for variable in layer.variables}
    variables = [variable for variable in model.non_trainable_variables if id(variable) not in frozen]
    return [variable for variable in variables if tf.as_dtype(variable.dtype).is_floating]


def own_noise(model: keras.Model) -> None:
    """Give each rank its own noise (dropout, augmentation): a seed made from that of rank 0, which all have, and the
    rank.

    A SeedGenerator holds a seed and a count of draws. The counts stay the same on all ranks, so rank 0 can save for
    all.
    """
    generators = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    for index, state in enumerate(generators if rankloop.rank else []):
        seed, count = state.numpy()
        state.assign(np.array([np.random.SeedSequence((seed, index, rankloop.rank)).generate_state(1)[0], count]))
