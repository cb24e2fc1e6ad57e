"""The PyTorch twin of the network `dropout`, launched as a script of any user: on the processor, and on the GPU."""

import importlib.util
import re

import numpy as np
import part
from part import ROOT, Absent, Part

from workloads.data.images.digits import digits


def measure(own: Part) -> None:
    """See the module."""
    if importlib.util.find_spec("torch") is None:
        raise Absent("PyTorch is not installed")
    images = digits()
    path = own.folder / "digits.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    sets = {"train": images.train, "test": images.validation}
    names = {f"{axis}_{name}": getattr(each, value) for name, each in sets.items() for axis, value in (("x", "pixels"), ("y", "labels"))}  # fmt: skip
    np.savez(path, **names)
    devices = {"processor": ["--gpus-per-node", "0"]}
    try:
        part.card()
        devices["GPU"] = ["--gpus-per-node", "1"]
    except Absent as absent:
        own.row("GPU", "not measured", note=str(absent))
    for device, words in devices.items():
        epochs = "1" if own.tiny else "10"
        program = [str(ROOT / "workloads" / "mnist" / "torch_twin.py"), "--data", str(path), "--epochs", epochs]
        done = own.launch("--name", device, *words, *program)
        found = re.findall(r"accuracy ([\d.]+)%  ([\d.e+]+) examples/s", done.stdout)
        if done.returncode or not found:
            raise SystemExit(f"the twin ended with {done.returncode} on the {device}")
        own.row(f"{device}: throughput", float(found[-1][1]), "examples/s", "scikit-learn's digits, batch 64, float32")
        own.row(f"{device}: accuracy", float(found[-1][0]), "%", f"after {epochs} epochs")


if __name__ == "__main__":
    part.main(measure)
