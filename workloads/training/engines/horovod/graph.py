"""The graph of a network's forward pass, as TensorBoard shows it."""

from typing import Any

import numpy as np
import tensorflow as tf

from workloads.api import Workload


def graph(workload: Workload) -> bytes:
    """See `engines.interface.Engine`. The graph takes any number of examples."""
    inputs, _ = workload.validation.load(np.arange(1))
    one = tf.nest.map_structure(tf.convert_to_tensor, inputs)
    specs = tf.nest.map_structure(lambda x: tf.TensorSpec([None, *x.shape[1:]], x.dtype), one)
    forward: Any = tf.function(lambda inputs: workload.model(inputs, training=False))
    return forward.get_concrete_function(specs).graph.as_graph_def().SerializeToString()
