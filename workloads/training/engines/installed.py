"""What of each engine is installed in this Python. Nothing is imported to find out."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path
from typing import Literal

Name = Literal["horovod", "jax"]

_PACKAGES: dict[Name, tuple[str, ...]] = {"horovod": ("tensorflow", "keras"), "jax": ("jax", "jaxlib", "keras")}
_JAX_FOR_GPUS = [f"jax_{kind}_plugin" for kind in ("cuda12", "cuda13", "rocm60", "rocm7", "rocm10")]


def lacks(name: Name, size: int = 2) -> str:
    """What of an engine is not installed, in words; nothing if all is. One rank has no use for Horovod."""
    for package in _PACKAGES[name]:
        if importlib.util.find_spec(package) is None:
            return f"the package {package} is not installed"
    if name == "horovod" and size > 1 and not _has_horovod():
        spec = importlib.util.find_spec("horovod")
        return "the package horovod is not installed" if spec is None else "horovod was built without TensorFlow"
    return ""


def lacks_gpus(name: Name) -> str:
    """Why the framework of an engine, which is installed, can use no GPU, in words; nothing if it may be able to."""
    if name == "jax":
        found = any(importlib.util.find_spec(package) for package in _JAX_FOR_GPUS)
        return "" if found else "the ranks have GPUs, and this JAX has no plugin for them (jax[cuda12], jax[cuda13])"
    from importlib import metadata  # slow to import, and most plans do not need it

    try:
        metadata.version("tensorflow-cpu")
        return "the ranks have GPUs, and tensorflow-cpu cannot use them"
    except metadata.PackageNotFoundError:
        if platform.machine() == "aarch64":
            return "the ranks have GPUs, and TensorFlow's packages for aarch64 cannot use them"
        return ""


def _has_horovod() -> bool:
    spec = importlib.util.find_spec("horovod")
    return bool(spec and spec.origin and any((Path(spec.origin).parent / "tensorflow").glob("mpi_lib*.so")))
