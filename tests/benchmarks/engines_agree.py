"""How far the weights of the two engines are apart, and those of two ranks from one:

    PYTHONPATH=.:launch/inside:tests/workloads python tests/benchmarks/engines_agree.py [mnist|cfd_resnet|climate ...]

Every run goes on from one checkpoint, after step 4 of Horovod on one rank, and makes 20 steps of the same examples. A
row of Markdown is printed for each workload: the largest difference of any weight, and, where a single value is more
than ten times as far apart as all others, that of the others.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import ranks

from launch.record.rundir import RunDir
from workloads.training import checkpoints

FIRST, LAST = 4, 24
COMMON = (
    "--shards=2",
    "--lr-scaling=none",
    "--deterministic",
    "--checkpoint-every=1e-9",
    "--keep=99",
    "--evaluate-every=0",
)
WORKLOADS = {
    "mnist": (128, ["--network=cnn", "--epochs=2.3"]),
    "cfd_resnet": (8, ["--flows=16", "--test-flows=2", "--epochs=6.1"]),
    "climate": (2, ["--no-normalise", "--width=8", "--kernel=3", "--sequences=7", "--epochs=1"]),
}


def main(names: list[str]) -> None:
    """Train each workload four times, and compare."""
    print("| workload | JAX against Horovod, 1 rank | 2 ranks | Horovod: 2 ranks against 1 | JAX | seconds |")
    print("|---|---|---|---|---|---|")
    for name in names or WORKLOADS:
        batch, words = WORKLOADS[name]
        with tempfile.TemporaryDirectory(prefix="engines-") as folder:
            found, began, first = {}, time.monotonic(), None
            for engine in ("horovod", "jax"):
                for size in (1, 2):
                    run = RunDir(Path(folder) / f"{engine}{size}")
                    run.create()
                    if first:
                        pass_on(first, run.checkpoints, batch // size, size)
                    options = (f"--batch={batch // size}", *COMMON, *words)
                    started = ranks.train(size, run.path, *options, workload=f"workloads.{name}", engine=engine)
                    if started.wait(1800) != [0] * size:
                        sys.exit(started.output())
                    first = first or run.checkpoints / f"step-{FIRST}.npz"
                    found[engine, size] = checkpoints.load(run.checkpoints / f"step-{LAST}.npz").values
            pairs = [(("jax", 1), ("horovod", 1)), (("jax", 2), ("horovod", 2))]
            pairs += [((engine, 2), (engine, 1)) for engine in ("horovod", "jax")]
            apart = (difference(found[one], found[other]) for one, other in pairs)
            print("|", " | ".join([name, *apart, f"{time.monotonic() - began:.0f}"]), "|", flush=True)


def pass_on(checkpoint: Path, folder: Path, batch: int, size: int) -> None:
    """Copy a checkpoint for a run with another number of ranks. The training loop refuses to go on with other batches
    per rank; here the same shards make the batches of a step the same together."""
    with np.load(checkpoint) as archive:
        arrays = dict(archive)
    header = json.loads(arrays["header"].tobytes())
    header["sharding"] |= {"batch": batch, "size": size}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    folder.mkdir(exist_ok=True)
    np.savez(folder / checkpoint.name, **arrays)


def difference(one: list[np.ndarray], other: list[np.ndarray]) -> str:
    """The largest difference of any value."""
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a.dtype.kind == "f" and a.dtype.itemsize == 4]
    apart = np.sort(np.concatenate([np.abs(a - b).ravel() for a, b in pairs]))
    return f"{apart[-1]:.0e}" + (f" (all others {apart[-2]:.0e})" if apart[-1] > 10 * apart[-2] else "")


if __name__ == "__main__":
    main(sys.argv[1:])
