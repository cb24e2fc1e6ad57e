"""Ranks talking to each other by the collectives of JAX: Gloo between processors, NCCL or RCCL between GPUs.

With one rank nothing is connected and every function is the identity.
"""

from __future__ import annotations

import atexit
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import jax
import numpy as np
from jax._src import api
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from launch.errors import Refusal
from launch.node.meeting import rendezvous
from launch.node.rank import Rank

if TYPE_CHECKING:
    import keras

_SMALL = 1024  # bytes of the first message of `gather`, in which most objects fit
_PATIENCE_S = 300  # that a rank waits for the last one to come


class Communicator:
    """See `engines.interface.Communicator`.

    Raises
    ------
    Refusal
        On entering, if JAX has no device of the kind that this rank was given.
    """

    def __init__(self, rank: Rank, timeline: bool = False) -> None:
        self.rank, self.size = rank, rank.size

    def __enter__(self) -> Self:
        if self.size > 1:
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
            # It would catch SIGTERM, by which the ranks are asked to stop.
            jax.config.update("jax_enable_preemption_service", False)
            chief = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            jax.distributed.initialize(
                chief,
                self.size,
                self.rank.rank,
                cluster_detection_method="deactivate",
                initialization_timeout=_PATIENCE_S,
                coordinator_bind_address=chief,  # and not at every address of the node
            )
        self._refuse_wrong_build()
        if self.size > 1:
            of_ranks = {device.process_index: device for device in reversed(jax.devices())}
            mesh = Mesh(np.array([of_ranks[rank] for rank in range(self.size)]), "ranks")
            self._shared = NamedSharding(mesh, PartitionSpec("ranks"))

            def collective(name: str, reduce: Any) -> Any:
                each, all_the_same = PartitionSpec("ranks"), PartitionSpec()

                def of_ranks(part: jax.Array) -> jax.Array:
                    return reduce(part, "ranks")

                of_ranks.__name__ = name  # its name in a trace
                return jax.jit(
                    jax.shard_map(of_ranks, mesh=mesh, in_specs=each, out_specs=all_the_same, check_vma=False)
                )

            self._mean = collective("mean_over_ranks", jax.lax.pmean)
            self._sum = collective("sum_over_ranks", jax.lax.psum)
            self._all = collective("of_all_ranks", jax.lax.all_gather)
            self.barrier()
            rendezvous.close()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        if self.size > 1 and kind is None:
            self.barrier()
            jax.distributed.shutdown()
        elif self.size > 1:
            # At the end of the process JAX would wait for the others, and abort all of them when they do not come.
            atexit.unregister(getattr(api, "clean_up", None))

    def averaging(
        self, optimizer: keras.optimizers.Optimizer, compress: bool = False, bucket: int = 0
    ) -> keras.optimizers.Optimizer:
        """Return the optimizer as it is: the step averages the gradients first. The rest has been refused."""
        return optimizer

    def mean(self, vector: jax.Array) -> jax.Array:
        """Return the mean of a vector over all ranks, float32 (n,). n and the ranks fix the order of the additions."""
        return self._call(self._mean, vector) if self.size > 1 else vector

    def broadcast(self, variables: Sequence[keras.Variable]) -> None:
        """See `engines.interface.Communicator`."""
        if self.size == 1 or not variables:
            return
        values = [np.asarray(variable) for variable in variables]
        # As words of bits, to which the others add zeros: a sum of numbers would make 0 of -0.
        bits = np.frombuffer(b"".join(value.tobytes() for value in values).ljust(4, b"\0"), np.uint8)
        bits = np.pad(bits, (0, -len(bits) % 4)).view(np.uint32)
        total = self._call(self._sum, bits if self.rank.is_chief else np.zeros_like(bits))
        content, place = np.asarray(total).tobytes(), 0
        for variable, value in zip(variables, values):
            own = content[place : place + value.nbytes]
            variable.assign(np.frombuffer(own, value.dtype).reshape(value.shape))
            place += value.nbytes

    def broadcast_object(self, value: Any) -> Any:
        """See `engines.interface.Communicator`."""
        return self.gather(value if self.rank.is_chief else None)[0]

    def gather(self, value: Any) -> list[Any]:
        """See `engines.interface.Communicator`."""
        if self.size == 1:
            return [value]
        own = pickle.dumps(value)
        lengths = self._rows(np.array([len(own)], np.int32)).ravel()
        width = max(_SMALL, 1 << (int(lengths.max()) - 1).bit_length())  # a power of 2: each width is compiled once
        rows = self._rows(np.pad(np.frombuffer(own, np.uint8), (0, width - len(own))))
        return [pickle.loads(row[:length].tobytes()) for row, length in zip(rows, lengths)]

    def sum(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `engines.interface.Communicator`. The arrays are added up in the order of the ranks."""
        arrays = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
        totals, *others = self.gather(arrays)
        for other in others:
            totals = {name: np.asarray(total + other[name]) for name, total in totals.items()}
        return totals

    def barrier(self) -> None:
        """See `engines.interface.Communicator`."""
        if self.size > 1:
            self._rows(np.zeros(1, np.int32))

    def start_timeline(self, path: Path) -> None:
        """Do nothing: --timeline is refused."""

    def stop_timeline(self) -> None:
        """Do nothing: --timeline is refused."""

    def _rows(self, row: np.ndarray) -> np.ndarray:
        """Return the row of each rank, (n,), of the same length on all: (size, n)."""
        return np.asarray(self._call(self._all, row)).reshape(self.size, -1)

    def _call(self, collective: Any, own: Any) -> jax.Array:
        part = jax.device_put(own, self._shared.mesh.devices[self.rank.rank])
        whole = jax.make_array_from_single_device_arrays((self.size * len(own),), self._shared, [part])
        return collective(whole).addressable_data(0)

    def _refuse_wrong_build(self) -> None:
        if "LAUNCH_GPU" in os.environ and jax.default_backend() == "cpu":
            raise Refusal(
                f"rank {self.rank.rank} has a GPU, and this JAX was built without: install jax[cuda12], jax[cuda13] or "
                "JAX's plugin for ROCm, or launch without GPUs"
            )
