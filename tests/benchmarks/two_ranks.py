"""Two ranks beside two processes that know nothing of each other:   python tests/benchmarks/two_ranks.py [NAMES] [REPEATS]

Two such processes, each on a core of its own, are the most that two cores can do: what two ranks take longer is the price of
being one training. Ours are runs of ``python -m launch``, with recording and sampling on; a step is timed from its start to the next
one's, from the records. NAMES: some of dropout,climate,cfd_resnet. For dropout (1.2 million parameters, 64 images a rank) also
what `other_ranks` has, given random images: TensorFlow's MirroredStrategy and MultiWorkerMirroredStrategy, and JAX and PyTorch
by hand, each in two processes that know nothing of each other, and as two ranks. JAX is run by the Python that RANKLOOP_JAX
names (.venv-jax), PyTorch by that of RANKLOOP_TORCH: what is made by

    python -m venv torch && torch/bin/pip install torch==2.13.0 numpy

All take turns, a start of each at a time.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]

from measured import in_turns, show  # noqa: E402

from launch.record.files import read_lines  # noqa: E402
from launch.record.rundir import RunDir  # noqa: E402

PYTHONS = {  # of each framework
    "TensorFlow": sys.executable,
    "JAX": os.environ.get("RANKLOOP_JAX") or str(ROOT / ".venv-jax" / "bin" / "python"),
    "PyTorch": os.environ.get("RANKLOOP_TORCH") or "",
}
WARM, BATCH = 8, 64
# Options, steps that are timed, and the examples of the training set.
WORKLOADS: dict[str, tuple[list[str], int, int]] = {
    "dropout": (["workloads.mnist", "--network", "dropout"], 60, 1500),
    "climate": (["workloads.climate", "--sequences", "6"], 24, 48),
    "cfd_resnet": (["workloads.cfd_resnet"], 40, 384),
}
# For the network dropout: framework, function of `other_ranks`, processes.
PEERS = {
    "MirroredStrategy, fit": ("TensorFlow", "mirrored", 1),
    "MultiWorkerMirroredStrategy": ("TensorFlow", "workers", 2),
    "JAX by hand, two processes apart": ("JAX", "jax-alone", 2),
    "JAX by hand, two ranks": ("JAX", "jax-together", 2),
    "PyTorch, two processes apart": ("PyTorch", "torch-alone", 2),
    "PyTorch, DDP": ("PyTorch", "torch-ddp", 2),
}
CORES = sorted(os.sched_getaffinity(0))[:2]


def launched(
    framework: str, name: str, nodes: int, runs: Path, *options: str, core: int | None = None
) -> tuple[subprocess.Popen, Callable[[], float]]:
    """A run that begins, and a function that tells the seconds of its steps once it is over."""
    words, steps, examples = WORKLOADS[name]
    batch = {"dropout": BATCH, "climate": 2, "cfd_resnet": 8}[name]
    epochs = (WARM + steps + 2) / (examples // nodes // batch)
    own = f"{name}-{time.time_ns()}"
    command = [PYTHONS[framework], "-m", "launch", "--nodes", nodes, "--runs", runs, "--name", own, *options, *words]
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


def ours(framework: str, name: str, runs: Path, *options: str) -> float:
    """Seconds of a step of two ranks."""
    return launched(framework, name, 2, runs, *options)[1]()


def apart(framework: str, name: str, runs: Path) -> float:
    """Seconds of a step of two runs of one rank, each on a core: their mean."""
    begun = [launched(framework, name, 1, runs, core=core)[1] for core in CORES]
    return sum(measured() for measured in begun) / 2


def peer(framework: str, kind: str, processes: int) -> float:
    """Seconds of a step of processes that run a function of `other_ranks`."""
    with socket.socket() as one, socket.socket() as other:
        for place in (one, other):
            place.bind(("127.0.0.1", 0))
        ports = [place.getsockname()[1] for place in (one, other)]
    begun = []
    for rank in range(processes):
        environment = os.environ | {"RANK": str(rank), "PORTS": json.dumps(ports), "TF_CPP_MIN_LOG_LEVEL": "3"}
        pin = ["taskset", "-c", str(CORES[rank])] if processes > 1 else []
        command = [*pin, PYTHONS[framework], str(Path(__file__).with_name("other_ranks.py")), kind]
        begun.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        )
    told = [process.communicate()[0] for process in begun]
    assert not any(process.returncode for process in begun), f"{kind} failed"
    return sum(float(text.split()[-1]) for text in told) / processes


def told(side: str, measure: Callable[[], float]) -> Callable[[], float]:
    """The same, which says what it has found: starting takes minutes on a busy machine."""

    def measured() -> float:
        seconds = measure()
        print(f"{side}: {1000 * seconds:.1f} ms", file=sys.stderr, flush=True)
        return seconds

    return measured


def main(names: list[str], repeats: int) -> None:
    """Compare each."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            sides: dict[str, Callable[[], float]] = {}
            for framework in (framework for framework in ("TensorFlow", "JAX") if Path(PYTHONS[framework]).is_file()):
                both = framework, name, Path(folder)
                sides[f"ours, {framework}, two runs apart"] = partial(apart, *both)
                sides[f"ours, {framework}, two ranks"] = partial(ours, *both)
                if framework == "TensorFlow":
                    sides["ours, TensorFlow, two ranks over MPI"] = partial(ours, *both, "--rendezvous", "mpi")
            if name == "dropout":
                sides |= {
                    side: partial(peer, *words) for side, words in PEERS.items() if Path(PYTHONS[words[0]]).is_file()
                }
            found = in_turns({side: told(side, measure) for side, measure in sides.items()}, repeats)
            print(f"\n{name}")
            show(found, "ms a step", 1000)
            print(f"load of the machine: {os.getloadavg()[0]:.1f} over the last minute", flush=True)
    for framework in (framework for framework, python in PYTHONS.items() if not Path(python).is_file()):
        print(f"{framework} left out: no Python that has it was named")


if __name__ == "__main__":
    main(
        sys.argv[1].split(",") if len(sys.argv) > 1 else list(WORKLOADS),
        int(sys.argv[2]) if len(sys.argv) > 2 else 3,
    )
