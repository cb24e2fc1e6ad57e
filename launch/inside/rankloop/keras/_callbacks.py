"""What happens around the steps of ``model.fit``: records, agreement of the ranks, metrics over all of them,
checkpoints."""

from __future__ import annotations

import sys
import time
from typing import Any

import keras
import numpy as np

import rankloop
from rankloop import _pulse, _recorder
from rankloop.keras import _checkpoint, _lines, _ranks, _sources


class _Callback(keras.callbacks.Callback):
    @property
    def fitted(self) -> Any:
        """The model, which Keras sets before it calls anything else."""
        return self.model


class First(_Callback):
    """The first callback, so that all others see the metrics of all ranks.

    Parameters
    ----------
    source : Source
        The training data.
    saved : dict
        Header of the checkpoint from which to go on, or empty.
    header : dict
        What a checkpoint records besides the position of the training.
    save_every : float
        Seconds between checkpoints; 0: only when the program is asked to stop.
    """

    def __init__(
        self, source: _sources.Source, saved: dict[str, Any], header: dict[str, Any], save_every: float
    ) -> None:
        super().__init__()
        self._source, self._saved, self._header, self._save_every = source, saved, header, save_every
        self._epoch, self._step = -1, 0
        self._first = (saved.get("epoch", 0), saved.get("step", 0))  # where this attempt begins
        self.total = saved.get("total", header["total"])  # number of steps of the program
        self._saved_at = time.monotonic()
        self._training: dict[str, float] | None = None  # metrics, once validation has begun
        self._validation: dict[str, float] = {}
        self._recorder = _recorder.current()
        self._pulse = _pulse.current()
        self._made = 0  # number of steps of this attempt
        self.wants_end = False  # a callback wants to end the training

    def on_train_begin(self, logs: Any = None) -> None:
        model: Any = self.fitted
        rest: list[np.ndarray] = []
        if not model.built:
            _lines.refuse(
                "the model is not built, so its weights cannot be given to all ranks: call model.build(...) first"
            )
        model.optimizer.build(model.trainable_variables)
        self.exchange = model.optimizer.rankloop_exchange
        self.variables = [*model.variables, *model.optimizer.variables]
        if self._saved and rankloop.rank == 0:
            rest = _checkpoint.restore(self._saved, self.variables)
        self._sums = rest
        _ranks.broadcast(self.variables)
        _ranks.own_noise(model)
        self.exchange.kept = _ranks.kept_statistics(model) if rankloop.size > 1 else []
        self.exchange.ask([False] * len(_ranks.FLAGS))
        self._source.resume(self._first[0])
        steps = _ranks.gather((self.params or {})["steps"])
        if None not in steps:
            self._source.steps = min(steps)
            if len(set(steps)) > 1:
                _lines.say(f"an epoch has {min(steps)} to {max(steps)} steps on the ranks: {min(steps)} are made")
        rankloop.stop_requested()  # lets the launcher know that this program can be asked

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch, self._step = epoch, 0
        self._training, self._validation = None, {}
        self._began: tuple[float, float] | None = None  # when the step began
        if epoch == self._first[0]:
            self._step = self._first[1]
            states = [variable for metric in self.fitted.metrics for variable in metric.variables]
            for state, value in zip(states, self._sums):  # rank 0 has the sums of all ranks, the others none
                state.assign(value)
        self._source.start(epoch, self._step)
        self._counted = self._count()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._source.steps and self._step >= self._source.steps:
            # Keras ends the epoch: its first steps were made in an earlier attempt, or other ranks have fewer.
            raise StopIteration
        if self._pulse:
            # The first step is compiled, and so is the last of an epoch where its batch is smaller.
            compiled = not self._made or self._epoch == self._first[0] and self._step + 1 >= (self._source.steps or 0)
            self._pulse.enter("steps", strict=not compiled)
        due = rankloop.rank == 0 and 0 < self._save_every <= time.monotonic() - self._saved_at
        self.exchange.ask([rankloop.stop_requested(), due, self.wants_end])
        self._batch, self._before = batch, self._recorder.written if self._recorder else 0
        if self._began is None:
            _ranks.gather(None)  # a rank that is late for an epoch must not lengthen the first step of the others
            self._began = time.time(), time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        start, begin = self._began or (0, 0)
        seconds = time.perf_counter() - begin
        made = batch - self._batch + 1  # more than one with steps_per_execution
        self._step, self.total, self._made = self._step + made, self.total + made, self._made + made
        before, self._counted = self._counted, self._count()
        if self._recorder and self._recorder.is_open():
            examples = None if before is None or self._counted is None else round(self._counted - before)
            self._recorder.step = self.total - 1
            self._recorder.write(self._before, start, seconds, None, examples)
        if self._pulse:
            self._pulse.beat(self.total)
            self._pulse.enter("between steps")  # what other callbacks do
        stop, save, end = self.exchange.asked()
        if end:
            self.wants_end = self.fitted.stop_training = True
        if (stop or save) and _checkpoint.are_kept():
            self.save()
        if stop:
            _ranks.gather(None)  # nobody leaves before rank 0 has saved
            sys.exit(rankloop.STOPPED)
        # What other callbacks do now is a part of the next step: ranks that wait for each other take the same time for
        # all steps.
        self._began = time.time(), time.perf_counter()

    def on_test_begin(self, logs: Any = None) -> None:
        self._training = over_ranks(self.fitted)

    def on_test_end(self, logs: Any = None) -> None:
        self._validation = {f"val_{name}": value for name, value in over_ranks(self.fitted).items()}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        of_all = self._training if self._training is not None else over_ranks(self.fitted)
        logs = {} if logs is None else logs
        others = sorted(logs.keys() - of_all.keys() - self._validation.keys())
        means = np.mean(_ranks.gather([float(logs[name]) for name in others]), axis=0).tolist()
        logs.update({**of_all, **self._validation, **dict(zip(others, means))})

    def save(self, done: bool = False) -> None:
        """Write a checkpoint; every rank calls this after the same step."""
        if self._recorder:
            self._recorder.flush()
        self._saved_at = time.monotonic()
        sums = [value for _, value in _sums(self.fitted)]
        if rankloop.rank == 0:
            place = {"epoch": self._epoch, "step": self._step, "total": self.total, "done": done}
            _checkpoint.write({**self._header, **place, **self.past()}, self.variables, sums)

    def finish(self) -> None:
        """End the training: give the model the history of all attempts, and record that the training is done."""
        past = self.past()
        self.fitted.history.history, self.fitted.history.epoch = past["history"], past["epochs"]
        if self._saved.get("done"):
            return
        if rankloop.rank == 0:
            rankloop.result(**{name: values[-1] for name, values in past["history"].items() if values})
        self._saved = {}  # its part of the history is in there now
        if _checkpoint.are_kept():
            self.save(done=True)
        _ranks.gather(None)  # nobody leaves before rank 0 has saved

    def past(self) -> dict[str, Any]:
        """Return the history of the epochs of all attempts."""
        own, saved = self.fitted.history, self._saved.get("history", {})
        names = dict.fromkeys([*saved, *own.history])
        history = {name: [*saved.get(name, []), *map(float, own.history.get(name, []))] for name in names}
        return {"history": history, "epochs": [*self._saved.get("epochs", []), *own.epoch]}

    def _count(self) -> float | None:
        tracker = getattr(self.fitted, "_loss_tracker", None)  # it counts the examples, whatever the data are
        return None if tracker is None else float(tracker.count)


class Last(_Callback):
    """The last callback: if an earlier one wants to end the training on some rank, all ranks end it after the same
    step."""

    def __init__(self, first: First) -> None:
        super().__init__()
        self._first = first

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if rankloop.size > 1 and self.fitted.stop_training and not self._first.wants_end:
            self.fitted.stop_training, self._first.wants_end = False, True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if rankloop.size > 1:
            self.fitted.stop_training = any(_ranks.gather(self.fitted.stop_training or self._first.wants_end))


def over_ranks(model: keras.Model) -> dict[str, float]:
    """Return the metrics over the data of all ranks since the last reset; the states of the metrics then hold the
    sums."""
    states = [variable for metric in model.metrics for variable in metric.variables]
    for state, value in zip(states, (value for _, value in _sums(model))):
        state.assign(value)
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def _sums(model: keras.Model) -> list[tuple[str, np.ndarray]]:
    """Return the states of the metrics for all ranks: the sum, the mean, or the value of rank 0, as each state
    requires."""
    states = [(variable.aggregation, np.asarray(variable)) for metric in model.metrics for variable in metric.variables]
    of_all = [each for each in _ranks.gather(states) if each]  # a rank that had no batch may have none yet
    if len(of_all) < 2:
        return of_all[0] if of_all else []
    sums = []
    for same in zip(*of_all):
        how, values = same[0][0], [value.astype(np.float64) for _, value in same]
        value = values[0] if how == "only_first_replica" else np.mean(values, 0) if how == "mean" else np.sum(values, 0)
        sums.append((how, value.astype(same[0][1].dtype)))
    return sums
