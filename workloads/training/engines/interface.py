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
    does not disconnect: the others could wait for it for ever, and whoever started the ranks ends them instead.
    """

    rank: Rank
    size: int

    def __init__(self, rank: Rank, timeline: bool = False) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None: ...

    def averaging(self, optimizer: Any, compress: bool = False, bucket: int = 0) -> Any:
        """The optimizer as the engine's step wants it, before it is built."""
        ...

    def broadcast(self, variables: Sequence[keras.Variable], root: int = 0) -> None:
        """Give every rank the values that the variables have on one of them."""

    def broadcast_object(self, value: Any, root: int = 0) -> Any:
        """The value of one rank, anything that can be pickled."""

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, anything small that can be pickled, in the order of the ranks."""
        ...

    def sum(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The sum over all ranks of each array, in float64. The names and shapes are those of every rank."""
        ...

    def barrier(self) -> None:
        """Return when every rank has called this."""

    def start_timeline(self, path: Path) -> None:
        """Note, on the chief, what is sent when; an engine that cannot has refused ``--timeline`` before."""

    def stop_timeline(self) -> None:
        """Return when that is complete."""


class Pipeline(Protocol):
    """The batches of a set of examples, loaded ahead of their use.

    Parameters
    ----------
    data : Data
        What to load from.
    cache : int
        Bytes of loaded examples that are kept, where ``data.files`` has them read from files.
    """

    def __init__(self, data: Data, cache: int = 0) -> None: ...
    def __call__(self, batches: Sequence[Callable[[], Batches]]) -> Generator[tuple[Any, Any], None, None]:
        """Load batches, in order.

        Parameters
        ----------
        batches : sequence of function
            Each gives the examples of some steps, as `sharding.Sharding.batches` does.

        Returns
        -------
        generator of (inputs, targets)
            Tensors on the device of this rank, in the structures that ``data.load`` gives.

        Raises
        ------
        Exception
            What ``load`` or ``augment`` raised, as it was, when the turn of its batch has come.
        """
        ...


class Step(Protocol):
    """The compiled step of a workload.

    All that the ranks exchange in a step travels in one message: gradients, loss, flags, and the statistics
    that layers such as BatchNormalization keep, whose mean makes all ranks hold the same weights.

    Parameters
    ----------
    workload : Workload
        Its model and loss.
    optimizer : keras.optimizers.Optimizer
        Made by ``communicator.averaging``, and built.
    communicator : Communicator
        The ranks.
    xla : bool
        Compile loss and gradients with XLA.
    accumulate : int
        Equal parts of the batch that go through the network one after the other; their gradients are added up. Less
        memory, and the same step but for what a layer makes of a whole batch, such as BatchNormalization.
    deterministic : bool
        Whether the framework was told to be.
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
            Of the step, for the message of an error.
        inputs, targets
            The batch of this rank.
        flags : list of bool
            What this rank wants all to do after the step; all ranks learn of it in this very step.

        Raises
        ------
        Diverged
            On every rank, if the loss of any is not finite.
        """
        ...


class Engine(Protocol):
    """What the training loop needs of a framework."""

    name: str  # as --engine has it
    Communicator: type[Communicator]
    Step: type[Step]
    Pipeline: type[Pipeline]

    def configure(self, config: Training, rank: Rank, seed: int, threads: int) -> None:
        """Set what has to be set before the framework is used: threads, GPU, determinism, precision, seed."""

    def scope(self, config: Training) -> contextlib.AbstractContextManager:
        """In which the workload and its loop are made."""
        ...

    def sums(self, workload: Workload) -> Callable[[Any, Any], dict[str, Any]]:
        """A compiled function: ``(inputs, targets)`` to `step.measured` of the network as it is now."""
        ...

    def graph(self, workload: Workload) -> bytes:
        """The operations of the network's forward pass: a serialized GraphDef, for TensorBoard."""
        ...

    def gradient(self, function: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
        """The value of a function at a tensor and the gradient of its sum, which can itself be differentiated."""
        ...

    def square(self, rows: int, dtype: str) -> Callable[[], Any]:
        """A function that multiplies a matrix of so many rows by itself, and returns when that is done."""
        ...

    def span(self, name: str, step: int | None = None) -> contextlib.AbstractContextManager:
        """What a trace calls the block, with the number of the step that it is."""
        ...

    def start_profiler(self, folder: Path) -> None:
        """Begin a trace."""

    def stop_profiler(self) -> None:
        """End the trace; return when its file, plugins/profile/*/*.xplane.pb, is in the folder."""
