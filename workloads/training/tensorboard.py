"""What TensorBoard shows of a run: ``tensorboard --logdir runs/STUDY`` shows it of every point.

The chief writes into RUN/tensorboard: scalars of the training and of the evaluations, the model's graph as operations
and as layers, histograms of the weights, the options as hyper-parameters, the pictures of the run. Points wait until an
evaluation or a checkpoint, and are on the disk before that checkpoint is; a resumed run drops those that came after its
checkpoint. So no point is lost, and none is there twice.

TensorBoard's own modules write all of it, so it is the same on every engine; only the graph of operations is the
engine's.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.compat.tensorflow_stub import errors
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.plugins.histogram.metadata import create_summary_metadata as of_histogram
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.image.metadata import create_summary_metadata as of_image
from tensorboard.plugins.scalar.metadata import create_summary_metadata as of_scalar
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

from launch.record.study import INDEX
from launch.record.writing import publish
from workloads.api import Workload

POINTS = 1000  # of each scalar of the training, as many as TensorBoard shows
FILES = "events.out.tfevents."  # prefix of the names of the files, by which TensorBoard finds them
MEASURED = "validation/"  # prefix of the scalars of an evaluation
WEIGHTS = "weights/"  # prefix of the histograms of an evaluation
SCALAR, HISTOGRAM, IMAGE = of_scalar("", ""), of_histogram("", ""), of_image("", "")
# The annotations of TensorFlow's and TensorBoard's classes do not know what protobuf puts into them.
Event: Any = event_pb2.Event
Summary: Any = summary_pb2.Summary
SummaryMetadata: Any = summary_pb2.SummaryMetadata
HParams: Any = plugin_data_pb2.HParamsPluginData
LAYERS = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="graph_keras_model", content=b"1"))


class Board:
    """The points of one attempt of a run, after those of the attempts before it.

    Parameters
    ----------
    folder : Path
        The folder RUN/tensorboard.
    step : int
        Step after which the attempt goes on; 0: it begins.
    steps : int
        Number of steps of the whole run.
    """

    def __init__(self, folder: Path, step: int, steps: int) -> None:
        folder.mkdir(exist_ok=True)
        self._trial = _name_of_run(folder.parent)
        kept = _rewind(folder, step)
        self._noted = {(value.tag, event.step) for event in kept for value in event.summary.value}
        self._every = max(1, -(-steps // POINTS))
        # tf.summary takes a hundred times as long for a point of the training: 0.4 ms of each step.
        self._file = _writer(folder / f"{FILES}{time.time_ns()}")
        self._write(0, file_version="brain.Event:2")

    def begin(self, workload: Workload, graph: Callable[[Workload], bytes], options: dict[str, Any]) -> None:
        """Note the model's graphs and the options, unless an attempt before this one has.

        Parameters
        ----------
        workload : Workload
            Workload with the model, and with an example for it.
        graph : function
            The function ``graph`` of the engine, see `engines.interface.Engine`.
        options : dict
            Names and values; what is not a number, a truth value or a text is written as text.
        """
        if self._noted:
            return
        trial = HParams(session_start_info={"group_name": self._trial, "start_time_secs": time.time()})
        for name, value in options.items():
            kind = {bool: "bool", int: "number", float: "number"}.get(type(value), "string")
            plain = str(value or "") if kind == "string" else value
            setattr(trial.session_start_info.hparams[name], f"{kind}_value", plain)
        self._trial_is(0, metadata.SESSION_START_INFO_TAG, trial)
        self._write(0, graph_def=graph(workload))
        if layers := _layers(workload.model):
            self._note(0, {"keras": layers}, LAYERS)
        self.flush()

    def trained(self, step: int, loss: float, learning_rate: float, examples_per_s: float | None) -> None:
        """Note a step, or one in so many that at most `POINTS` are noted; no rate if the step was compiled first."""
        if step % self._every:
            return
        points = {"loss": loss, "learning_rate": learning_rate, "examples_per_s": examples_per_s}
        self._note(step, {f"train/{name}": np.float32(v) for name, v in points.items() if v is not None}, SCALAR)

    def evaluated(self, step: int, metrics: dict[str, float], model: keras.Model) -> None:
        """Note the metrics of the validation set, and the weights."""
        self._measured(step, metrics)
        floating = [weight for weight in model.weights if "float" in weight.dtype]
        new = [weight for weight in floating if self._is_new(WEIGHTS + weight.path, step)]
        self._note(step, {WEIGHTS + weight.path: _buckets(np.asarray(weight)) for weight in new}, HISTOGRAM)
        self.flush()

    def flush(self) -> None:
        """Put all that is noted on the disk."""
        self._file.flush()

    def finish(self, step: int, metrics: dict[str, float], figures: Path) -> None:
        """Note all metrics of the end, the run's pictures, and that it is done."""
        self._measured(step, metrics)
        for path in sorted(figures.glob("*.png")):
            if self._is_new(path.stem, step):
                self._note(step, {path.stem: _picture(path.read_bytes())}, IMAGE)
        if self._is_new(metadata.SESSION_END_INFO_TAG, step):
            status: Any = api_pb2.STATUS_SUCCESS
            ended = HParams(session_end_info={"status": status, "end_time_secs": time.time()})
            self._trial_is(step, metadata.SESSION_END_INFO_TAG, ended)
        self._file.close()

    def _trial_is(self, step: int, tag: str, content: Any) -> None:
        """Note what HParams shows of a run."""
        points = Summary()
        points.value.add(tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR)
        self._write(step, summary=points)

    def _measured(self, step: int, metrics: dict[str, float]) -> None:
        new = {
            MEASURED + name: np.float32(value) for name, value in metrics.items() if self._is_new(MEASURED + name, step)
        }
        self._note(step, new, SCALAR)

    def _note(self, step: int, values: dict[str, Any], kind: Any) -> None:
        """Note values by tag, for TensorBoard to show as that kind."""
        points = Summary()
        for tag, value in values.items():
            points.value.add(tag=tag, metadata=kind, tensor=tensor_util.make_tensor_proto(value))
        self._write(step, summary=points)

    def _write(self, step: int, **content: Any) -> None:
        self._file.write(Event(wall_time=time.time(), step=step, **content).SerializeToString())

    def _is_new(self, tag: str, step: int) -> bool:
        """Return whether a point is new; an earlier attempt that ended before its result may have noted it."""
        new = (tag, step) not in self._noted
        self._noted.add((tag, step))
        return new


def _name_of_run(run: Path) -> str:
    """Return the name of a run in HParams: by default it is a hash of the options, and repeats, which share them, would
    be one trial."""
    run = run.absolute()
    return f"{run.parent.name}/{run.name}" if (run.parent / INDEX).is_file() else run.name


def records(path: Path) -> Iterator[bytes]:
    """Yield the records of a file of events, up to one that a kill has cut short."""
    reader = PyRecordReader_New(str(path))
    while True:
        try:
            reader.GetNext()
        except (errors.OutOfRangeError, errors.DataLossError):
            return
        yield reader.record() or b""


def _writer(path: Path) -> RecordWriter:
    return RecordWriter(path.open("wb"))


def _rewind(folder: Path, step: int) -> list:
    """Drop what was noted after a step, by rewriting the files of the attempts before as one; return what is kept."""
    files = sorted(folder.glob(f"{FILES}*"))
    if not files:
        return []
    # Two files hold the same record if a kill came between the lines below.
    events = {record: Event.FromString(record) for path in files for record in records(path)}
    kept = {record: event for record, event in events.items() if event.step <= step}
    draft = folder / "draft"
    writer = _writer(draft)
    for record in kept:
        writer.write(record)
    writer.close()
    publish(folder / f"{FILES}{time.time_ns()}", draft.read_bytes())
    for path in (draft, *files):
        path.unlink()
    return [event for event in kept.values() if event.WhichOneof("what") != "file_version"]


def _buckets(values: np.ndarray) -> np.ndarray:
    """Return a histogram of the finite values, float64 (30, 3): left edge, right edge, number.

    tf.summary.histogram takes ten times as long.
    """
    numbers, edges = np.histogram(values[np.isfinite(values)], bins=30)
    return np.stack([edges[:-1], edges[1:], numbers], axis=1).astype(np.float64)


def _picture(png: bytes) -> list[bytes]:
    """Return a picture as width, height and content."""
    width, height = struct.unpack(">II", png[16:24])  # of the header, which is always the first chunk
    return [str(width).encode(), str(height).encode(), png]


def _layers(model: keras.Model) -> str | None:
    """Return the layers of a model in JSON, or None if Keras cannot write them down."""
    try:
        return model.to_json()
    except (NotImplementedError, TypeError, ValueError) as error:  # a subclass that does not say how it is made
        print(
            f"TensorBoard will not have the layers of {model.name}, which Keras cannot write down: {error}", flush=True
        )
        return None
