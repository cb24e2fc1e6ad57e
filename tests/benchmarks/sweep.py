"""A sweep of many points, planned and submitted, and its status:   python tests/benchmarks/sweep.py [POINTS]

Compared, on one emulated node and with Slurm's limits raised to hold them: ``python -m launch --sweep seed=0..N-1 --detach``
with submitit's ``map_array`` of the same program, in seconds and in the most memory that the process held; then, once
they are in the queue, ``python -m launch status STUDY`` with squeue's own list of all tasks, and how often either asked the controller.
"""

import os
import subprocess
import sys
from pathlib import Path

from measured import ROOT, in_turns, most_memory_mb, seconds, show, slurm

SUBMITIT = """
import submitit
executor = submitit.SlurmExecutor({folder!r}, max_num_timeout=0)
executor.update_parameters(nodes=1, time=5, array_parallelism=1)
for first in range(0, {points}, {largest}):
    executor.map_array(print, range(first, min({points}, first + {largest})))
"""
COUNTING = """#!/bin/sh
echo "$0" >> {count}
exec {real} "$@"
"""


def main(points: int) -> None:
    """Measure and print three tables."""
    settings = {"MaxJobCount": "200000", "MaxArraySize": "20001"}
    with slurm(1, settings) as work:
        program = work / "program.py"
        program.write_text("print('here')\n")
        subprocess.run(["scontrol", "update", "partition=debug", "state=down"], check=True)  # they wait in the queue
        subprocess.run(["scontrol", "update", "partition=low", "state=down"], check=True)
        study = [sys.executable, "-m", "launch", "--sweep", f"seed=0..{points - 1}", "--throttle", "1", "--time", "5",
                 "--runs", str(work), "--name", "study", "--detach", str(program)]  # fmt: skip
        ours = seconds(study, cwd=ROOT)
        memory = most_memory_mb()
        rival = work / "rival.py"
        rival.write_text(SUBMITIT.format(folder=str(work / "submitit"), points=points, largest=20000))
        theirs = seconds([sys.executable, str(rival)], cwd=work)
        print(f"plan and submission of {points} points")
        show({"launch --detach": [ours], "submitit map_array": [theirs]}, "s")
        print(f"most memory: launch {memory:.0f} MB, the larger of both {most_memory_mb():.0f} MB\n")

        count, fakes = work / "count", work / "bin"
        fakes.mkdir()
        for name in ("squeue", "scontrol", "sacct", "sinfo"):
            real = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
            (fakes / name).write_text(COUNTING.format(count=count, real=real))
            (fakes / name).chmod(0o755)
        count.touch()
        env = os.environ | {"PATH": f"{fakes}:{os.environ['PATH']}"}
        status = [sys.executable, "-m", "launch", "status", str(work / "study")]
        rivals = {
            "launch status": lambda: seconds(status, cwd=ROOT, env=env),
            "squeue --sweep": lambda: seconds(["squeue", "--sweep", "--noheader"]),
        }
        print(f"status of {points} tasks in the queue")
        show(in_turns(rivals, 3), "s")
        print(f"questions to the controller by each launch status: {len(Path(count).read_text().splitlines()) / 3:g}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
