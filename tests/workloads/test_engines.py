"""Two engines: which one is chosen, what is refused, and that a training is the same on both."""

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ranks

from launch.errors import Refusal
from launch.plan import options
from launch.record.rundir import RunDir
from workloads import mnist
from workloads.api import Training
from workloads.training import checkpoints, engines


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Makes a Python that has some packages only."""

    def only(*packages: str, horovod_for: str = "") -> None:
        class Found:
            origin = str(tmp_path / "horovod" / "__init__.py")  # beside which all other packages are

        if horovod_for:
            (tmp_path / "horovod" / horovod_for).mkdir(parents=True, exist_ok=True)
            (tmp_path / "horovod" / horovod_for / "mpi_lib.cpython-311.so").touch()
        present = {*packages, *(["horovod"] if horovod_for else [])}
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: Found if name in present else None)

    return only


JAX = ("jax", "jaxlib", "keras")


def test_horovod_is_the_default_where_it_is_installed_and_jax_elsewhere(installed):
    installed("tensorflow", *JAX, horovod_for="tensorflow")
    assert Training().describe(1)["engine"] == (
        "horovod (TensorFlow trains, Horovod averages the gradients of the ranks), which is installed"
    )
    assert (
        Training(engine="jax").describe(1)["engine"]
        == "jax (JAX trains, and averages the gradients of the ranks), as asked for"
    )
    installed("tensorflow", *JAX)
    assert (
        Training().describe(1)["engine"]
        == "jax (JAX trains, and averages the gradients of the ranks), as the package horovod is not installed"
    )


@pytest.mark.parametrize(
    ("packages", "horovod_for", "asked", "line"),
    [
        (JAX, "", "horovod", "the package tensorflow is not installed; .*, or give --engine jax"),
        (("tensorflow", "keras"), "", None, "horovod is not installed; nor can --engine jax: .*; see [^,]*$"),
        (("jax", "keras"), "", None, "tensorflow is not installed; nor can --engine jax: the package jaxlib is not"),
        (("tensorflow", "keras"), "torch", None, "horovod was built without TensorFlow"),
        (("jax", "keras", "tensorflow"), "tensorflow", "jax", "jaxlib is not installed; .*, or give --engine horovod"),
    ],
)
def test_an_engine_that_is_not_there_or_not_wholly_is_refused(installed, packages, horovod_for, asked, line: str):
    installed(*packages, horovod_for=horovod_for)
    with pytest.raises(Refusal, match=line):
        Training(engine=asked).refuse_missing(2)


@pytest.mark.parametrize(("jaxlib", "fits"), [("0.10.1", True), ("0.10.2", True), ("0.9.0", False), ("0.11.0", False)])
def test_a_jaxlib_that_this_jax_does_not_load_is_refused(installed, monkeypatch, jaxlib: str, fits: bool):
    needs = ["numpy>=2", "jaxlib<=0.10.2,>=0.10.1", 'jaxlib==0.9.0; extra == "minimum-jaxlib"']
    monkeypatch.setattr(importlib.metadata, "version", lambda package: jaxlib)
    monkeypatch.setattr(importlib.metadata, "requires", lambda package: needs)
    installed(*JAX)
    if fits:
        return Training(engine="jax").refuse_missing(2)
    with pytest.raises(Refusal, match=f"jaxlib is {jaxlib}, and jax needs jaxlib<=0.10.2,>=0.10.1; see"):
        Training(engine="jax").refuse_missing(2)


def test_a_folder_that_has_the_name_of_a_package_is_not_that_package(monkeypatch, tmp_path: Path):
    if importlib.util.find_spec("jax"):
        pytest.skip("JAX is installed in this Python")
    (tmp_path / "jax").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Refusal, match=f"the package jax is not installed: {tmp_path}/jax is a folder"):
        Training(engine="jax").refuse_missing(1)


def test_a_plan_for_elsewhere_says_what_this_python_lacks():
    """The modules of a job may bring it, so nothing is refused."""
    if importlib.util.find_spec("jax"):
        pytest.skip("JAX is installed in this Python")
    words = [sys.executable, "-m", "launch", "--site=slurm", "--dry-run", "tiny", "--engine=jax"]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert ended.returncode == 0, ended.stderr
    [line] = [line for line in ended.stdout.splitlines() if line.startswith("engine here")]
    assert "the package jax is not installed" in line


def test_a_package_that_does_not_load_is_told_in_one_line(tmp_path: Path):
    """Which only an import finds out, in the rank."""
    (tmp_path / "jax.py").write_text("raise RuntimeError('jaxlib is version 0.4.30,\\nand too old')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom workloads.training import engines\nengines.load('jax')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ranks.ROOT)
    last = ended.stderr.splitlines()[-1]
    assert "--engine jax does not load with" in last and "(jaxlib is version 0.4.30, and too old)" in last


def test_a_framework_without_support_for_gpus_is_refused_where_there_are_some(installed, monkeypatch, tmp_path: Path):
    for_processors = tmp_path / "tensorflow_cpu-2.18.1.dist-info"
    for_processors.mkdir()
    installed("tensorflow", *JAX, horovod_for="tensorflow")
    with pytest.raises(Refusal, match="tensorflow-cpu cannot use them; see docs/install.md, or give --gpus-per-node 0"):
        Training(engine="horovod").refuse_missing(2, gpus=True)
    with pytest.raises(Refusal, match=r"has no plugin for them \(jax\[cuda12\], jax\[cuda13\]\)"):
        Training(engine="jax").refuse_missing(2, gpus=True)
    for engine in ("horovod", "jax"):
        Training(engine=engine).refuse_missing(2)
    installed("tensorflow", *JAX, "jax_cuda13_plugin", horovod_for="tensorflow")
    with pytest.raises(Refusal, match="or give --engine jax or --gpus-per-node 0"):
        Training(engine="horovod").refuse_missing(2, gpus=True)
    Training(engine="jax").refuse_missing(2, gpus=True)
    for_processors.rmdir()
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    Training(engine="horovod").refuse_missing(2, gpus=True)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(Refusal, match="TensorFlow's packages for aarch64 cannot use them"):
        Training(engine="horovod").refuse_missing(2, gpus=True)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["tiny", "--engine=jax"], "the package jax is not installed"),
        (["--sweep", "engine=horovod,jax", "tiny"], "a study has one engine, and this one has horovod and jax"),
        (["tiny", "--engine=jax", "--compress"], "--engine jax has no --compress"),
        (["tiny", "--engine=torch"], "torch"),
    ],
)
def test_a_launch_whose_engine_cannot_train_starts_nothing(tmp_path: Path, words: list[str], line: str):
    if importlib.util.find_spec("jax"):
        pytest.skip("JAX is installed in this Python")
    words = [sys.executable, "-m", "launch", "--backend=local", "--runs", str(tmp_path), *words]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert ended.returncode == 2 and not list(tmp_path.iterdir())
    assert line in ended.stderr and len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [["--timeline", "--trace=2"], ["--compress"], ["--strategy=mirrored"]])
def test_what_jax_does_not_offer_is_refused_by_name(words: list[str]):
    name = " ".join(words[0].partition("=")[::2]).strip()
    with pytest.raises(Refusal, match=f"--engine jax has no {name}: leave it out, or give --engine horovod"):
        options.parse(mnist.Config, ["--engine=jax", *words])


def test_an_engine_cannot_be_changed_once_keras_is_imported():
    import keras

    assert keras.backend.backend() == "tensorflow"
    with pytest.raises(Refusal, match="Keras was imported for tensorflow before --engine jax"):
        engines.load("jax")


@ranks.NEEDS_JAX
@pytest.mark.parametrize("size", [1, 2])
def test_twenty_steps_of_a_run_are_the_same_under_either_engine(tmp_path: Path, size: int):
    """From one checkpoint on: that of Horovod is continued by JAX, and the end of JAX is read by Horovod."""
    words = [f"--batch={128 // size}", "--shards=2", "--lr-scaling=none", "--epochs=3", "--deterministic"]
    words += ["--checkpoint-every=1e-9", "--keep=99", "--evaluate-every=0"]
    runs = [RunDir(tmp_path / name) for name in ("horovod", "jax")]
    for run in runs:
        run.create()
    assert ranks.train(size, runs[0].path, *words).wait() == [0] * size
    runs[1].checkpoints.mkdir(exist_ok=True)
    shutil.copy(runs[0].checkpoints / "step-4.npz", runs[1].checkpoints)
    started = ranks.train(size, runs[1].path, *words, attempt=2, engine="jax")
    assert started.wait() == [0] * size, started.output()
    assert "after step 4, which --engine horovod made, with --engine jax" in started.output()
    own, other = (checkpoints.load(run.checkpoints / "step-24.npz") for run in runs)
    for value, expected, (path, *_) in zip(other.values, own.values, own.header["variables"], strict=True):
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6, err_msg=path)
    if size == 1:
        back = ranks.train(size, runs[1].path, *words, attempt=3)
        assert back.wait() == [0], back.output()
        assert "after step 24, which --engine jax made, with --engine horovod" in back.output()
