"""Which GPUs this process may use, and which they are: the identity that no numbering changes."""

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from types import ModuleType


def visible(variable: str = "CUDA_VISIBLE_DEVICES") -> list[str]:
    """The devices that a framework in this process would see, as the variable writes them.

    Parameters
    ----------
    variable : str
        CUDA_VISIBLE_DEVICES, or ROCR_VISIBLE_DEVICES on AMD.

    Returns
    -------
    list of str
        Indices or UUIDs; where the variable is not set, the indices of all GPUs that the driver knows.
    """
    said = os.environ.get(variable)
    if said is not None:
        return listed(said)
    with _driver() as nvml:
        return [str(i) for i in range(nvml.nvmlDeviceGetCount())] if nvml else []


def listed(value: str) -> list[str]:
    """The devices that a variable such as CUDA_VISIBLE_DEVICES lets through: as CUDA reads it, those before the first
    word that is none, so that "-1" and Slurm's "NoDevFiles" let none through.

    References
    ----------
    CUDA C++ Programming Guide, CUDA Environment Variables, CUDA_VISIBLE_DEVICES.
    """
    words = (word.strip() for word in value.split(","))
    return list(itertools.takewhile(re.compile(r"\d+$|(GPU|MIG)-.").match, words))


def identity(device: str) -> str:
    """The UUID of a visible device; where no driver tells it, its number.

    A MIG device or a GPU that is given by its UUID is its own identity.
    """
    if not device.isdigit():
        return device
    with _driver() as nvml:
        if nvml is None:
            return f"device {device}"
        try:
            uuid = nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetHandleByIndex(int(device)))
        except nvml.NVMLError:
            return f"device {device}"
    return uuid.decode() if isinstance(uuid, bytes) else uuid


def names() -> list[str]:
    """The model of each GPU of this host."""
    with _driver() as nvml:
        if nvml is None:
            return []
        found = [nvml.nvmlDeviceGetName(nvml.nvmlDeviceGetHandleByIndex(i)) for i in range(nvml.nvmlDeviceGetCount())]
    return [name.decode() if isinstance(name, bytes) else name for name in found]


def driver_version() -> str | None:
    """Of the NVIDIA driver, or None without one."""
    with _driver() as nvml:
        return nvml and str(nvml.nvmlSystemGetDriverVersion())


@contextlib.contextmanager
def _driver() -> Iterator[ModuleType | None]:
    """The NVML bindings, initialised; None where there is no driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # not installed, no library, no driver: all mean that nothing can be asked
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()
