"""The gradient of a function within a network."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def gradient(function: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    """See `engines.interface.Engine`."""
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return value, tape.gradient(value, x)
