"""An emulated NVIDIA driver: the library of fake_nvml.c, built where a compiler is."""

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from launched import ROOT, environment

_HEAD = """
import ctypes, json, time
from profiling.telemetry import nvml
fake = ctypes.CDLL("libnvidia-ml.so.1")
def say(index, id, value): fake.fake_set(index, id, ctypes.c_ulonglong(value))
"""


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


def said(env: dict[str, str], code: str) -> Any:
    """What a process prints, as JSON, that reads the cards of this environment by NVIDIA's bindings."""
    env = environment(PYTHONPATH=str(ROOT)) | env
    done = subprocess.run([sys.executable, "-c", _HEAD + code], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
