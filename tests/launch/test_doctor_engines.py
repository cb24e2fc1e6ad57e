"""What doctor says of the engines, in environments that lack parts of them."""

import pytest

from launch import HOME
from launch.cli.doctor import doctor, engines, findings
from launch.gpus import Inventory

GPU = Inventory(["Emulated GPU"], "535.0", [])
NO_GPU = Inventory([], None, [])


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch):
    """Makes one with some packages, what a process that imports them prints, and GPUs."""

    def with_(packages: dict[str, str], said: str = "", here: Inventory = NO_GPU, machine: str = "x86_64") -> None:
        def installed(*names: str) -> str | None:
            return next((f"{name} {packages[name]}" for name in names if name in packages), None)

        engines._known.cache_clear()
        for module in (doctor, engines):
            monkeypatch.setattr(module, "installed", installed)
        monkeypatch.setattr(engines, "output", lambda *_, **__: said)
        monkeypatch.setattr(engines.gpus, "inventory", lambda: here)
        monkeypatch.setattr("platform.machine", lambda: machine)

    yield with_
    engines._known.cache_clear()


TENSORFLOW = {"tensorflow": "2.18.1", "keras": "3.15.1", "horovod": "0.28.1"}
JAX = {"jax": "0.10.2", "jaxlib": "0.10.2", "keras": "3.15.1"}
CPU_ONLY = 'known: {"cuda": "", "is_cuda": false}\n'
CUDA = 'known: {"cuda": "12.5.1", "is_cuda": true}\n'
LACKS = 'known: {"lacks": {"libcudnn.so.9": "cannot open shared object file"}, "gpus": 0}\n'


@pytest.mark.parametrize(
    ("packages", "said", "here", "machine", "level", "words"),
    [
        ({}, "", GPU, "x86_64", "absent", "--engine horovod cannot train"),
        ({"tensorflow": "2.18.1"}, "", GPU, "x86_64", "wrong", "no Keras"),
        (TENSORFLOW, "Traceback\nImportError: boom", GPU, "x86_64", "wrong", "does not load (ImportError: boom)"),
        (TENSORFLOW, CPU_ONLY, NO_GPU, "x86_64", "ok", "built without CUDA"),
        (TENSORFLOW, CPU_ONLY, GPU, "x86_64", "absent", "ranks cannot use the GPUs here"),
        (TENSORFLOW, CPU_ONLY, GPU, "aarch64", "absent", "TensorFlow has no GPU build for aarch64"),
        (TENSORFLOW, CUDA + LACKS, GPU, "x86_64", "absent", "libcudnn.so.9 does not load (cannot open shared"),
        (TENSORFLOW, CUDA + 'known: {"gpus": 4}\n', GPU, "x86_64", "ok", "built for CUDA 12.5.1, finds 4 GPUs"),
        (TENSORFLOW, CUDA, GPU._replace(driver="470.57.02"), "x86_64", "absent", "needs driver 525.60.13 or newer"),
    ],
)
def test_tensorflow(environment, packages, said, here, machine, level, words):
    environment(packages, said, here, machine)
    found = engines.tensorflow()
    assert found.level == level and words in found.text
    assert bool(found.fix) == (level != "ok")


def test_what_is_to_be_typed_in_the_clone_goes_there_first():
    fixes = (findings.INSTALL, findings.INSTALL_JAX, findings.REBUILD_HOROVOD)
    assert all(fix.startswith(f"cd {HOME} && ") for fix in fixes)


@pytest.mark.parametrize(
    ("packages", "said", "here", "level", "words"),
    [
        ({}, "", GPU, "absent", "one rank only"),
        (TENSORFLOW, CPU_ONLY + "ImportError: undefined symbol", NO_GPU, "wrong", "does not load (ImportError"),
        (TENSORFLOW, CPU_ONLY + 'known: {"controllers": ["gloo", "mpi"]}', NO_GPU, "ok", "gloo, mpi"),
        (TENSORFLOW, CUDA + 'known: {"controllers": ["gloo"]}', GPU, "absent", "no NCCL"),
        (TENSORFLOW, CUDA + 'known: {"controllers": ["gloo", "nccl"]}', GPU, "ok", "gloo, nccl"),
    ],
)
def test_horovod(environment, packages, said, here, level, words):
    environment(packages, said, here)
    found = engines.horovod()
    assert found.level == level and words in found.text


ON_CPU = 'known: {"backend": "cpu", "devices": 1}\n'


@pytest.mark.parametrize(
    ("packages", "said", "here", "level", "words"),
    [
        ({}, "", GPU, "absent", "--engine jax cannot train"),
        ({"jax": "0.10.2", "keras": "3"}, "", GPU, "wrong", "no jaxlib"),
        (JAX, ON_CPU, NO_GPU, "ok", "no plugin for GPUs"),
        (JAX, ON_CPU, GPU, "absent", "ranks cannot use those here"),
        (
            JAX | {"jax-cuda13-plugin": "0.10.2"},
            ON_CPU,
            GPU,
            "absent",
            "needs driver 580.65.6 or newer, and this is 535.0",
        ),
        (
            JAX | {"jax-cuda12-plugin": "0.10.2"},
            "no libcublas\n" + ON_CPU,
            GPU,
            "absent",
            "finds no GPU (no libcublas)",
        ),
        (JAX | {"jax-cuda12-plugin": "0.10.2"}, 'known: {"backend": "gpu", "devices": 1}', GPU, "ok", "finds 1 GPU"),
    ],
)
def test_jax(environment, packages, said, here, level, words):
    environment(packages, said, here)
    found = engines.jax()
    assert found.level == level and words in found.text


def test_one_engine_is_enough(environment):
    environment(JAX)
    assert doctor.CHECKS["engine"]() == ("ok", "--engine jax can train", "")
    environment(JAX | TENSORFLOW)
    assert "--engine horovod and --engine jax can train, the first by default" in doctor.CHECKS["engine"]().text
    environment({name: version for name, version in TENSORFLOW.items() if name != "horovod"})
    assert doctor.CHECKS["engine"]().text == "--engine horovod with one rank can train"
    environment({})
    assert doctor.CHECKS["engine"]().level == "absent"


@pytest.mark.parametrize(
    ("cuda", "driver", "fits"),
    [("12.5.1", "525.60.13", True), ("12", "525.60.12", False), ("13", "580.65.06", True), ("13", "575.57.08", False),
     ("13", None, True), ("14", "600.1", True), ("", "600.1", True)],
)  # fmt: skip
def test_drivers(cuda: str, driver: str | None, fits: bool):
    assert bool(engines.driver_too_old(cuda, driver)) != fits
