"""How long the report of a study of 1,000 runs takes:   python tests/benchmarks/report.py [RUNS] [FOLDER]

The runs (1, 2, 4 and 8 ranks, 250 repeats each) are made by the writers of the loop and of the sampler: 100 steps, and a GPU a rank
read twice a second for as long. What is in FOLDER already is used again. Printed are wall time, CPU time and memory of the verbs as a user
starts them.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "profiling")]

import studies  # noqa: E402

NODES = (1, 2, 4, 8)


def make(folder: Path, runs: int) -> None:
    """A study of so many runs."""
    studies.make(folder, NODES, runs // len(NODES), steps=100)
    for path in folder.glob("n*-r*"):
        ranks, repeat = (int(word) for word in path.name[1:].split("-r"))
        studies.read_gpus(path, ranks, 1.7e9 + 100 * repeat, 20)


def measure(words: list[str]) -> str:
    """Run a verb; what it took."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "profiling", *words]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return f"{time.perf_counter() - began:6.1f} s, {cpu:6.1f} s of CPU, {used.ru_maxrss / 1e6:.2f} GB at most"


def main(runs: int, folder: Path) -> None:
    """Make, measure, print."""
    study = folder / f"study{runs}"
    if not study.exists():
        make(study, runs)
    files = [path for path in study.rglob("*") if path.is_file()]
    print(f"{runs} runs: {len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.0f} MB")
    for name, words in (
        ("export --to csv", ["export", str(study), "--to", "csv"]),
        ("report --json", ["report", str(study), "--json"]),
        ("report, all its forms", ["report", str(study), "--out", str(folder / "report")]),
    ):
        print(f"{name:24} {measure(words)}", flush=True)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    if len(sys.argv) > 2:
        main(count, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as place:
            main(count, Path(place))
