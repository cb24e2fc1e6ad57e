"""What makes ranks cooperate, found before they start: in Python by what it uses, in a binary by its libraries; and auto MPI."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from mpi_program import MPICC, needs_mpi
from plans import LAPTOP, plan

from launch.errors import Refusal
from launch.plan.request import Request
from launch.plan.target import cooperation, imports, workload
from launch.record.cooperation import expected

SCRIPTS = {
    "import mpi4py.MPI": "mpi4py",
    "from mpi4py import MPI": "mpi4py",
    "import horovod.tensorflow as hvd\nhvd.init()": "horovod",
    "def later():\n    import horovod.torch": "horovod",
    "try:\n    import mpi4py\nexcept ImportError: pass": "mpi4py",
    "import importlib\nimportlib.import_module('mpi4py.MPI')": "mpi4py",
    "import torch\ntorch.distributed.init_process_group()": "torch.distributed",
    "import torch as t\nt.nn.parallel.DistributedDataParallel": "torch.distributed",
    "import torch.distributed as dist\ndist.init_process_group('gloo')": "torch.distributed",
    "from torch.nn.parallel import DistributedDataParallel as DDP": "torch.distributed",
    "from torch.distributed.fsdp import fully_shard": "torch.distributed",
    "import torch.distributed as dist\nif dist.is_available() and dist.is_initialized(): dist.get_rank()": "",
    "import torch": "",
    "from accelerate import Accelerator": "accelerate",
    "import pytorch_lightning as pl": "lightning",
    "import lightning.pytorch": "lightning",
    "import deepspeed": "deepspeed",
    "from transformers import Trainer, TrainingArguments": "transformers.Trainer",
    "import transformers\ntransformers.pipeline('x')": "",
    "import jax\njax.distributed.initialize()": "jax.distributed",
    "from jax import distributed as d\nd.initialize()": "jax.distributed",
    "import jax.numpy as jnp": "",
    "import keras\nkeras.distribution.initialize()": "keras.distribution",
    "from tensorflow import keras\nkeras.distribution.initialize()": "keras.distribution",
    "import keras\nkeras.distribution.DataParallel()": "",
    "import tensorflow as tf\ntf.distribute.MultiWorkerMirroredStrategy()": "tf.distribute",
    "import tensorflow as tf\ntf.distribute.MirroredStrategy()": "",
    "import tensorflow as tf\ns = tf.distribute.experimental.ParameterServerStrategy": "tf.distribute",
    "import rankloop.keras as rk": "rankloop.keras",
    "import rankloop\nprint(rankloop.rank)": cooperation.BY_NUMBER,
    "import os\nme = int(os.environ['RANK'])": cooperation.BY_NUMBER,
    "import os\nos.environ.get('SLURM_PROCID', 0)": cooperation.BY_NUMBER,
    "import os\nos.environ['TF_CONFIG'], os.environ['RANK']": "tf.distribute",
    "import os, mpi4py\nos.environ['RANK']": "mpi4py",
    "import mpi4py, torch.distributed\ntorch.distributed.barrier()": "mpi4py, torch.distributed",
    "# import mpi4py\nprint('import mpi4py', 'horovod')": "",
    "from mpi4py_fft import PFFT": "mpi4py_fft",
    "import numba_mpi as mpi": "numba_mpi",
    "import h5py": "",
    "import ctypes\nmpi = ctypes.CDLL('libmpi.so.40')": "MPI (libmpi.so.40)",
    "from ctypes import cdll\ncdll.LoadLibrary('/opt/mpi/lib/libmpi.so')": "MPI (libmpi.so)",
    "from ctypes.util import find_library\nfind_library('mpi')": "MPI (libmpi)",
    "import ctypes\nctypes.CDLL('libc.so.6'), ctypes.CDLL(None), ctypes.CDLL('libmpfr.so')": "",
    "import subprocess\nsubprocess.run(['mpirun', '-n', '2', './solve'])": None,
    "from os import system\nsystem('srun ./solve')": None,
    "import subprocess, os\nos.path.exists('x'), subprocess.PIPE": "",
    "from composer import sheet": "composer",
    "import mpi4python\nfrom . import mpi4py\nhorovod = torch = 1\nhorovod.init()": "",
}


@pytest.mark.parametrize("text", SCRIPTS)
def test_scripts(tmp_path: Path, text: str):
    (tmp_path / "a.py").write_text(text)
    assert cooperation.of_script(str(tmp_path / "a.py")) == SCRIPTS[text]


def test_the_users_own_modules_are_looked_into_and_those_of_packages_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = {
        "train.py": "import lib.models\nimport numpy, keras, tensorflow, absent",
        "lib/__init__.py": "", "lib/models.py": "from .parts import layers\nfrom . import train",
        "lib/train.py": "import lib.train\nfrom ..outside import x", "lib/parts/__init__.py": "", "lib/parts/layers.py": "from mpi4py import MPI",
        "apart.py": "from importlib import import_module\nimport lib", "broken.py": "import bad", "bad.py": "def (",
        "tool/__init__.py": "", "tool/__main__.py": "from .inner import run", "tool/inner.py": "import horovod.keras",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {
        name: workload.find(name, []).cooperation
        for name in ("train.py", "apart.py", "broken.py", "tool", "lib.models")
    }
    (tmp_path / "composer.py").write_text("")
    (tmp_path / "own.py").write_text("from composer import sheet")
    assert workload.find("own.py", []).cooperation == ""
    assert found == {"train.py": "mpi4py", "apart.py": "", "broken.py": "", "tool": "horovod", "lib.models": "mpi4py"}
    (tmp_path / "link.py").symlink_to("train.py")
    assert workload.find("link.py", []).cooperation == "mpi4py"
    for words in (
        ["python", "-u", "train.py", "x"],
        [sys.executable, "-W", "ignore", "train.py"],
        ["python3", "-m", "tool"],
    ):
        expected = "horovod" if "-m" in words else "mpi4py"
        assert cooperation.of_program(words[0], words[1:]) == expected
    assert cooperation.of_program("python3", ["-c", "pass"]) is None
    assert cooperation.of_program("python3", ["-m", "mpi4py", "apart.py"]) == "mpi4py"
    for name in set(sys.modules) & {"lib", "lib.models", "lib.parts", "lib.parts.layers", "tool", "lib.train"}:
        del sys.modules[name]


def test_many_and_large_modules_do_not_keep_a_plan_waiting(tmp_path: Path):
    for number in range(2000):
        (tmp_path / f"part{number}.py").write_text(f"import part{number + 1}, part0\n")
    (tmp_path / "large.py").write_text("x = [" + "1, " * 2_000_000 + "]")
    (tmp_path / "a.py").write_text("import part0, large")
    begin = time.process_time()
    assert cooperation.of_script(str(tmp_path / "a.py")) == ""
    assert time.process_time() - begin < 3


@needs_mpi
def test_binaries(tmp_path: Path):
    (tmp_path / "a.c").write_text("#include <mpi.h>\nint main(void) { return MPI_Init(0, 0); }")
    (tmp_path / "b.c").write_text('#include <stdlib.h>\nint main(void) { return getenv("SLURM_PROCID") != 0; }')
    (tmp_path / "c.c").write_text('#include <stdio.h>\nint main(void) { return puts("MPI_Init failed"); }')
    subprocess.run([MPICC, "-o", "mpi", "a.c"], cwd=tmp_path, check=True)
    subprocess.run(["cc", "-o", "number", "b.c"], cwd=tmp_path, check=True)
    (tmp_path / "run.sh").write_text("#!/bin/bash\n./mpi")
    (tmp_path / "by_number.sh").write_text("#!/bin/bash\n./solve part${SLURM_PROCID}.in")
    for name in ("run.sh", "by_number.sh"):
        (tmp_path / name).chmod(0o755)

    def of(name: str, *words: str) -> str | None:
        return cooperation.of_program(str(tmp_path / name) if (tmp_path / name).exists() else name, words)

    assert of("mpi", "-x") == "MPI (libmpi.so.40)" and cooperation.uses_mpi(of("mpi"))
    assert (of("number"), of("by_number.sh")) == (cooperation.BY_NUMBER, cooperation.BY_NUMBER)
    assert (of("run.sh"), of("true"), of("nothing")) == (None, "", None)
    # A program that starts another one: what that is counts.
    assert of("env", "A=1", str(tmp_path / "mpi")) == "MPI (libmpi.so.40)"
    assert of("/usr/bin/env", "A=1", str(tmp_path / "mpi")) == "MPI (libmpi.so.40)"
    assert of("bash", str(tmp_path / "run.sh")) is None and of("sh", "-c", "./mpi") is None
    if not subprocess.run(["cc", "-static", "-o", "static", "c.c"], cwd=tmp_path, capture_output=True).returncode:
        assert of("static") == "MPI (linked statically)"


def test_mpi_is_the_rendezvous_of_programs_that_use_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text("import mpi4py")
    (tmp_path / "b.py").write_text("import horovod.tensorflow")
    mpi, other = workload.find("a.py", []), workload.find("b.py", [])
    assert plan(Request(nodes=2), LAPTOP, mpi).rendezvous == "mpi"
    assert plan(Request(nodes=1), LAPTOP, mpi).rendezvous == "mpi"  # the smallest point of a study too
    assert plan(Request(nodes=2, rendezvous="gloo"), LAPTOP, mpi).rendezvous == "gloo"
    assert plan(Request(nodes=2, independent=True), LAPTOP, mpi).rendezvous == "gloo"
    assert plan(Request(nodes=2), LAPTOP, other).rendezvous == "gloo"
    assert mpi.at({"x": "1"}, {}).uses_mpi
    starter = workload.find(
        "--", [str(MPICC.with_name("mpirun")) if MPICC.exists() else "srun", "a.py"], contained=True
    )
    with pytest.raises(Refusal, match="starts ranks itself, and would be started 2 times"):
        plan(Request(nodes=2), LAPTOP, starter)
    assert plan(Request(nodes=1), LAPTOP, starter).entry[1:] == ("a.py",)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("import keras\nmodel.fit(x)", "call rankloop.keras.fit in place of model.fit"),
        ("from tensorflow.keras import layers", "call rankloop.keras.fit in place of model.fit"),
        ("import torch\nimport torch.nn as nn", "wrap the model in DistributedDataParallel"),
        ("import jax.numpy as jnp", "call jax.distributed.initialize()"),
        ("import numpy", "let them cooperate"),
        ("import (", "let them cooperate"),
    ],
)
def test_how_ranks_are_made_to_cooperate_is_said_for_what_a_script_imports(tmp_path: Path, text: str, advice: str):
    (tmp_path / "a.py").write_text(text)
    target = workload.Target("script", str(tmp_path / "a.py"), (), cooperation="")
    assert advice in expected(plan(Request(nodes=2), LAPTOP, target))


def test_packages_that_a_script_needs_at_once_and_this_python_lacks_are_found(tmp_path: Path):
    (tmp_path / "beside.py").write_text("raise SystemExit('is not imported')")
    (tmp_path / "a.py").write_text(
        "import os, absent_one.part, beside, rankloop, pytest\nfrom absent_two import x\nfrom absent_one import y\n"
        "try:\n    import absent_three\nexcept ImportError: pass\nif x:\n    import absent_four\n"
        "def later():\n    import absent_five\n    later()\n"
        "import absent_six\nsys.path += ['lib']\nimport in_lib\n"
    )
    (tmp_path / "b.py").write_text("import rootutils_absent\nrootutils_absent.setup_root(__file__)\nimport in_root\n")
    assert imports.missing(str(tmp_path / "a.py")) == ["absent_one", "absent_two", "absent_six"]
    assert imports.missing(str(tmp_path / "b.py")) == ["rootutils_absent"]
    assert imports.missing(str(tmp_path / "nothing.py")) == []
