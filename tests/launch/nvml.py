"""An emulated NVIDIA driver: the library of fake_nvml.c, built where a compiler is."""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


@functools.cache
def _folder(*defines: str) -> Path | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="fake-nvml-"))
    atexit.register(shutil.rmtree, folder)
    source = Path(__file__).with_name("fake_nvml.c")
    library = folder / "libnvidia-ml.so.1"
    options = ["-shared", "-fPIC", "-Wall", "-Werror", "-Wl,-soname,libnvidia-ml.so.1", *defines]
    subprocess.run([compiler, *options, "-o", str(library), str(source)], check=True)
    return folder


def cards(*uuids: str, old_driver: bool = False) -> dict[str, str]:
    """The environment in which a process finds these cards; skips the test where there is no compiler."""
    folder = _folder(*(["-DOLD_DRIVER"] if old_driver else []))
    if folder is None:
        pytest.skip("no C compiler: the driver cannot be emulated")
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("LD_LIBRARY_PATH")]))
    return {"LD_LIBRARY_PATH": path, "FAKE_NVML_UUIDS": ",".join(uuids)}
