"""TensorFlow's profiler."""

import contextlib
from pathlib import Path

import tensorflow as tf


def span(name: str, step: int | None = None) -> contextlib.AbstractContextManager:
    """See `engines.interface.Engine`."""
    return tf.profiler.experimental.Trace(name, **({} if step is None else {"step_num": step, "_r": 1}))


def start_profiler(folder: Path) -> None:
    """See `engines.interface.Engine`."""
    tf.profiler.experimental.start(str(folder))


def stop_profiler() -> None:
    """See `engines.interface.Engine`."""
    tf.profiler.experimental.stop()
