"""Finds which GPUs this process may use, and their identities, which do not depend on any numbering.

A GPU or driver that cannot be read raises no error here; the answer contains the reason.
"""

import contextlib
import ctypes
import importlib.util
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

NO_DRIVER = "no NVIDIA driver is installed"
NO_BINDINGS = "nvidia-ml-py is not installed"


class Inventory(NamedTuple):
    """What the NVIDIA driver reports about this host."""

    names: list[str]  # model of each GPU that can be read
    driver: str | None  # version of the driver; None without one
    faults: list[str]  # what cannot be read, and why


def visible(variable: str = "CUDA_VISIBLE_DEVICES") -> list[str]:
    """Return the devices that a framework in this process would see, as the variable writes them.

    Parameters
    ----------
    variable : str
        CUDA_VISIBLE_DEVICES, or ROCR_VISIBLE_DEVICES on AMD.

    Returns
    -------
    list of str
        Indices or UUIDs; if the variable is not set, the indices of all GPUs that the driver knows.
    """
    value = os.environ.get(variable)
    if value is not None:
        return listed(value)
    with _driver() as (nvml, _):
        count = _answer(nvml.nvmlDeviceGetCount)[0] if nvml else 0
    return [str(index) for index in range(count or 0)]


def listed(value: str) -> list[str]:
    """Return the devices that a variable such as CUDA_VISIBLE_DEVICES lets through. Like CUDA, this takes those before
    the first word that is not a device, so "-1" and Slurm's "NoDevFiles" let none through.

    References
    ----------
    CUDA C++ Programming Guide, CUDA Environment Variables, CUDA_VISIBLE_DEVICES.
    """
    words = (word.strip() for word in value.split(","))
    return list(itertools.takewhile(re.compile(r"\d+$|(GPU|MIG)-.").match, words))


def identities(devices: Sequence[str]) -> tuple[list[str], str]:
    """Return the identities of visible devices.

    Returns
    -------
    list of str
        Their UUIDs, or "device" and the number if the driver gives none. A MIG device, or a GPU that is given by its
        UUID, is its own identity.
    str
        Why no NVIDIA GPU can be used here, in the driver's words; empty if the driver answers, or there is nothing to
        ask.
    """
    with _driver() as (nvml, why):
        uuids = {
            device: _answer_of(nvml, int(device), nvml.nvmlDeviceGetUUID)[0]
            for device in devices
            if nvml and device.isdigit()
        }
    known = [uuids.get(device) or (f"device {device}" if device.isdigit() else device) for device in devices]
    return known, "" if why in (NO_DRIVER, NO_BINDINGS) else why


def inventory() -> Inventory:
    """Return the GPUs of this host, their driver, and what cannot be read."""
    with _driver() as (nvml, why):
        if nvml is None:
            return Inventory([], None, [] if why == NO_DRIVER else [f"NVIDIA driver not readable: {why}"])
        version, no_version = _answer(nvml.nvmlSystemGetDriverVersion)
        count, no_count = _answer(nvml.nvmlDeviceGetCount)
        names = [_answer_of(nvml, index, nvml.nvmlDeviceGetName) for index in range(count or 0)]
    failures = {"NVIDIA driver": no_version, "GPUs": no_count} | {f"GPU {i}": why for i, (_, why) in enumerate(names)}
    faults = [f"{what} not readable: {why}" for what, why in failures.items() if why]
    return Inventory([name for name, _ in names if name], version, faults)


def reason(error: Exception) -> str:
    """Return an error of the driver or its bindings as text."""
    try:
        text = str(error)
    except Exception:  # the bindings ask the driver for the text, which can fail as well
        text = ""
    return text if text not in ("", "Unknown Error") else type(error).__name__


def _answer(call: Callable[[], Any]) -> tuple[Any, str]:
    """Return what a function of the bindings returns, or None and why it failed: each release fails in different
    ways."""
    try:
        value = call()
    except Exception as error:
        return None, reason(error)
    return (value.decode(errors="replace") if isinstance(value, bytes) else value), ""


def _answer_of(nvml: Any, index: int, ask: Callable[[Any], Any]) -> tuple[Any, str]:
    """Return what a function of the bindings returns for the GPU of this number."""
    return _answer(lambda: ask(nvml.nvmlDeviceGetHandleByIndex(index)))


@contextlib.contextmanager
def _driver() -> Iterator[tuple[Any, str]]:
    """Yield the initialised NVML bindings; or None, and why the driver cannot be asked."""
    if importlib.util.find_spec("pynvml") is None:
        yield None, NO_BINDINGS
        return
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:  # the bindings would report the same, but their import takes 0.1 s
        yield None, NO_DRIVER
        return
    import pynvml as nvml

    _, why = _answer(nvml.nvmlInit)
    if why:
        yield None, NO_DRIVER if "Library Not Found" in why else why
        return
    try:
        yield nvml, ""
    finally:
        _answer(nvml.nvmlShutdown)
