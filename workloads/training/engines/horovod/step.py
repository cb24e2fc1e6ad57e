"""One step: loss and gradients of a rank's batch, their mean over all ranks, the update of the weights."""

from __future__ import annotations

import time
from typing import Any

import tensorflow as tf

from workloads.api import Workload
from workloads.training.engines.horovod import flops
from workloads.training.engines.horovod.communicator import Communicator
from workloads.training.engines.horovod.mirrored import on_all_devices
from workloads.training.step import Outcome, check, kept_statistics, losses, measured


class Step:
    """See `engines.interface.Step`. XLA cannot compile collectives: it compiles loss and gradients only."""

    def __init__(
        self,
        workload: Workload,
        optimizer: Any,
        communicator: Communicator,
        xla: bool,
        accumulate: int = 1,
        deterministic: bool = False,
    ) -> None:
        self._communicator = communicator
        self._counted: int | None = None  # operations of one call of the gradients
        model, weights, kept = workload.model, workload.model.trainable_variables, kept_statistics(workload.model)

        def gradients(inputs: Any, targets: Any) -> tuple[tf.Tensor, list]:
            with tf.GradientTape() as tape:
                values = losses(workload, targets, model(inputs, training=True))
                loss = tf.add_n([tf.reduce_mean(values), *(tf.cast(penalty, values.dtype) for penalty in model.losses)])
                scaled = optimizer.scale_loss(loss)
            self._counted = flops.forward([loss])
            return loss, tape.gradient(scaled, [variable.value for variable in weights])

        # More than one device where the variables were made in the scope of a MirroredStrategy.
        strategy = tf.distribute.get_strategy()
        replicas = strategy.num_replicas_in_sync
        # XLA, devices side by side and the parts of a batch need a function of their own.
        apart = xla or replicas > 1 or accumulate > 1
        of_batch = tf.function(gradients, jit_compile=xla or None) if apart else gradients
        of_batch = on_all_devices(strategy, of_batch) if replicas > 1 else of_batch

        @tf.function
        def step(inputs: Any, targets: Any, flags: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            loss, grads = _in_parts(of_batch, accumulate, inputs, targets)
            loss = tf.cast(loss, tf.float32)
            # A GPU computes while the host goes on: only what comes back from it after the gradients shows that they
            # are done. The identities keep the order where TensorFlow inlines the call: a bare edge from it would wait
            # for its side effects alone.
            ready = [tf.identity(part) for part in tf.nest.flatten(grads, expand_composites=True) if part is not None]
            with tf.control_dependencies(ready):
                own = tf.identity(loss)
            with tf.device("CPU:0"):
                own = tf.identity(own)
                with tf.control_dependencies([own]):
                    # TensorFlow's own clock, which it refuses to read when deterministic, spares 0.2 ms.
                    ready_at = tf.numpy_function(time.time, [], tf.float64) if deterministic else tf.timestamp()
            learning_rate = tf.cast(optimizer.learning_rate, tf.float32)
            sent = tf.concat([[loss], flags], axis=0)
            means = optimizer.average_and_apply(grads, weights, [sent, *(variable.value for variable in kept)])
            for variable, mean in zip(kept, means[1:]):
                variable.assign(mean)
            # One tensor, because each that is read costs a copy from the GPU; the others are with the host.
            return tf.concat([[learning_rate], means[0]], axis=0), own, ready_at

        self._step: Any = step
        self._calls = accumulate * replicas

    @property
    def forward_flops(self) -> int | None:
        """See `engines.interface.Step`."""
        return None if self._counted is None else self._counted * self._calls

    def __call__(self, number: int, inputs: Any, targets: Any, flags: list[bool]) -> Outcome:
        """See `engines.interface.Step`."""
        traces = self._step.experimental_get_tracing_count()
        began = time.time()  # the clock of tf.timestamp
        means, own, ready_at = self._step(inputs, targets, tf.constant(flags, tf.float32))
        rate, loss, *flag_means = means.numpy().tolist()
        check(number, loss, rate, lambda: float(own), self._communicator)
        compiled = self._step.experimental_get_tracing_count() > traces
        return Outcome(loss, rate, [mean > 0 for mean in flag_means], float(ready_at) - began, compiled)


def _in_parts(gradients: Any, parts: int, inputs: Any, targets: Any) -> tuple[tf.Tensor, list]:
    """Return loss and gradients of a batch: the means of those of its parts."""
    if parts == 1:
        return gradients(inputs, targets)
    stacks = tf.nest.map_structure(
        lambda x: tf.reshape(x, (parts, x.shape[0] // parts, *x.shape[1:])), (inputs, targets)
    )

    def part(index: Any) -> Any:
        return tf.nest.map_structure(lambda stack: stack[index], stacks)

    def dense(grads: list) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(gradient) for gradient in grads if gradient is not None]

    def add(index: tf.Tensor, loss: tf.Tensor, sums: list) -> tuple[tf.Tensor, tf.Tensor, list]:
        more, grads = gradients(*part(index))
        return index + 1, loss + more, [total + gradient for total, gradient in zip(sums, dense(grads))]

    loss, first = gradients(*part(0))
    # A loop, as unrolled parts might run side by side, and need the memory of all of them.
    _, loss, sums = tf.while_loop(lambda index, *_: index < parts, add, (1, loss, dense(first)), parallel_iterations=1)
    rest = iter(sums)
    return loss / parts, [None if gradient is None else next(rest) / parts for gradient in first]


def sums(workload: Workload) -> Any:
    """See `engines.interface.Engine`."""

    @tf.function
    def of_batch(inputs: Any, targets: Any) -> dict[str, tf.Tensor]:
        return measured(workload, targets, workload.model(inputs, training=False))

    return of_batch
