"""The contract of a workload: what its module offers, and what the training loop has for it.

A workload is a module with a dataclass ``Config(Training)`` and a function ``build(config, rank) -> Workload``. It
imports Keras and numpy only inside ``build``, so that the launcher can read its options in milliseconds, and so that
the engine (`workloads.training.engines`) is chosen first. What it computes with ``keras.ops`` runs on every engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from workloads.training.engines import gradient
from workloads.training.options import Part, Training

if TYPE_CHECKING:
    import keras
    import numpy as np

__all__ = ["Data", "Files", "Part", "Training", "Workload", "gradient"]


class Files(Protocol):
    """The files that examples are read from.

    Examples
    --------
    >>> class InOneFile:
    ...     path = Path("all.npy")
    ...     def of(self, index): return [self.path]
    ...     def read_from(self, copies): self.path = copies.get(self.path, self.path)
    >>> files = InOneFile()
    >>> files.read_from({Path("all.npy"): Path("/tmp/all.npy")})
    >>> files.of([0, 7])
    [PosixPath('/tmp/all.npy')]
    """

    def of(self, index: np.ndarray) -> list[Path]:
        """Return the files that contain some of the examples, given their index, int64 (n,)."""
        ...

    def read_from(self, copies: Mapping[Path, Path]) -> None:
        """Read, from now on, the copy of each file that has one."""


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """A set of examples, read a batch at a time.

    Parameters
    ----------
    length : int
        Number of examples.
    load : function
        Maps an index array, int64 (batch,), to ``(inputs, targets)``: arrays or tensors, or nested structures of them,
        whose first axis is the batch; all of one shape and type. It runs beside the training, and always gives the same
        examples for the same indices.
    threads : int
        Number of batches that may be loaded at once; above 1, ``load`` must be safe to call from several threads.
    augment : function, optional
        ``(inputs, targets, seeds) -> (inputs, targets)``: other examples of the same meaning, different in every epoch.
        ``seeds``, uint64 (batch, 2), has a pair for each example, a function of (seed, epoch, example) alone. Whatever
        it draws must follow from them, so that a resumed training sees the examples that it would have seen. It runs
        like ``load``.
    files : Files, optional
        Files that ``load`` reads the examples from. The examples are kept in memory once they are loaded, as far as
        ``--cache`` allows, and the files can be staged.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0, 1, 5)[:, None]
    >>> data = Data(5, lambda index: (x[index], x[index] ** 2))
    >>> len(data), data.load(np.array([0, 2]))[1].tolist()
    (5, [[0.0], [0.25]])
    """

    length: int
    load: Callable[[np.ndarray], tuple[Any, Any]]
    threads: int = 1
    augment: Callable[[Any, Any, np.ndarray], tuple[Any, Any]] | None = None
    files: Files | None = None

    def __len__(self) -> int:
        return self.length


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workload:
    """What ``build`` returns: everything that the training loop needs to know.

    Parameters
    ----------
    model : keras.Model
        Network to train, already built, so that it has its variables.
    loss : function
        ``(targets, outputs) -> tensor (batch,)``: the loss of each example. Regularisation losses of the model's layers
        are added by the loop.
    optimizer : function
        Makes a Keras optimizer of a learning rate schedule that is already scaled to the number of ranks.
    train, validation : Data
        Sets to train on and to measure on, complete on every rank: the loop picks each rank's part.
    statistics : function
        ``(targets, outputs) -> {name: tensor}``, each the sum over the examples of the batch. The loop sums them over
        batches and ranks in float64.
    summarise : function
        ``({name: total}, examples) -> {metric: float}``: the only place where sums become ratios.
    finish : function, optional
        ``(model, figures) -> {metric: float}``: called once, on the chief, after training. It draws pictures into the
        folder ``figures``, and returns metrics that are not sums over examples.
    target : tuple, optional
        ``(metric, ">=" or "<=", value)``: the quality that a training should reach. The report shows the time until an
        evaluation reached it.

    Examples
    --------
    >>> import keras
    >>> import numpy as np
    >>> x = np.linspace(0, 1, 5, dtype="float32")[:, None]
    >>> data = Data(5, lambda index: (x[index], x[index] ** 2))
    >>> workload = Workload(
    ...     model=keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]),
    ...     loss=lambda targets, outputs: keras.ops.mean((targets - outputs) ** 2, axis=-1),
    ...     optimizer=keras.optimizers.Adam,
    ...     train=data,
    ...     validation=data,
    ...     statistics=lambda targets, outputs: {"squares": keras.ops.sum((targets - outputs) ** 2)},
    ...     summarise=lambda totals, examples: {"rms": (totals["squares"] / examples) ** 0.5},
    ... )
    >>> tuple(workload.loss(*workload.train.load(np.array([1, 2, 3]))).shape), workload.summarise({"squares": 12.0}, 3)
    ((3,), {'rms': 2.0})
    """

    model: keras.Model
    loss: Callable[[Any, Any], Any]
    optimizer: Callable[[Any], keras.optimizers.Optimizer]  # Keras's annotations allow only numbers as learning rates
    train: Data
    validation: Data
    statistics: Callable[[Any, Any], dict[str, Any]]
    summarise: Callable[[dict[str, Any], int], dict[str, float]]
    finish: Callable[[keras.Model, Path], dict[str, float]] | None = None
    target: tuple[str, Literal[">=", "<="], float] | None = None
