"""TensorFlow, whose ranks average their gradients by Horovod."""

from workloads.training.engines.horovod.communicator import Communicator
from workloads.training.engines.horovod.flops import square
from workloads.training.engines.horovod.gradient import gradient
from workloads.training.engines.horovod.graph import graph
from workloads.training.engines.horovod.mirrored import scope
from workloads.training.engines.horovod.pipeline import Pipeline
from workloads.training.engines.horovod.profiler import span, start_profiler, stop_profiler
from workloads.training.engines.horovod.setup import configure
from workloads.training.engines.horovod.step import Step, sums

name = "horovod"

__all__ = [
    "Communicator",
    "Pipeline",
    "Step",
    "configure",
    "gradient",
    "graph",
    "name",
    "scope",
    "span",
    "square",
    "start_profiler",
    "stop_profiler",
    "sums",
]
