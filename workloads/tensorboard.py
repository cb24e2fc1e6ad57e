"""What TensorBoard shows of a run: ``tensorboard --logdir runs/STUDY`` shows it of every point.

The chief writes into RUN/tensorboard: scalars of the training and of the evaluations, the model's graph as operations and as
layers, histograms of the weights, the options as hyperparameters, the pictures of the run. Points wait until an evaluation or a
checkpoint, and are on the disk before that checkpoint is; a run that goes on drops those that came after its checkpoint. So no
point is lost, and none stands twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.histogram.metadata import create_summary_metadata
from tensorboard.plugins.hparams import api_pb2, metadata, summary, summary_v2

from launch.rundir import publish
from workloads.api import Workload

POINTS = 1000  # of each scalar of the training: as many as TensorBoard shows of one
FILES = "events.out.tfevents."  # how the names begin by which TensorBoard finds them
MEASURED = "validation/"  # the scalars that an evaluation leaves
WEIGHTS = "weights/"  # the histograms that it leaves
HISTOGRAM = create_summary_metadata(display_name=None, description=None)


class Board:
    """The points of one attempt of a run, after those of the attempts before it.

    Parameters
    ----------
    folder : Path
        RUN/tensorboard.
    step : int
        After which the attempt goes on; 0: it begins.
    steps : int
        Of the whole run.
    """

    def __init__(self, folder: Path, step: int, steps: int) -> None:
        folder.mkdir(exist_ok=True)
        kept = _rewind(folder, step)
        self._noted = {(value.tag, event.step) for event in kept for value in event.summary.value}
        self._every = max(1, -(-steps // POINTS))
        # The writer's own thread shall not work in the middle of a step.
        self._writer = tf.summary.create_file_writer(str(folder), max_queue=10**6, flush_millis=10**9)

    def begin(self, workload: Workload, options: dict[str, Any]) -> None:
        """Note the model's graphs and the options, unless an attempt before this one has.

        Parameters
        ----------
        workload : Workload
            Whose model it is, and an example for it.
        options : dict
            Names and values; what is no number, truth or text is written as text.
        """
        if self._noted:
            return
        plain = {name: v if isinstance(v, (bool, int, float)) else str(v or "") for name, v in options.items()}
        with self._writer.as_default(step=0):
            summary_v2.hparams(plain)
            tf.summary.graph(_operations(workload))
            if layers := _layers(workload.model):
                kind = tf.compat.v1.SummaryMetadata()
                kind.plugin_data.plugin_name, kind.plugin_data.content = "graph_keras_model", b"1"
                tf.summary.write("keras", layers, metadata=kind)
        self.flush()

    def trained(self, step: int, loss: float, learning_rate: float, examples_per_s: float | None) -> None:
        """Note a step, or one in so many that there are at most `POINTS`; no rate where the step was compiled first."""
        if step % self._every:
            return
        with self._writer.as_default(step=step):
            tf.summary.scalar("train/loss", loss)
            tf.summary.scalar("train/learning_rate", learning_rate)
            if examples_per_s is not None:
                tf.summary.scalar("train/examples_per_s", examples_per_s)

    def evaluated(self, step: int, metrics: dict[str, float], model: keras.Model) -> None:
        """Note the metrics of the validation set, and the weights."""
        with self._writer.as_default(step=step):
            self._measured(step, metrics)
            for weight in model.weights:
                tag = WEIGHTS + weight.path
                if tf.as_dtype(weight.dtype).is_floating and self._is_new(tag, step):
                    tf.summary.write(tag, _buckets(weight.value.numpy()), metadata=HISTOGRAM)
        self.flush()

    def flush(self) -> None:
        """Put all that is noted on the disk."""
        self._writer.flush()

    def finish(self, step: int, metrics: dict[str, float], figures: Path) -> None:
        """Note all metrics of the end, the run's pictures, and that it is done."""
        with self._writer.as_default(step=step):
            self._measured(step, metrics)
            for path in sorted(figures.glob("*.png")):
                if self._is_new(path.stem, step):
                    tf.summary.image(path.stem, tf.image.decode_png(path.read_bytes(), channels=3)[None])
            if self._is_new(metadata.SESSION_END_INFO_TAG, step):
                ended = summary.session_end_pb(api_pb2.STATUS_SUCCESS)
                tf.summary.experimental.write_raw_pb(ended.SerializeToString())
        self._writer.close()

    def _measured(self, step: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            if self._is_new(MEASURED + name, step):
                tf.summary.scalar(MEASURED + name, value)

    def _is_new(self, tag: str, step: int) -> bool:
        """Whether a point is not noted yet, as it may be by an attempt that was ended before its result was written."""
        new = (tag, step) not in self._noted
        self._noted.add((tag, step))
        return new


def records(path: Path) -> Iterator[bytes]:
    """The records of a file of events; one that a kill has cut short ends it."""
    try:
        for record in tf.data.TFRecordDataset(str(path)):
            yield record.numpy()
    except tf.errors.DataLossError:
        return


def _rewind(folder: Path, step: int) -> list[Event]:
    """Drop what was noted after a step, by rewriting the files of the attempts before as one; return what is kept."""
    files = sorted(folder.glob(f"{FILES}*"))
    if not files:
        return []
    # Two files hold the same record if a kill came between the lines below.
    found = {record: Event.FromString(record) for path in files for record in records(path)}
    kept = {record: event for record, event in found.items() if event.step <= step}
    draft = folder / "draft"
    with tf.io.TFRecordWriter(str(draft)) as writer:
        for record in kept:
            writer.write(record)
    publish(folder / f"{FILES}{time.time_ns()}", draft.read_bytes())
    for path in (draft, *files):
        path.unlink()
    return [event for event in kept.values() if event.WhichOneof("what") != "file_version"]


def _buckets(values: np.ndarray) -> np.ndarray:
    """A histogram, float64 (30, 3): left edge, right edge, number. tf.summary.histogram takes ten times as long."""
    numbers, edges = np.histogram(values, bins=30)
    return np.stack([edges[:-1], edges[1:], numbers], axis=1).astype(np.float64)


def _operations(workload: Workload) -> tf.Graph:
    """The graph of the model's forward pass, for any number of examples."""
    inputs, _ = workload.validation.load(np.arange(1))
    one = tf.nest.map_structure(tf.convert_to_tensor, inputs)
    specs = tf.nest.map_structure(lambda x: tf.TensorSpec([None, *x.shape[1:]], x.dtype), one)
    return tf.function(lambda inputs: workload.model(inputs, training=False)).get_concrete_function(specs).graph


def _layers(model: keras.Model) -> str | None:
    """The layers of a model, in JSON."""
    try:
        return model.to_json()
    except (NotImplementedError, TypeError, ValueError) as error:  # of a subclass that does not say how it is made
        print(
            f"TensorBoard will not have the layers of {model.name}, which Keras cannot write down: {error}", flush=True
        )
        return None
