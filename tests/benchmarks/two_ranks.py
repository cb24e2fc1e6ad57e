"""Two ranks beside two processes that know nothing of each other:   python tests/benchmarks/two_ranks.py [NAMES] [REPEATS]

Two such processes, each on a core of its own, are the most that two cores can do: what two ranks take longer is the price of
being one training. Ours are runs of ``python -m launch``, with recording and sampling on; a step is timed from its start to the next
one's, from the records. NAMES: some of dropout,climate,cfd_resnet. For dropout (1.2 million parameters, 64 images a rank) also

- ``model.fit`` under TensorFlow's MirroredStrategy, one process on two devices made of the processor;
- TensorFlow's MultiWorkerMirroredStrategy, in a loop of one's own (``fit`` is reported broken with Keras 3: keras #20585);
- PyTorch's DistributedDataParallel over Gloo, and PyTorch in two processes that know nothing of each other, by the Python that
  RANKLOOP_TORCH names: what is made by   python -m venv torch && torch/bin/pip install torch==2.13.0 numpy

which are given random images: what a step takes does not depend on them. All take turns, a start of each at a time.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]

from measured import in_turns, show  # noqa: E402

from launch.record.files import read_lines  # noqa: E402
from launch.record.rundir import RunDir  # noqa: E402

TORCH = os.environ.get("RANKLOOP_TORCH")
WARM, BATCH = 8, 64
# Options, steps that are timed, and the examples of the training set.
WORKLOADS: dict[str, tuple[list[str], int, int]] = {
    "dropout": (["workloads.mnist", "--network", "dropout"], 60, 1500),
    "climate": (["workloads.climate", "--sequences", "6"], 24, 48),
    "cfd_resnet": (["workloads.cfd_resnet"], 40, 384),
}
CORES = sorted(os.sched_getaffinity(0))[:2]


def launched(
    name: str, nodes: int, runs: Path, core: int | None = None
) -> tuple[subprocess.Popen, Callable[[], float]]:
    """A run that begins, and a function that tells the seconds of its steps once it is over."""
    words, steps, examples = WORKLOADS[name]
    batch = {"dropout": BATCH, "climate": 2, "cfd_resnet": 8}[name]
    epochs = (WARM + steps + 2) / (examples // nodes // batch)
    own = f"{name}-{time.time_ns()}"
    command = [sys.executable, "-m", "launch", "--nodes", nodes, "--runs", runs, "--name", own, *words]
    command += ["--epochs", epochs, "--batch", batch, "--evaluate-every", 0, "--threads", 1]
    pin = [] if core is None else ["taskset", "-c", core]
    process = subprocess.Popen(
        [*map(str, [*pin, *command])], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def measured() -> float:
        assert process.wait() == 0, f"{own} failed"
        lines = [line for node in range(nodes) for line in read_lines(RunDir(runs / own).steps / f"node{node}.jsonl")]
        begins = {line["step"]: line["start"] for line in lines if line["rank"] == 0}
        return (begins[WARM + 1 + steps] - begins[WARM + 1]) / steps

    return process, measured


def ours(name: str, runs: Path) -> float:
    """Seconds of a step of two ranks."""
    return launched(name, 2, runs)[1]()


def apart(name: str, runs: Path) -> float:
    """Seconds of a step of two runs of one rank, each on a core: their mean."""
    begun = [launched(name, 1, runs, core)[1] for core in CORES]
    return sum(measured() for measured in begun) / 2


def peer(python: str, kind: str, processes: int) -> float:
    """Seconds of a step of processes that run a function below."""
    with socket.socket() as one, socket.socket() as other:
        for place in (one, other):
            place.bind(("127.0.0.1", 0))
        ports = [place.getsockname()[1] for place in (one, other)]
    begun = []
    for rank in range(processes):
        environment = os.environ | {"RANK": str(rank), "PORTS": json.dumps(ports), "TF_CPP_MIN_LOG_LEVEL": "3"}
        pin = ["taskset", "-c", str(CORES[rank])] if processes > 1 else []
        begun.append(
            subprocess.Popen(
                [*pin, python, __file__, f"--{kind}"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
    told = [process.communicate()[0] for process in begun]
    assert not any(process.returncode for process in begun), f"{kind} failed"
    return sum(float(text.split()[-1]) for text in told) / processes


def timed(step: Callable[[], Any]) -> float:
    """Seconds of a step."""
    steps = WORKLOADS["dropout"][1]
    for _ in range(WARM):
        step()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - began) / steps


def tensorflow(threads: int, devices: int = 1) -> tuple[Any, Callable[[], Any]]:
    """TensorFlow with so many threads and devices; a function that makes the network."""
    import tensorflow as tf

    from workloads.mnist.networks import network

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    return tf, lambda: network("dropout", (28, 28, 1), 10)


def mirrored() -> float:
    """``model.fit`` under a MirroredStrategy."""
    tf, made = tensorflow(2, 2)
    import keras

    steps, strategy = WORKLOADS["dropout"][1], tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = made()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices(images()).repeat().batch(2 * BATCH, drop_remainder=True).prefetch(2)

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds = time.perf_counter() - self.began

    clock = Clock()
    model.fit(data, epochs=2, steps_per_epoch=steps, verbose=0, callbacks=[clock])
    return clock.seconds / steps


def workers() -> float:
    """A loop under a MultiWorkerMirroredStrategy."""
    rank, addresses = int(os.environ["RANK"]), [f"127.0.0.1:{port}" for port in json.loads(os.environ["PORTS"])]
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}})
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    import keras

    from workloads.mnist.networks import network

    with strategy.scope():
        model = network("dropout", (28, 28, 1), 10)
        optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
        optimizer.build(model.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    pixels, labels = (tf.constant(array[:BATCH]) for array in images())

    def own(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(y, model(x, training=True)))
        gradients = tape.gradient(value, [variable.value for variable in model.trainable_variables])
        optimizer.apply(tf.distribute.get_replica_context().all_reduce("MEAN", gradients), model.trainable_variables)
        return value

    step = tf.function(lambda x, y: strategy.run(own, (x, y)))
    return timed(lambda: step(pixels, labels))


def torch_alone() -> float:
    """A plain loop in PyTorch."""
    return _torch(False)


def torch_ddp() -> float:
    """The same as one of two ranks of DistributedDataParallel."""
    return _torch(True)


def _torch(together: bool) -> float:
    import torch

    from workloads.mnist.torch_twin import network

    torch.set_num_threads(1)
    model = network((28, 28, 1), 10)
    if together:
        port = json.loads(os.environ["PORTS"])[0]
        torch.distributed.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=int(os.environ["RANK"]), world_size=2
        )
        model = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    pixels, labels = (torch.from_numpy(array[:BATCH]) for array in images())
    pixels = pixels.permute(0, 3, 1, 2).contiguous()

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(pixels), labels).backward()
        optimizer.step()

    return timed(step)


def images() -> tuple[Any, Any]:
    """Pixels and labels."""
    import numpy as np

    random = np.random.default_rng(0)
    return random.random((1500, 28, 28, 1), np.float32), random.integers(0, 10, 1500)


def told(side: str, measure: Callable[[], float]) -> Callable[[], float]:
    """The same, which says what it has found: starting takes minutes on a busy machine."""

    def measured() -> float:
        seconds = measure()
        print(f"{side}: {1000 * seconds:.1f} ms", file=sys.stderr, flush=True)
        return seconds

    return measured


PEERS = {"mirrored": mirrored, "workers": workers, "torch-alone": torch_alone, "torch-ddp": torch_ddp}


def main(names: list[str], repeats: int) -> None:
    """Compare each."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            sides = {"ours, two runs of one rank": lambda name=name: apart(name, Path(folder)),
                     "ours, one run of two ranks": lambda name=name: ours(name, Path(folder))}  # fmt: skip
            if name == "dropout":
                sides["MirroredStrategy, fit"] = lambda: peer(sys.executable, "mirrored", 1)
                sides["MultiWorkerMirroredStrategy"] = lambda: peer(sys.executable, "workers", 2)
            if name == "dropout" and TORCH:
                sides["PyTorch, two processes apart"] = lambda: peer(TORCH, "torch-alone", 2)
                sides["PyTorch, DDP over Gloo"] = lambda: peer(TORCH, "torch-ddp", 2)
            found = in_turns({side: told(side, measure) for side, measure in sides.items()}, repeats)
            print(f"\n{name}")
            show(found, "ms a step", 1000)
            print(f"load of the machine: {os.getloadavg()[0]:.1f} over the last minute", flush=True)
    if not TORCH:
        print("PyTorch left out: RANKLOOP_TORCH names no Python that has it")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].startswith("--"):
        print(PEERS[sys.argv[1][2:]]())
    else:
        main(
            sys.argv[1].split(",") if len(sys.argv) > 1 else list(WORKLOADS),
            int(sys.argv[2]) if len(sys.argv) > 2 else 3,
        )
