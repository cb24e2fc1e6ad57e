"""python -m launch demo [JOB OPTIONS]: a scaling study of a small program on this machine, with its table, prediction
and report, in half a minute; it needs nothing but the toolkit.

It runs jobs/pi.py three times on each number of "nodes" for which this machine has cores, at most 4. It runs in this
terminal, and leaves the folder runs/demo.
"""

import os
import subprocess
import sys
from pathlib import Path

from launch import HOME, START

PROGRAM = Path(HOME, "jobs", "pi.py")


def main(argv: list[str]) -> int:
    """Run the study; return the exit status of the launcher."""
    cores = len(os.sched_getaffinity(0))
    nodes = ",".join(str(count) for count in (1, 2, 4) if count <= max(2, cores))
    words = [
        "--backend",
        "local",
        "--nodes",
        nodes,
        "--repeats",
        "3",
        "--independent",
        "--name",
        "demo",
        *argv,
        str(PROGRAM),
    ]
    print(f"$ rankloop {' '.join(words)}\n", flush=True)
    return subprocess.run([sys.executable, START, *words], check=False).returncode
