"""Keras's ``model.fit`` on all ranks as one training:   import rankloop.keras as rk;   rk.fit(model, x, y, epochs=5)

Gradients are averaged over the ranks, through Horovod, and the data are shared by them; metrics are those of all ranks.
Under the launcher steps are recorded, rank 0 saves, and a run that was stopped or killed goes on where it was. With one
rank all of it works and nothing is sent. It needs Keras 3 on TensorFlow, and from two ranks on Horovod.
"""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np

import rankloop
from rankloop.keras._lines import refuse, say

if keras.backend.backend() != "tensorflow":
    refuse(
        f"rankloop.keras averages gradients through Horovod, which needs KERAS_BACKEND=tensorflow, and this is "
        f"{keras.backend.backend()}: there use keras.distribution (jax) or DistributedDataParallel (torch)"
    )

from rankloop.keras import _callbacks, _checkpoint, _data, _ranks, _sources
from rankloop.keras._ranks import averaging, broadcast

__all__ = ["averaging", "broadcast", "evaluate", "fit"]

_ranks.take_gpu()

_trainings = 0
_total = 0  # steps of the trainings that are over

_BY_RANK_0 = ("CSVLogger", "ModelCheckpoint", "ProgbarLogger", "RemoteMonitor", "TensorBoard")
"""Callbacks of Keras that write or print."""


def fit(
    model: keras.Model,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    *,
    verbose: Any = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: Any = True,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    sharded: bool = False,
    save_every: float = 300,
    **others: Any,
) -> keras.callbacks.History:
    """Train a compiled model as ``model.fit`` does, by all ranks together; each of them calls this in the same way.

    Parameters
    ----------
    model : keras.Model
        Compiled model. Its optimizer averages the gradients from then on (`averaging`), and its step is not compiled by
        XLA.
    x, y, sample_weight, validation_data
        All of the data, the same on each rank: arrays, a tf.data.Dataset of batches, a PyDataset or a generator.
    batch_size : int, optional
        Examples per rank and step, like the batches of a dataset: with more ranks a step has more examples, and an
        epoch fewer steps.
    steps_per_epoch, validation_steps : int, optional
        Batches of all ranks together, so that an epoch is the same for any number of ranks.
    sharded : bool
        Whether each rank gives its own part of the training and validation data, which it shuffles by itself.
        ``steps_per_epoch`` and ``validation_steps`` are then those of a rank.
    save_every : float
        Seconds between checkpoints in the run's folder; 0: only when the run is asked to stop, and at the end.
    epochs, verbose, callbacks, validation_split, shuffle, initial_epoch, **others
        As for ``model.fit``. Only rank 0 prints, and only rank 0 has the callbacks of Keras that write files.

    Returns
    -------
    keras.callbacks.History
        History of all epochs, including those before a stop.
    """
    global _trainings, _total
    _trainings += 1
    _check(model, batch_size)
    source_data: Any = (x, y, sample_weight)
    if validation_split and validation_data is None:
        arrays = _data.as_arrays(source_data)
        cut = int(_sources.length(arrays) * (1.0 - validation_split))
        source_data, validation_data = (
            keras.tree.map_structure(lambda array, part=part: array[part], arrays)
            for part in (slice(cut), slice(cut, None))
        )
    saved = _ranks.from_first(_checkpoint.newest(_trainings) if _checkpoint.are_kept() and rankloop.rank == 0 else {})
    seed = saved.get("seed", _ranks.from_first(int(np.random.randint(2**31))))
    source = _data.training(source_data, batch_size, shuffle, seed, steps_per_epoch, sharded)
    first = _callbacks.First(source, saved, {"number": _trainings, "seed": seed, "total": _total}, save_every)
    last = _callbacks.Last(first)
    if validation_data is not None:
        validation_data = validation_data if isinstance(validation_data, (list, tuple)) else (validation_data,)
        part, validation_steps = _data.evaluation(tuple(validation_data), validation_steps, sharded)
        validation_data = part[0] if len(part) == 1 else part
        others.setdefault("validation_batch_size", batch_size)
    if not model.built or saved:
        _build(model, source)
    _announce(source, saved)
    averaging(model.optimizer)
    if rankloop.size > 1:
        if model.jit_compile:
            say("the step is not compiled by XLA (jit_compile), which knows nothing of Horovod")
            model.jit_compile = False
        model.train_function = None  # an earlier fit may have left one that averages nothing
    shown: Any = verbose if rankloop.rank == 0 else 0
    with warnings.catch_warnings():
        if saved or sharded:
            warnings.filterwarnings("ignore", "Your input ran out of data")  # the rest of an epoch is shorter
        history = model.fit(
            source.data,
            epochs=epochs if not saved.get("done") else saved["epoch"],
            verbose=shown,
            callbacks=[first, *_of_this_rank(callbacks), last],
            validation_data=validation_data,
            shuffle=False,
            initial_epoch=saved.get("epoch", initial_epoch),
            steps_per_epoch=steps_per_epoch and source.steps,
            validation_steps=validation_steps,
            **others,
        )
    first.finish()
    _total = first.total
    return history


def evaluate(
    model: keras.Model,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    *,
    verbose: Any = "auto",
    sample_weight: Any = None,
    steps: int | None = None,
    return_dict: bool = False,
    sharded: bool = False,
    **others: Any,
) -> Any:
    """Measure a compiled model as ``model.evaluate`` does, each rank on a part of the data; the parameters are as in
    `fit`."""
    part, steps = _data.evaluation((x, y, sample_weight), steps, sharded)
    x, y, sample_weight = (*part, None, None)[:3]
    verbose = verbose if rankloop.rank == 0 else 0
    model.evaluate(x, y, batch_size, verbose=verbose, sample_weight=sample_weight, steps=steps, **others)
    metrics = _callbacks.over_ranks(model)
    values = list(metrics.values())
    return metrics if return_dict else values[0] if len(values) == 1 else values


def _check(model: keras.Model, batch_size: Any) -> None:
    if batch_size is not None and not (isinstance(batch_size, (int, np.integer)) and batch_size > 0):
        refuse(f"batch_size={batch_size!r:.40}: give the examples of a rank's step, a whole number of 1 or more")
    if not getattr(model, "compiled", False) or getattr(model, "optimizer", None) is None:
        refuse(
            "the model has no optimizer whose gradients could be averaged: call model.compile(optimizer, loss) first"
        )


def _build(model: keras.Model, source: _sources.Source) -> None:
    """Make all variables of model and metrics, which Keras puts off to the first step."""
    batch = source.first()
    if batch is not None:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        model.test_on_batch(x, y, sample_weight)
        model.reset_metrics()


def _of_this_rank(callbacks: Any) -> list[keras.callbacks.Callback]:
    flat = keras.tree.flatten(callbacks) if callbacks else []
    if any(isinstance(callback, keras.callbacks.BackupAndRestore) for callback in flat):
        refuse("rk.fit saves and resumes by itself, with all ranks at the same step: leave BackupAndRestore out")
    writing = tuple(getattr(keras.callbacks, name) for name in _BY_RANK_0)
    return [callback for callback in flat if rankloop.rank == 0 or not isinstance(callback, writing)]


def _announce(source: _sources.Source, saved: dict[str, Any]) -> None:
    if saved.get("done"):
        say(f"this training is done, as {saved['path']} says")
    elif saved:
        say(f"goes on after step {saved['step']} of epoch {saved['epoch'] + 1}, from {saved['path']}")
    if rankloop.size > 1:
        batch, steps = source.batch, source.steps
        examples = (
            f"{rankloop.size} ranks x {batch} = {rankloop.size * batch} examples" if batch else f"{rankloop.size} ranks"
        )
        number = "as many steps as there are" if not steps else f"{steps} step{'s' * (steps > 1)}"
        say(f"{examples} per step, {number} per epoch; the learning rate is as given")
