"""What an engine offers to the training loop: the types that its package has to match."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    import keras
    import numpy as np

    from launch.node.rank import Rank
    from workloads.api import Data, Training, Workload
    from workloads.training.sharding import Batches
    from workloads.training.step import Outcome


class Communicator(Protocol):
    """The ranks of a run, as one of them sees them.

    A context manager: entering it connects the ranks, leaving it disconnects them. A rank that leaves by an exception
    does not disconnect: the others could wait for it forever, and whoever started the ranks ends them instead.
    """

    rank: Rank
    size: int

    def __init__(self, rank: Rank, timeline: bool = False) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None: ...

    def averaging(self, optimizer: Any, compress: bool = False, bucket: int = 0) -> Any:
        """Return the optimizer as the engine's step needs it; it is not built yet."""
        ...

    def broadcast(self, variables: Sequence[keras.Variable]) -> None:
        """Give every rank the values that the variables have on the chief."""

    def broadcast_object(self, value: Any) -> Any:
        """Return the chief's value, anything that can be pickled, on all ranks."""

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, anything small that can be pickled, in the order of the ranks."""
        ...

    def sum(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the sum over all ranks of each array, in float64. Every rank has the same names and shapes."""
        ...

    def barrier(self) -> None:
        """Return when every rank has called this."""

    def start_timeline(self, path: Path) -> None:
        """Record on the chief what is sent when; an engine that cannot has refused ``--timeline`` before."""

    def stop_timeline(self) -> None:
        """End the timeline; return when it is complete."""


class Pipeline(Protocol):
    """The batches of a set of examples, loaded ahead of their use.

    Parameters
    ----------
    data : Data
        Set to load from.
    cache : int
        Bytes of loaded examples that are kept, if they are read from ``data.files``.
    """

    def __init__(self, data: Data, cache: int = 0) -> None: ...
    def __call__(self, batches: Sequence[Callable[[], Batches]]) -> Generator[tuple[Any, Any], None, None]:
        """Load batches, in order.

        Parameters
        ----------
        batches : sequence of function
            Functions, each of which gives the examples of some steps, as `sharding.Sharding.batches` does.

        Returns
        -------
        generator of (inputs, targets)
            Tensors on the device of this rank, in the structures that ``data.load`` gives.

        Raises
        ------
        Exception
            What ``load`` or ``augment`` raised, unchanged, when it is the turn of its batch.
        """
        ...


class Step(Protocol):
    """The compiled step of a workload.

    All that the ranks exchange in a step travels in one message: gradients, loss, flags, and the statistics
    that layers such as BatchNormalization keep, whose mean makes all ranks hold the same weights.

    Parameters
    ----------
    workload : Workload
        Workload whose model and loss are used.
    optimizer : keras.optimizers.Optimizer
        Optimizer made by ``communicator.averaging``, and built.
    communicator : Communicator
        The ranks.
    xla : bool
        Whether to compile loss and gradients with XLA.
    accumulate : int
        Number of equal parts of the batch that go through the network one after the other; their gradients are added
        up. Less memory, and the same step but for what a layer makes of a whole batch, such as BatchNormalization.
    deterministic : bool
        Whether the framework was told to be deterministic.
    """

    def __init__(
        self,
        workload: Workload,
        optimizer: Any,
        communicator: Any,
        xla: bool = False,
        accumulate: int = 1,
        deterministic: bool = False,
    ) -> None: ...

    @property
    def forward_flops(self) -> int | None:
        """Floating point operations of the forward pass of this rank's batch; None before the first step, and where
        they cannot be counted."""
        ...

    def __call__(self, number: int, inputs: Any, targets: Any, flags: list[bool]) -> Outcome:
        """Make a step.

        Parameters
        ----------
        number : int
            Number of the step, for the message of an error.
        inputs, targets
            The batch of this rank.
        flags : list of bool
            What this rank asks all ranks to do after the step; all learn of it in this very step.

        Raises
        ------
        Diverged
            On every rank, if the loss of any is not finite.
        """
        ...


class Engine(Protocol):
    """What the training loop needs of a framework."""

    name: str  # as in --engine
    Communicator: type[Communicator]
    Step: type[Step]
    Pipeline: type[Pipeline]

    def configure(self, config: Training, rank: Rank, seed: int, threads: int) -> None:
        """Set what has to be set before the framework is used: threads, GPU, determinism, precision, seed."""

    def scope(self, config: Training) -> contextlib.AbstractContextManager:
        """Return the context in which the workload and its loop are made."""
        ...

    def sums(self, workload: Workload) -> Callable[[Any, Any], dict[str, Any]]:
        """Return a compiled function: ``(inputs, targets)`` to `step.measured` of the network as it is now."""
        ...

    def graph(self, workload: Workload) -> bytes:
        """Return the operations of the network's forward pass: a serialized GraphDef, for TensorBoard."""
        ...

    def gradient(self, function: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
        """Return a function's value at a tensor and the gradient of its sum, which can itself be differentiated."""
        ...

    def square(self, rows: int, dtype: str) -> Callable[[], Any]:
        """Return a function that multiplies a matrix of that many rows by itself, and returns when that is done."""
        ...

    def span(self, name: str, step: int | None = None) -> contextlib.AbstractContextManager:
        """Return a context that names the block in a trace, with the number of the step that it is."""
        ...

    def start_profiler(self, folder: Path) -> None:
        """Begin a trace."""

    def stop_profiler(self) -> None:
        """End the trace; return when its file, plugins/profile/*/*.xplane.pb, is in the folder."""
