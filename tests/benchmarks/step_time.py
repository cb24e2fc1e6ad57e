"""A step of our loop beside the shortest loops that one writes with Keras:   python tests/benchmarks/step_time.py [NAMES] [TURNS] [CORES]

Ours is what a rank of one does in ``python -m launch workloads.X``: sharding, the ``tf.data`` pipeline, the records of the steps,
TensorBoard at its default. Beside it, on the same network, loss, optimizer and examples, all of them in memory,

- ``train_on_batch`` on arrays that were cut into batches beforehand;
- ``model.fit`` on a ``tf.data.Dataset`` that shuffles, batches and prefetches, as it is and with ``jit_compile=False``;
- a loop of one's own round one ``tf.function``, on the same dataset, which never looks at the loss.

Examples are not augmented. The sides take turns of about a second each, in one process on CORES cores (1); the first steps of a turn,
which start pipelines, are not timed, nor is the checkpoint at its end. NAMES: some of fc,cnn,climate,cfd_resnet. Told are the CPU time
of the whole process, which on one core is the time of a step when nothing else uses that core, and the time that passed.
"""

import dataclasses
import importlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]
CORES = int(sys.argv[3]) if len(sys.argv) > 3 else 1
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])  # before TensorFlow counts them
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from measured import in_turns, show  # noqa: E402

from launch.node.rank import Rank  # noqa: E402
from launch.plan import options  # noqa: E402
from launch.record.rundir import RunDir  # noqa: E402
from workloads.training import scaling_rules, train  # noqa: E402

WORKLOADS = {
    "fc": ("workloads.mnist", ["--network", "fc"]),
    "cnn": ("workloads.mnist", ["--network", "cnn"]),
    "climate": ("workloads.climate", ["--sequences", "6", "--no-augment"]),
    "cfd_resnet": ("workloads.cfd_resnet", []),
}
WARM = 4  # first steps of a turn that are not timed


class Clock(NamedTuple):
    """Seconds, of CPU time and of time that passed."""

    cpu: float
    wall: float

    @classmethod
    def now(cls) -> "Clock":
        return cls(time.process_time(), time.perf_counter())

    def since(self, begin: "Clock", count: int) -> "Clock":
        """Each of ``count`` equal parts."""
        return Clock((self.cpu - begin.cpu) / count, (self.wall - begin.wall) / count)


def made(module: str, config: Any) -> tuple[Any, Any, int, int]:
    """A workload, its optimizer, how many steps its recipe has, and in an epoch of it."""
    workload = importlib.import_module(module).build(config, Rank())
    per_epoch = len(workload.train) // config.batch
    steps = scaling_rules.total_steps(config.epochs, per_epoch)
    return workload, workload.optimizer(config.learning_rate_plan(1).schedule(steps)), steps, per_epoch


def ours(module: str, config: Any, folder: Path) -> Callable[[int], Clock]:
    """A function that makes some steps by our loop, and tells the seconds of one."""
    from workloads.training.engines import horovod
    from workloads.training.engines.horovod.communicator import Communicator
    from workloads.training.loop import Loop
    from workloads.training.sharding import Sharding
    from workloads.training.tensorboard import Board

    workload, optimizer, steps, _ = made(module, config)
    communicator = Communicator(Rank())
    optimizer = communicator.averaging(optimizer)
    optimizer.build(workload.model.trainable_variables)
    run = RunDir(folder)
    for part in (run.steps, run.checkpoints, run.tensorboard):
        part.mkdir(parents=True)
    sharding = Sharding(len(workload.train), config.batch, 1, 0)
    loop = Loop(horovod, config, workload, optimizer, communicator, sharding, run, 1)
    loop.restore()

    class Clocked(Board):
        def trained(self, step: int, *values: Any) -> None:
            super().trained(step, *values)
            clocks[step] = Clock.now()

    clocks: dict[int, Clock] = {}
    loop.board = Clocked(run.tensorboard, 0, steps)
    loop.board.begin(workload, horovod.graph, dataclasses.asdict(config))

    def measure(count: int) -> Clock:
        first = loop.step + WARM
        loop.train(first + count)
        return clocks[first + count].since(clocks[first], count)

    return measure


def theirs(module: str, config: Any) -> dict[str, Callable[[int], Clock]]:
    """The same by hand."""
    import keras
    import numpy as np
    import tensorflow as tf

    def flow(targets: Any) -> Any:  # of the targets of cfd_resnet the loss sees the flow alone
        return targets["flow"] if isinstance(targets, dict) else targets

    def again(targets: Any) -> Any:
        return {"flow": targets} if module == "workloads.cfd_resnet" else targets

    workload, _, _, _ = made(module, config)
    inputs, targets = workload.train.load(np.arange(len(workload.train)))
    inputs, targets = np.asarray(inputs), np.asarray(flow(targets))
    dataset = tf.data.Dataset.from_tensor_slices((inputs, targets)).shuffle(len(inputs)).repeat()
    dataset = dataset.batch(config.batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    cut = [(inputs[i : i + config.batch], targets[i : i + config.batch])
           for i in range(0, len(inputs) - config.batch + 1, config.batch)]  # fmt: skip

    def loss(labels: Any, outputs: Any) -> Any:
        return workload.loss(again(labels), outputs)

    class Epochs(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.began = Clock.now()

        def on_epoch_end(self, epoch, logs=None):
            self.ended = Clock.now()

    def fit(**compiled: Any) -> Callable[[int], Clock]:
        model, optimizer = made(module, config)[0].model, made(module, config)[1]
        model.compile(optimizer, loss, **compiled)

        def measure(count: int) -> float:
            clock = Epochs()
            model.fit(dataset, epochs=2, steps_per_epoch=count, verbose=0, callbacks=[clock])
            return clock.ended.since(clock.began, count)

        return measure

    def on_batches() -> Callable[[int], Clock]:
        model, optimizer = made(module, config)[0].model, made(module, config)[1]
        model.compile(optimizer, loss)

        def measure(count: int) -> float:
            for step in range(WARM + count):
                if step == WARM:
                    began = Clock.now()
                model.train_on_batch(*cut[step % len(cut)])
            return Clock.now().since(began, count)

        return measure

    def own() -> Callable[[int], Clock]:
        model, optimizer = made(module, config)[0].model, made(module, config)[1]
        optimizer.build(model.trainable_variables)

        @tf.function
        def step(x: Any, y: Any) -> Any:
            with tf.GradientTape() as tape:
                value = tf.reduce_mean(loss(y, model(x, training=True)))
            optimizer.apply_gradients(zip(tape.gradient(value, model.trainable_variables), model.trainable_variables))
            return value

        def measure(count: int) -> float:
            for number, batch in enumerate(dataset.take(WARM + count)):
                if number == WARM:
                    began = Clock.now()
                step(*batch)
            return Clock.now().since(began, count)

        return measure

    return {
        "tf.function, loss never read": own(),
        "fit, jit_compile=False": fit(jit_compile=False),
        "fit": fit(),
        "train_on_batch": on_batches(),
    }


def compare(name: str, turns: int, folder: Path) -> None:
    """Measure one workload, and print."""
    module, words = WORKLOADS[name]
    config = options.parse(importlib.import_module(module).Config, [*words, "--evaluate-every", "0"], module)
    sides = {"ours": ours(module, config, folder / name)} | theirs(module, config)
    for measure in sides.values():
        measure(4)  # traces and compiles
    counts = {side: max(8, round(1 / measure(8).cpu)) for side, measure in sides.items()}
    found = in_turns({side: lambda side=side: sides[side](counts[side]) for side in sides}, turns)
    print(f"\n{name}: batch {config.batch}, {counts['ours']} steps a turn")
    for kind in Clock._fields:
        times = {side: [getattr(clock, kind) for clock in clocks] for side, clocks in found.items()}
        show(times, f"ms {kind}", 1000)
        best = min(list(times)[1:], key=lambda side: statistics.median(times[side]))
        low, middle, high = statistics.quantiles([own / other for own, other in zip(times["ours"], times[best])], n=4)
        print(f"ours over {best}, turn by turn: median {middle:.3f}, quartiles {low:.3f} - {high:.3f}", flush=True)


def main(names: list[str], turns: int) -> None:
    """Compare each."""
    train.configure(options.parse(importlib.import_module("workloads.mnist").Config, [], ""), Rank(), 0)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            compare(name, turns, Path(folder))
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(
        sys.argv[1].split(",") if len(sys.argv) > 1 else list(WORKLOADS),
        int(sys.argv[2]) if len(sys.argv) > 2 else 15,
    )
