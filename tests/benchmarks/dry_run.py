"""How long a user waits for a dry run, beside what they would use instead:   python tests/benchmarks/dry_run.py [REPEATS]

Compared are, each in a process of its own and in turns, so that a change in the machine's load meets all alike:

- ``python -m launch --nodes 16 --backend slurm --dry-run workloads.cfd_resnet``: the plan and the script of the job;
- ``horovodrun --help``: the least that horovodrun does (it has no dry run);
- submitit: import it, make an executor for 16 nodes, and print the script that it would submit (by its private function, as
  it has no dry run either);
- ``python -c pass``: what the interpreter itself takes, with this environment's site-packages.

``torchx run --dryrun`` would be a fourth; torchx is not in the environment of this project, so it is not measured.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SUBMITIT = """
import submitit
from submitit.slurm.slurm import _make_sbatch_string
submitit.SlurmExecutor("logs")
print(_make_sbatch_string("python train.py", "logs", nodes=16, ntasks_per_node=1, time=60))
"""

COMMANDS = {
    "launch --dry-run": [sys.executable, "-m", "launch", "--nodes", "16", "--backend", "slurm", "--dry-run", "workloads.cfd_resnet"],
    "horovodrun --help": [str(Path(sys.executable).with_name("horovodrun")), "--help"],
    "submitit, sbatch string": [sys.executable, "-c", SUBMITIT],
    "python -c pass": [sys.executable, "-c", "pass"],
}  # fmt: skip


def seconds(command: list[str], folder: str) -> float:
    """Wall time of one run of a command.

    Raises
    ------
    CalledProcessError
        If it fails: the time of a failure says nothing.
    """
    # Compiled files are kept, as in daily use, whatever the environment of this process says; but not beside the sources.
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": os.path.join(folder, "bytecode")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main(repeats: int) -> None:
    """Measure and print a table: median, quartiles, and how many times longer than ours."""
    commands = {name: words for name, words in COMMANDS.items() if Path(words[0]).exists()}
    if not shutil.which("srun"):  # submitit makes no executor without
        del commands["submitit, sbatch string"]
    measured: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for words in commands.values():  # compiled files and the disk's cache are for all as in daily use
            seconds(words, folder)
        for _ in range(repeats):
            for name, words in commands.items():
                measured[name].append(seconds(words, folder))
    ours = statistics.median(measured["launch --dry-run"])
    print(f"{'':<24} median ms  quartiles     times ours   ({repeats} runs each, {len(os.sched_getaffinity(0))} cores)")
    for name, times in measured.items():
        low, median, high = (1e3 * value for value in statistics.quantiles(times, n=4))
        print(f"{name:<24} {median:9.0f}  {low:4.0f} - {high:<6.0f} {median / 1e3 / ours:10.1f}")
    for name in COMMANDS.keys() - commands.keys():
        print(f"{name:<24} needs what is not installed here")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
