"""From submission to the first line of Python on rank 0:   python tests/benchmarks/first_line.py [REPEATS]

On four emulated nodes with one rank each, in turns: this toolkit (a plain program, detached), submitit (a function of
four tasks), and a batch script written by hand, in which srun starts Python. Each notes the time when rank 0 begins.
What it shows is what the toolkit adds: Slurm itself takes as long for all.
"""

import subprocess
import sys
import time
from pathlib import Path

from measured import ROOT, in_turns, show, slurm

NODES = 4
PROGRAM = """
import os, time
if os.environ.get("SLURM_PROCID", "0") == "0":
    now = time.time()
    open({note!r} + ".draft", "w").write(repr(now))
    os.rename({note!r} + ".draft", {note!r})
"""
BY_HAND = """#!/bin/bash
#SBATCH --nodes={nodes} --ntasks-per-node=1 --time=5 --output={folder}/by-hand.log
srun {python} {program}
"""
SUBMITIT = """
import sys, submitit
executor = submitit.SlurmExecutor({folder!r} + "/submitit")
executor.update_parameters(nodes={nodes}, ntasks_per_node=1, time=5)
executor.submit(exec, open({program!r}).read())
"""


def main(repeats: int) -> None:
    """Measure and print a table."""
    with slurm(NODES) as work:
        note, program = work / "note", work / "program.py"
        program.write_text(PROGRAM.format(note=str(note)))
        words = {"nodes": NODES, "folder": str(work), "python": sys.executable, "program": str(program)}
        (work / "by-hand.sh").write_text(BY_HAND.format(**words))
        (work / "by-submitit.py").write_text(SUBMITIT.format(**words))
        ours = ["-m", "launch", "--nodes", str(NODES), "--time", "5", "--runs", str(work / "runs"), "--detach"]

        def latency(command: list[str]) -> float:
            note.unlink(missing_ok=True)
            began = time.time()
            subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while not note.exists():
                if time.time() > began + 120:
                    raise TimeoutError(f"{command} did not get to Python in two minutes")
                time.sleep(0.005)
            found = float(note.read_text()) - began
            while subprocess.run(["squeue", "-h"], capture_output=True, check=True).stdout:
                time.sleep(0.2)
            time.sleep(1.1)  # two runs of one second would have the same name
            return found

        rivals = {
            "launch --detach": lambda: latency([sys.executable, *ours, str(program)]),
            "submitit": lambda: latency([sys.executable, str(work / "by-submitit.py")]),
            "sbatch, written by hand": lambda: latency(["sbatch", str(Path(work / "by-hand.sh"))]),
        }
        show(in_turns(rivals, repeats), "s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
