"""JAX, one process and one device per rank, which average their gradients by its own collectives."""

from workloads.training.engines.jax.communicator import Communicator
from workloads.training.engines.jax.flops import square
from workloads.training.engines.jax.gradient import gradient
from workloads.training.engines.jax.graph import graph
from workloads.training.engines.jax.pipeline import Pipeline
from workloads.training.engines.jax.profiler import span, start_profiler, stop_profiler
from workloads.training.engines.jax.setup import configure, scope
from workloads.training.engines.jax.step import Step, sums

name = "jax"

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
