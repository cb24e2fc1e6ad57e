"""An emulated AMD SMI: the library of fake_amdsmi.c, built where a compiler is, with every function that the bindings look up."""

import atexit
import functools
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("fake_amdsmi.c")


@functools.cache
def _folder() -> Path:
    compiler, bindings = shutil.which("cc") or shutil.which("gcc"), importlib.util.find_spec("amdsmi")
    if not (compiler and bindings):
        pytest.skip("no C compiler or no amdsmi: AMD's driver cannot be emulated")
    wrapper = Path(bindings.submodule_search_locations[0]) / "amdsmi_wrapper.py"
    wanted = set(re.findall(r"_libraries\['libamd_smi\.so'\]\.(\w+)", wrapper.read_text()))
    missing = wanted - set(re.findall(r"^int (\w+)\(", SOURCE.read_text(), re.MULTILINE))
    stubs = " ".join(f"STUB({name})" for name in sorted(missing))
    folder = Path(tempfile.mkdtemp(prefix="fake-amdsmi-"))
    atexit.register(shutil.rmtree, folder)
    options = ["-shared", "-fPIC", "-Wall", "-Werror", f"-DSTUBS={stubs}"]
    subprocess.run([compiler, *options, "-o", str(folder / "libamd_smi.so"), str(SOURCE)], check=True)
    return folder


def gpus(*uuids: str) -> dict[str, str]:
    """The environment in which a process finds these GPUs; skips the test where they cannot be emulated."""
    path = os.pathsep.join(filter(None, [str(_folder()), os.environ.get("LD_LIBRARY_PATH")]))
    return {"LD_LIBRARY_PATH": path, "FAKE_AMDSMI_UUIDS": ",".join(uuids)}
