"""Which parts of each engine are installed in this Python. Nothing is imported to find out."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path
from typing import Literal

Name = Literal["horovod", "jax"]

_PACKAGES: dict[Name, tuple[str, ...]] = {"horovod": ("tensorflow", "keras"), "jax": ("jax", "jaxlib", "keras")}
_JAX_FOR_GPUS = [f"jax_{kind}_plugin" for kind in ("cuda12", "cuda13", "rocm60", "rocm7", "rocm10")]


def lacks(name: Name, size: int = 2) -> str:
    """Return what of an engine is not installed, in words; nothing if all is. One rank does not need Horovod."""
    for package in _PACKAGES[name]:
        if lacking := _lacks_package(package):
            return lacking
    if name == "jax":
        return _wrong_jaxlib()
    if size > 1:
        return _lacks_package("horovod") or ("" if _has_horovod() else "horovod was built without TensorFlow")
    return ""


def lacks_gpus(name: Name) -> str:
    """Return why the framework of an installed engine can use no GPU, in words; nothing if it may be able to."""
    if name == "jax":
        found = any(importlib.util.find_spec(package) for package in _JAX_FOR_GPUS)
        return "" if found else "the ranks have GPUs, and this JAX has no plugin for them (jax[cuda12], jax[cuda13])"
    spec = importlib.util.find_spec("tensorflow")
    # By the name of a folder, as importlib.metadata is slow to import, and each plan with GPUs asks this.
    if spec and spec.origin and any(Path(spec.origin).parents[1].glob("tensorflow_cpu-*.dist-info")):
        return "the ranks have GPUs, and tensorflow-cpu cannot use them"
    if platform.machine() == "aarch64":
        return "the ranks have GPUs, and TensorFlow's packages for aarch64 cannot use them"
    return ""


def _lacks_package(package: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec and spec.origin:
        return ""
    # To Python a folder of that name is a package too: one of the user's, or what an uninstallation has left.
    folder = f": {next(iter(spec.submodule_search_locations or ()), '')} is a folder of its name only" if spec else ""
    return f"the package {package} is not installed{folder}"


def _wrong_jaxlib() -> str:
    """Return why the installed jax does not load with the installed jaxlib, in words; nothing if it does."""
    from importlib import metadata  # slow to import, and most plans do not need it

    from packaging.requirements import Requirement  # which Keras needs too

    try:
        here, requirements = metadata.version("jaxlib"), metadata.requires("jax") or []
    except metadata.PackageNotFoundError:
        return ""
    wanted = [each for each in map(Requirement, requirements) if each.name == "jaxlib" and not each.marker]
    wrong = next((each for each in wanted if not each.specifier.contains(here, prereleases=True)), None)
    return f"jaxlib is {here}, and jax needs {wrong}" if wrong else ""


def _has_horovod() -> bool:
    spec = importlib.util.find_spec("horovod")
    return bool(spec and spec.origin and any((Path(spec.origin).parent / "tensorflow").glob("mpi_lib*.so")))
