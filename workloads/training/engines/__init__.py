"""The engines that train: TensorFlow with Horovod, or JAX. Which one runs is chosen here, before Keras is imported.

An engine is a package of this folder that has what `interface.Engine` says, and nothing outside of it imports a
framework but Keras. Weights, checkpoints, records and metrics are the same on both; docs/engines.md says where they
differ.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from launch.errors import Refusal, one_line
from workloads.training.engines import installed
from workloads.training.engines.installed import Name

if TYPE_CHECKING:
    from workloads.training.engines.interface import Engine

BACKENDS: dict[Name, str] = {"horovod": "tensorflow", "jax": "jax"}
"""What Keras calls the frameworks of the engines."""

_CALLED = {
    "horovod": "TensorFlow trains, Horovod averages the gradients of the ranks",
    "jax": "JAX trains, and averages the gradients of the ranks",
}


class Choice(NamedTuple):
    """An engine, and why it was chosen."""

    name: Name
    why: str

    def text(self) -> str:
        """Return a line for the plan."""
        return f"{self.name} ({_CALLED[self.name]}), {self.why}"


def likely(asked: Name | None) -> Choice:
    """Return the engine of a run, as it is decided in this Python: Horovod if it is installed, otherwise JAX. Nothing
    is imported."""
    if asked:
        return Choice(asked, "as asked for")
    if not (lacking := installed.lacks("horovod")):
        return Choice("horovod", "which is installed")
    return Choice("horovod", "by default") if installed.lacks("jax") else Choice("jax", f"as {lacking}")


def lacking(asked: Name | None, size: int, gpus: bool = False) -> str:
    """Return what keeps the engine of a run on that many ranks, with GPUs or without, from training in this Python, in
    words; nothing if it can."""
    name = likely(asked).name
    return installed.lacks(name, size) or (gpus and installed.lacks_gpus(name)) or ""


def refuse_missing(asked: Name | None, size: int, gpus: bool = False) -> None:
    """Make sure that the engine of a run on so many ranks is installed in this Python, and for GPUs if they have some.

    Raises
    ------
    Refusal
        If it is not installed, or not completely.
    """
    if lacks := lacking(asked, size, gpus):
        name = likely(asked).name
        other: Name = "jax" if name == "horovod" else "horovod"
        other_lacks = lacking(other, size, gpus)
        ways = {f"--engine {other}": not other_lacks, "--gpus-per-node 0": gpus}
        instead = " or ".join(way for way, helps in ways.items() if helps)
        nor = f"; nor can --engine {other}: {other_lacks}" if other_lacks and not asked else ""
        raise Refusal(
            f"--engine {name} cannot train with {sys.executable}: {lacks}{nor}; see docs/install.md"
            + (f", or give {instead}" if instead else "")
        )


def refuse_mixed(asked: Sequence[Name | None]) -> None:
    """Make sure that the runs of a study share one engine.

    Raises
    ------
    Refusal
        If they have more than one.
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
        If Keras was imported for another engine before, or a package of the engine does not load.
    """
    before = sys.modules["keras"].backend.backend() if "keras" in sys.modules else BACKENDS[name]
    if before != BACKENDS[name]:
        raise Refusal(
            f"Keras was imported for {before} before --engine {name} could choose: import it inside build, "
            f"or set KERAS_BACKEND={BACKENDS[name]}"
        )
    os.environ["KERAS_BACKEND"] = BACKENDS[name]
    try:
        engine: Any = importlib.import_module(f"{__name__}.{name}")
    except (ImportError, OSError, RuntimeError) as error:  # a package or a library has another version
        said = one_line(error)
        raise Refusal(
            f"--engine {name} does not load with {sys.executable} ({said}): rankloop doctor says what is wrong with it"
        ) from error
    return engine


def gradient(function: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    """Return a function's value at a tensor and the gradient of its sum, for use within a network of either engine.

    Parameters
    ----------
    function : function
        Function of one tensor, made of ``keras.ops`` and layers.
    x : tensor
        Tensor at which the function is evaluated.

    Returns
    -------
    tuple of tensor
        ``function(x)``, and the gradient, which has the shape of ``x``. Both can be part of a loss.
    """
    import keras

    return load(next(name for name in BACKENDS if BACKENDS[name] == keras.backend.backend())).gradient(function, x)
