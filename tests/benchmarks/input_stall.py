"""How long steps wait for their batch:   python tests/benchmarks/input_stall.py [NAMES] [RANKS]

Each workload is launched on RANKS (2) ranks; told is the part of its steps that was waiting for input: from the records, of all timed steps
together and of the median step, and from the trace of eight of them. On a machine that others use a step can lose its core while it
waits, which the median leaves out.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from launch.record.files import read_lines  # noqa: E402
from launch.record.rundir import RunDir  # noqa: E402

TRACED = 8
# Options, steps, examples a rank and step, examples of the training set.
WORKLOADS: dict[str, tuple[list[str], int, int, int]] = {
    "fc, batch 64": (["workloads.mnist", "--network", "fc"], 300, 64, 1500),
    "fc, batch 128": (["workloads.mnist", "--network", "fc"], 300, 128, 1500),
    "fc, batch 512": (["workloads.mnist", "--network", "fc"], 150, 512, 1500),
    "cnn, batch 64": (["workloads.mnist", "--network", "cnn"], 150, 64, 1500),
    "dropout, batch 64": (["workloads.mnist", "--network", "dropout"], 60, 64, 1500),
    "climate, batch 2": (["workloads.climate", "--sequences", "6"], 60, 2, 48),
    "cfd_resnet, batch 8": (["workloads.cfd_resnet"], 60, 8, 384),
}


def measure(name: str, ranks: int, runs: Path) -> None:
    """Launch, and print a line of each rank."""
    words, steps, batch, examples = WORKLOADS[name]
    epochs = (steps + 0.5) / (examples // ranks // batch)
    run = RunDir(runs / name.replace(" ", "").replace(",", "-"))
    command = [sys.executable, "-m", "launch", "--nodes", ranks, "--runs", runs, "--name", run.path.name, *words]
    command += ["--epochs", epochs, "--batch", batch, "--evaluate-every", 0, "--threads", 1]
    command += ["--trace", f"{steps - TRACED}..{steps - 1}", "--trace-ranks", "all"]
    subprocess.run([*map(str, command)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    told = subprocess.run(
        [sys.executable, "-m", "profiling", "trace", run.path, "--json"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    parts = {rank["rank"]: rank["shares"]["input"] for rank in json.loads(told.stdout)["ranks"]}
    for rank in range(ranks):
        lines = [line for line in read_lines(run.steps / f"node{rank}.jsonl")
                 if line["rank"] == rank and not line["compiled"] and not line["traced"] and line["step"] > 8]  # fmt: skip
        seconds, waits = [line["seconds"] for line in lines], [line["input_seconds"] for line in lines]
        print(
            f"{name:20} {rank:4} {1e3 * statistics.median(seconds):9.2f} {1e3 * statistics.median(waits):9.3f} "
            f"{sum(waits) / sum(seconds):9.1%} {statistics.median(waits) / statistics.median(seconds):9.1%} {parts[rank]:9.1%} "
            f"{os.getloadavg()[0]:6.1f}",
            flush=True,
        )


def main(names: list[str], ranks: int) -> None:
    """Measure each."""
    print(f"{'':20} rank  ms, step  ms, wait  all steps    median     trace   load")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            measure(name, ranks, Path(folder))


if __name__ == "__main__":
    chosen = [name for name in WORKLOADS if len(sys.argv) < 2 or name.split(",")[0] in sys.argv[1].split(",")]
    main(chosen, int(sys.argv[2]) if len(sys.argv) > 2 else 2)
