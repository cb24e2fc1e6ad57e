"""The engines that train: TensorFlow with Horovod, or JAX. Which one runs is chosen here, before Keras is imported.

An engine is a package of this folder that has what `Engine` says, and nothing outside of it imports a framework but
Keras. Weights, checkpoints, records and metrics are the same on both; docs/engines.md says where they differ.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from launch.errors import Refusal
from launch.node.rank import Rank
from workloads.training.engines import installed
from workloads.training.engines.installed import Name

if TYPE_CHECKING:
    import keras
    import numpy as np

    from workloads.training.api import Training, Workload

BACKENDS: dict[Name, str] = {"horovod": "tensorflow", "jax": "jax"}
"""What Keras calls the frameworks of the engines."""

_CALLED = {"horovod": "TensorFlow with Horovod", "jax": "JAX"}


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

    def averaging(self, optimizer: Any, compress: bool = False) -> Any:
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


class Engine(Protocol):
    """What the training loop needs of a framework."""

    name: str  # as --engine has it
    Communicator: Any  # see the protocol
    Step: Any  # (workload, optimizer, communicator, xla, accumulate, deterministic): see those of the engines
    Pipeline: Any  # (data, cache): batches loaded ahead

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


class Choice(NamedTuple):
    """An engine, and why it is that one."""

    name: Name
    why: str

    def text(self) -> str:
        """A line for the plan."""
        return f"{self.name} ({_CALLED[self.name]}), {self.why}"


def likely(asked: Name | None) -> Choice:
    """The engine of a run as it is decided in this Python: Horovod where it is installed, otherwise JAX. Nothing is
    imported."""
    if asked:
        return Choice(asked, "as asked for")
    if not (lacking := installed.lacks("horovod")):
        return Choice("horovod", "which is installed")
    return Choice("horovod", "by default") if installed.lacks("jax") else Choice("jax", f"as {lacking}")


def refuse_missing(asked: Name | None, size: int, gpus: bool = False) -> None:
    """Make sure that the engine of a run on so many ranks is installed in this Python, and for GPUs if they have some.

    Raises
    ------
    Refusal
        If it is not, or not wholly.
    """
    name = likely(asked).name
    if lacking := installed.lacks(name, size) or gpus and installed.lacks_gpus(name):
        other: Name = "jax" if name == "horovod" else "horovod"
        instead = "" if installed.lacks(other, size) or gpus and installed.lacks_gpus(other) else f"--engine {other}"
        instead = " or ".join(each for each in (instead, "--gpus-per-node 0" * gpus) if each)
        raise Refusal(
            f"--engine {name} cannot train with {sys.executable}: {lacking}; see docs/install.md"
            + (f", or give {instead}" if instead else "")
        )


def refuse_mixed(asked: Sequence[Name | None]) -> None:
    """Make sure that the runs of a study have one engine.

    Raises
    ------
    Refusal
        If they have not.
    """
    names = list(dict.fromkeys(likely(each).name for each in asked))
    if len(names) > 1:
        raise Refusal(
            f"a study has one engine, and this one has {' and '.join(names)}, whose steps are not those of one curve: "
            "make a study of each, and compare them with rankloop compare"
        )


def load(name: Name) -> Engine:
    """Import an engine, and Keras for it.

    Raises
    ------
    Refusal
        If Keras was imported for another before.
    """
    before = sys.modules["keras"].backend.backend() if "keras" in sys.modules else BACKENDS[name]
    if before != BACKENDS[name]:
        raise Refusal(
            f"Keras was imported for {before} before --engine {name} could choose: import it inside build, "
            f"or set KERAS_BACKEND={BACKENDS[name]}"
        )
    os.environ["KERAS_BACKEND"] = BACKENDS[name]
    engine: Any = importlib.import_module(f"{__name__}.{name}")
    return engine
