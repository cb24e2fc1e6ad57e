"""What doctor says about the two engines: whether they load, and what keeps them from the GPUs of this machine.

An engine that is absent is a warning, as the user may not need it; one that is installed and does not load is wrong.
"""

import functools
import json
import platform
import re
import sys
from typing import Any

from launch import gpus
from launch.cli.doctor.findings import INSTALL, INSTALL_JAX, REBUILD_HOROVOD, Finding, installed, output

DRIVERS = {11: (450, 80, 2), 12: (525, 60, 13), 13: (580, 65, 6)}
"""The oldest driver for each generation of CUDA on Linux (CUDA Toolkit Release Notes, minor version compatibility)."""

_PATIENCE_S = 400  # on a busy node with a cold file system TensorFlow takes minutes

# Runs in a process of its own, as it takes seconds and can end the process. Prints a line as soon as something is
# known.
_TENSORFLOW = """
import ctypes, glob, os, sys
def say(**known): print("known:", json.dumps(known), flush=True)
import json, tensorflow as tf
build = tf.sysconfig.get_build_info()
say(cuda=build.get("cuda_version", ""), is_cuda=build["is_cuda_build"])
if build["is_cuda_build"]:
    lacks = {}
    root = os.path.dirname(os.path.dirname(tf.__file__))
    for name in ("libcuda.so.1", "libcudart.so.12", "libcublas.so.12", "libcufft.so.11", "libcusolver.so.11",
                 "libcusparse.so.12", "libcudnn.so.9"):
        beside = glob.glob(os.path.join(root, "nvidia", "*", "lib", name))
        try: ctypes.CDLL(beside[0] if beside else name)
        except OSError as error: lacks[name] = str(error)
    say(lacks=lacks, gpus=len(tf.config.list_physical_devices("GPU")))
import horovod.tensorflow as hvd
say(controllers=[name for name in ("gloo", "mpi", "nccl") if getattr(hvd, name + "_built")()])
"""
_JAX = """
import json, jax
print("known:", json.dumps({"backend": jax.default_backend(), "devices": len(jax.devices())}), flush=True)
"""


def tensorflow() -> Finding:
    """Check TensorFlow and Keras, and whether TensorFlow finds the GPUs."""
    found, keras = installed("tensorflow-cpu", "tensorflow"), installed("keras")
    if not found:
        return Finding("absent", "not installed: --engine horovod cannot train", INSTALL)
    if not keras:
        return Finding("wrong", f"{found}, but no Keras", INSTALL)
    known, said = _known(_TENSORFLOW)
    if "is_cuda" not in known:
        return Finding("wrong", f"{found} does not load ({_last(said)})", INSTALL)
    text = f"{found}, {keras}"
    if not known["is_cuda"]:
        only = "TensorFlow has no GPU build for aarch64" if platform.machine() == "aarch64" else "built without CUDA"
        if gpus.inventory().names:
            return Finding(
                "absent", f"{text}; {only}: ranks cannot use the GPUs here", "see docs/install.md, or --engine jax"
            )
        return Finding("ok", f"{text}; {only}")
    text += f"; built for CUDA {known['cuda']}"
    if too_old := driver_too_old(known["cuda"], gpus.inventory().driver):
        return Finding("absent", f"{text}, {too_old}", "use a newer driver, or a build for the CUDA of this one")
    if known.get("gpus"):
        return Finding("ok", f"{text}, finds {known['gpus']} GPU" + "s" * (known["gpus"] > 1))
    why = "; ".join(f"{name} does not load ({error})" for name, error in known.get("lacks", {}).items())
    return Finding("absent", f"{text}, finds no GPU" + f": {why}" * bool(why), "uv pip install 'tensorflow[and-cuda]'")


def horovod() -> Finding:
    """Check whether Horovod was built for this TensorFlow, and what it was built with."""
    found = installed("horovod")
    if not found:
        return Finding("absent", "not installed: --engine horovod has one rank only", INSTALL)
    if not installed("tensorflow-cpu", "tensorflow"):
        return Finding("absent", f"{found}, but no TensorFlow", INSTALL)
    known, said = _known(_TENSORFLOW)
    if "controllers" not in known:
        return Finding(
            "wrong",
            f"{found} does not load ({_last(said)})",
            f"built for another TensorFlow: {REBUILD_HOROVOD}",
        )
    text = f"{found}, built for this TensorFlow; {', '.join(known['controllers'])}"
    if "nccl" not in known["controllers"] and gpus.inventory().names:
        return Finding("absent", f"{text}, but no NCCL: gradients of GPUs go by the processor", "see docs/install.md")
    return Finding("ok", text)


def jax() -> Finding:
    """Check JAX and Keras, and whether JAX has a plugin for GPUs that loads."""
    found, jaxlib, keras = installed("jax"), installed("jaxlib"), installed("keras")
    if not found:
        return Finding("absent", "not installed: --engine jax cannot train", INSTALL_JAX)
    if not (jaxlib and keras):
        return Finding("wrong", f"{found}, but no {'Keras' if jaxlib else 'jaxlib'}", INSTALL_JAX)
    plugin = installed(*(f"jax-{kind}-plugin" for kind in ("cuda13", "cuda12", "rocm10", "rocm7", "rocm60")))
    known, said = _known(_JAX)
    if "backend" not in known:
        return Finding("wrong", f"{found} does not load ({_last(said)})", INSTALL_JAX)
    text = f"{found}, {keras}" + (f", {plugin}" if plugin else "")
    here = gpus.inventory()
    if not plugin:
        if here.names:
            fix = "add --group jax-cuda13 or --group jax-cuda12"
            return Finding("absent", f"{text}; no plugin for GPUs: ranks cannot use those here", fix)
        return Finding("ok", f"{text}; no plugin for GPUs")
    cuda = re.search(r"cuda(\d+)", plugin)
    if cuda and (too_old := driver_too_old(cuda[1], here.driver)):
        return Finding("absent", f"{text}, {too_old}", "use a newer driver, or the plugin for the CUDA of this one")
    if known["backend"] == "cpu":
        return Finding(
            "absent",
            f"{text}; it finds no GPU ({_last(said)})",
            "go to a node with GPUs" if not here.names else INSTALL_JAX,
        )
    return Finding("ok", f"{text}, finds {known['devices']} GPU" + "s" * (known["devices"] > 1))


def driver_too_old(cuda: str, driver: str | None) -> str:
    """Return why a driver cannot run what was built for a version of CUDA; empty if it can, or is not known."""
    oldest = DRIVERS.get(int(cuda.partition(".")[0] or 0))
    if not (oldest and driver):
        return ""
    version = tuple(map(int, re.findall(r"\d+", driver)))
    needed = ".".join(map(str, oldest))
    return f"which needs driver {needed} or newer, and this is {driver}" if version < oldest else ""


@functools.cache
def _known(code: str) -> tuple[dict[str, Any], str]:
    """Return what a process found out until it ended, and all that it printed."""
    said = output([sys.executable, "-c", code], timeout=_PATIENCE_S)
    known: dict[str, Any] = {}
    for line in re.findall(r"^known: (.*)", said, re.MULTILINE):
        known |= json.loads(line)
    return known, said


def _last(said: str) -> str:
    lines = [line for line in said.strip().splitlines() if not line.startswith("known: ")]
    return lines[-1].strip() if lines else "no output"
