"""Ranks talking to each other: the only module that imports Horovod.

With one rank nothing is imported and every function is the identity. `hvd.DistributedOptimizer` is not used: with
Keras 3 it never sees the gradients, and each rank trains a network of its own, without any error. `averaging` is the
way that works, for ``model.fit`` and for a loop of one's own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from rankloop import _pulse

from launch.errors import Refusal
from launch.node.meeting import rendezvous
from launch.node.rank import Rank

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Communicator:
    """The ranks of a run, as one of them sees them.

    A context manager: entering it connects the ranks, leaving it disconnects them. A rank that leaves by an exception
    does not disconnect: the others could wait for it forever, and whoever started the ranks ends them instead.

    Parameters
    ----------
    rank : Rank
        Rank of this process.
    timeline : bool
        Whether `start_timeline` will be called: Horovod has to know it when it starts.

    Raises
    ------
    Refusal
        On entering, if Horovod numbers the ranks in another way than whoever started them.
    """

    def __init__(self, rank: Rank, timeline: bool = False) -> None:
        self.rank = rank
        self._timeline = timeline
        self.size = rank.size
        self._hvd = None

    def __enter__(self) -> Self:
        if self.size > 1:
            import horovod.tensorflow as hvd

            if self._timeline:
                os.environ["HOROVOD_TIMELINE"] = "DYNAMIC"
            hvd.init()
            if (hvd.rank(), hvd.size()) != (self.rank.rank, self.size):
                raise Refusal(
                    f"Horovod takes this for rank {hvd.rank()} of {hvd.size()}, the {self.rank.source} environment for "
                    f"rank {self.rank.rank} of {self.size}: start the ranks with rankloop"
                )
            self._hvd = hvd
            self.barrier()
            rendezvous.close()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        if self._hvd and kind is None:
            self.barrier()  # a rank that shuts down earlier makes the others' last collective fail
            self._hvd.shutdown()

    def average(self, tensors: Sequence[tf.Tensor], name: str = "average") -> list[tf.Tensor]:
        """Return each tensor's mean over all ranks, by one grouped allreduce per type; also in a ``tf.function``.

        The group fixes what is fused into one message, and so the order of the additions: repeating a run
        gives the same bits.
        """
        if not self._hvd:
            return list(tensors)
        import tensorflow as tf

        # Horovod does not know bfloat16, and a group has one type.
        sent = [tf.cast(tensor, tf.float32) if tensor.dtype == tf.bfloat16 else tensor for tensor in tensors]
        groups: dict[tf.DType, list[int]] = {}
        for place, tensor in enumerate(sent):
            groups.setdefault(tensor.dtype, []).append(place)
        means = list(sent)
        for dtype, places in groups.items():
            group: Any = [sent[place] for place in places]
            group = self._hvd.grouped_allreduce(group, op=self._hvd.Average, name=f"{name}_{dtype.name}")
            for place, mean in zip(places, group):
                means[place] = tf.cast(mean, tensors[place].dtype)
        return means

    def averaging(
        self, optimizer: keras.optimizers.Optimizer, compress: bool = False, bucket: int = 0
    ) -> keras.optimizers.Optimizer:
        """Make an optimizer average its gradients over all ranks before it applies them.

        Parameters
        ----------
        optimizer : keras.optimizers.Optimizer
            Any optimizer, also a LossScaleOptimizer. It is changed in place.
        compress : bool
            Send gradients as float16: half the bytes, in a message of their own, as Horovod's ``Compression.fp16``.
        bucket : int
            Bytes of gradients per message, each of which is sent as soon as the backward pass has made its gradients;
            0: all in one message. See `buckets`.

        Returns
        -------
        keras.optimizers.Optimizer
            The same object, now of a subclass of its class. ``apply`` is where ``model.fit``, ``apply_gradients`` and
            a loop of one's own all pass. ``average_and_apply`` lets further tensors ride in the same message.
            A model that is saved with it is loaded with the plain optimizer.
        """
        import tensorflow as tf

        average, compress = self.average, compress and self.size > 1
        base = type(optimizer)

        class Averaging(base):
            def average_and_apply(self, gradients, variables, others=()):
                """Apply the gradients' mean over all ranks; return the means of the other tensors."""
                present = [gradient is not None for gradient in gradients]
                dense = [tf.convert_to_tensor(g) for g in gradients if g is not None]
                sent = [tf.cast(g, tf.float16) if g.dtype == tf.float32 else g for g in dense] if compress else dense
                means = list(sent)
                *first, last = buckets([g.dtype.size * (g.shape.num_elements() or 0) for g in sent], bucket)
                for number, places in enumerate(first):
                    for place, mean in zip(places, average([sent[p] for p in places], name=f"gradients{number}")):
                        means[place] = mean
                riding = average([*(sent[place] for place in last), *others], name="gradients")
                for place, mean in zip(last, riding):
                    means[place] = mean
                rest = iter([*(tf.cast(mean, g.dtype) for mean, g in zip(means, dense)), *riding[len(last) :]])
                super().apply([next(rest) if is_present else None for is_present in present], variables)
                return list(rest)

            def apply(self, grads, trainable_variables=None):
                self.average_and_apply(grads, trainable_variables)

        # Keras saves an optimizer by the name of its class, and looks it up by that.
        Averaging.__name__, Averaging.__qualname__, Averaging.__module__ = (
            base.__name__,
            base.__qualname__,
            base.__module__,
        )
        optimizer.__class__ = Averaging
        return optimizer

    def broadcast(self, variables: Sequence[keras.Variable]) -> None:
        """Give every rank the values that the variables have on one of them."""
        if self._hvd and variables:
            with _pulse.waiting("broadcast"):
                self._hvd.broadcast_variables([variable.value for variable in variables], root_rank=0)

    def broadcast_object(self, value: Any) -> Any:
        """Return the value of one rank, anything that can be pickled, on all ranks."""
        with _pulse.waiting("broadcast_object"):
            return self._hvd.broadcast_object(value, root_rank=0, name="object") if self._hvd else value

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, anything small that can be pickled, in the order of the ranks."""
        with _pulse.waiting("gather"):
            return self._hvd.allgather_object(value, name="objects") if self._hvd else [value]

    def sum(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the sum over all ranks of each array, in float64. Every rank has the same names and shapes."""
        arrays = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
        if not self._hvd or not arrays:
            return arrays
        names = sorted(arrays)
        with _pulse.waiting("sum"):
            totals = self._hvd.grouped_allreduce([arrays[name] for name in names], op=self._hvd.Sum, name="sum")
            return {name: np.asarray(total) for name, total in zip(names, totals)}

    def barrier(self) -> None:
        """Return when every rank has called this."""
        self.sum({"barrier": np.zeros(1)})

    def start_timeline(self, path: Path) -> None:
        """Let Horovod record, on the chief, when it negotiates, fuses and reduces each tensor."""
        if self._hvd:
            self._hvd.start_timeline(str(path))

    def stop_timeline(self) -> None:
        """Close the timeline; return when its file is complete."""
        if self._hvd:
            self._hvd.stop_timeline()


def buckets(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Group gradients in the order in which a backward pass makes them, that of the weights backwards.

    Parameters
    ----------
    sizes : sequence of int
        Bytes of each gradient, in the order of the weights.
    most : int
        Highest number of bytes in a group, unless a single gradient has more; 0: all in one, in the order of the
        weights.

    Returns
    -------
    list of list of int
        Places in ``sizes``. There is at least one group; it is the same on every rank and in every step.
    """
    if not most:
        return [list(range(len(sizes)))]
    groups: list[list[int]] = [[]]
    for place in reversed(range(len(sizes))):
        if groups[-1] and sum(sizes[other] for other in groups[-1]) + sizes[place] > most:
            groups.append([])
        groups[-1].append(place)
    return groups
