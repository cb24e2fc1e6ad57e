"""A step of our loop beside the shortest loops that one writes with Keras:

    python tests/benchmarks/step_time.py [NAMES] [TURNS] [CORES] [horovod|jax]

Ours is what a rank of one does in ``python -m launch workloads.X``: sharding, the pipeline, the records of the steps,
TensorBoard at its default. Beside it, on the same network, loss, optimizer and examples, all of them in memory (`by_hand`),

- ``train_on_batch`` on arrays that are cut into batches as they are needed;
- ``model.fit`` on data that are shuffled, on TensorFlow as it is and with ``jit_compile=False``;
- a loop of one's own round one ``tf.function``, or one ``jax.jit``, which never looks at the loss.

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
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]
CORES = int(sys.argv[3]) if len(sys.argv) > 3 else 1
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])  # before a framework counts them
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from by_hand import WARM, Clock, Measure, loops  # noqa: E402
from measured import in_turns, show  # noqa: E402

from launch.node.rank import Rank  # noqa: E402
from launch.plan import options  # noqa: E402
from launch.record.rundir import RunDir  # noqa: E402
from workloads.training import engines, scaling_rules, train  # noqa: E402

WORKLOADS = {
    "fc": ("workloads.mnist", ["--network", "fc"]),
    "cnn": ("workloads.mnist", ["--network", "cnn"]),
    "climate": ("workloads.climate", ["--sequences", "6", "--no-augment"]),
    "cfd_resnet": ("workloads.cfd_resnet", []),
}


def made(module: str, config: Any) -> tuple[Any, Any, int, int]:
    """A workload, its optimizer, how many steps its recipe has, and in an epoch of it."""
    workload = importlib.import_module(module).build(config, Rank())
    per_epoch = len(workload.train) // config.batch
    steps = scaling_rules.total_steps(config.epochs, per_epoch)
    return workload, workload.optimizer(config.learning_rate_plan(1).schedule(steps)), steps, per_epoch


def ours(engine: Any, module: str, config: Any, folder: Path) -> Measure:
    """A function that makes some steps by our loop, and tells the seconds of one."""
    from workloads.training.loop import Loop
    from workloads.training.sharding import Sharding
    from workloads.training.tensorboard import Board

    workload, optimizer, steps, _ = made(module, config)
    communicator = engine.Communicator(Rank())
    optimizer = communicator.averaging(optimizer)
    optimizer.build(workload.model.trainable_variables)
    run = RunDir(folder)
    for part in (run.steps, run.checkpoints, run.tensorboard):
        part.mkdir(parents=True)
    sharding = Sharding(len(workload.train), config.batch, 1, 0)
    loop = Loop(engine, config, workload, optimizer, communicator, sharding, run, 1)
    loop.restore()

    class Clocked(Board):
        def trained(self, step: int, *values: Any) -> None:
            super().trained(step, *values)
            clocks[step] = Clock.now()

    clocks: dict[int, Clock] = {}
    loop.board = Clocked(run.tensorboard, 0, steps)
    loop.board.begin(workload, engine.graph, dataclasses.asdict(config))

    def measure(count: int) -> Clock:
        first = loop.step + WARM
        loop.train(first + count)
        return clocks[first + count].since(clocks[first], count)

    return measure


def compare(engine: Any, name: str, turns: int, folder: Path) -> None:
    """Measure one workload, and print."""
    module, words = WORKLOADS[name]
    words = [*words, "--evaluate-every=0", f"--engine={engine.name}"]
    config = options.parse(importlib.import_module(module).Config, words, module)
    sides = {"ours": ours(engine, module, config, folder / name)}
    sides |= loops(engine.name, lambda: made(module, config)[:2], config.batch)
    for side, measure in sides.items():
        began = Clock.now()
        measure(4)  # traces and compiles
        print(f"{name}, {side}: the first steps took {Clock.now().since(began, 1).cpu:.1f} s of CPU time", flush=True)
    counts = {side: max(8, round(1 / measure(8).cpu)) for side, measure in sides.items()}
    found = in_turns({side: lambda side=side: sides[side](counts[side]) for side in sides}, turns)
    print(f"\n{name} on {engine.name}: batch {config.batch}, {counts['ours']} steps a turn")
    for kind in Clock._fields:
        times = {side: [getattr(clock, kind) for clock in clocks] for side, clocks in found.items()}
        show(times, f"ms {kind}", 1000)
        best = min(list(times)[1:], key=lambda side: statistics.median(times[side]))
        low, middle, high = statistics.quantiles([own / other for own, other in zip(times["ours"], times[best])], n=4)
        print(f"ours over {best}, turn by turn: median {middle:.3f}, quartiles {low:.3f} - {high:.3f}", flush=True)


def main(names: list[str], turns: int, engine: str) -> None:
    """Compare each."""
    config = options.parse(importlib.import_module("workloads.mnist").Config, [f"--engine={engine}"], "")
    loaded = train.configure(config, Rank(), 0)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            compare(loaded, name, turns, Path(folder))
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(
        sys.argv[1].split(",") if len(sys.argv) > 1 else list(WORKLOADS),
        int(sys.argv[2]) if len(sys.argv) > 2 else 15,
        sys.argv[4] if len(sys.argv) > 4 else engines.likely(None).name,
    )
