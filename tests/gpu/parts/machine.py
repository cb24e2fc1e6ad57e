"""What is measured on: the GPU, the processor, and the versions that the numbers depend on."""

import importlib.metadata
import os
import platform

import part
from part import Absent, Part

from launch import VERSION, gpus


def measure(own: Part) -> None:
    """See the module."""
    own.row("rankloop", VERSION)
    own.row("cores", len(os.sched_getaffinity(0)))
    own.row("load of the machine", os.getloadavg()[0])
    own.row("Python", platform.python_version())
    for package in ("jax", "jax-cuda13-plugin", "jax-cuda12-plugin", "keras", "torch", "nvidia-ml-py", "numpy"):
        try:
            own.row(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            own.row(package, "not installed")
    own.row("driver", gpus.inventory().driver or "none")
    try:
        own.row("GPU", part.card().name)
    except Absent as absent:
        own.row("GPU", "none", note=str(absent))
    import jax

    own.row("device of JAX", jax.devices()[0].device_kind)


if __name__ == "__main__":
    part.main(measure)
