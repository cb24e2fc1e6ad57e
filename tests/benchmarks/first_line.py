"""From submission to the first line of Python on rank 0:   python tests/benchmarks/first_line.py [REPEATS [NODES [RANKS]]]

On emulated nodes (4, with one rank each), in turns: a batch script written by hand, in which srun starts Python; this
toolkit (a plain program, detached); and submitit (a function in as many tasks). Each notes when its batch script begins
and when rank 0 does. The first table is from the command to rank 0, the second from the batch script to rank 0, which
leaves out what the command itself and Slurm's queue take. None is disturbed by what its job does after that line, as
the next command waits for the end of the job.
"""

import os
import subprocess
import sys
import time

from measured import ROOT, in_turns, show, slurm

PROGRAM = """
import os, time
if os.environ.get("SLURM_PROCID", "0") == "0":
    now = time.time()
    open({note!r} + ".draft", "w").write(repr(now))
    os.rename({note!r} + ".draft", {note!r})
"""
NOTE_SCRIPT = 'echo "$EPOCHREALTIME" >{folder}/script'
BY_HAND = """#!/bin/bash
#SBATCH --nodes={nodes} --ntasks-per-node={ranks} --time=5 --output={folder}/by-hand.log
{note_script}
srun {python} {program}
"""
SUBMITIT = """
import sys, submitit
executor = submitit.SlurmExecutor({folder!r} + "/submitit")
executor.update_parameters(nodes={nodes}, ntasks_per_node={ranks}, time=5, setup=[{note_script!r}])
executor.submit(exec, open({program!r}).read())
"""
SITE = """
rendezvous = "gloo"
setup = ['{note_script}']
"""


def main(repeats: int, nodes: int = 4, ranks: int = 1) -> None:
    """Measure and print two tables."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # with it each process compiles anew all that it imports
    with slurm(nodes) as work:
        note, script, program = work / "note", work / "script", work / "program.py"
        program.write_text(PROGRAM.format(note=str(note)))
        words = {"nodes": nodes, "ranks": ranks, "folder": str(work), "python": sys.executable, "program": str(program)}
        words["note_script"] = NOTE_SCRIPT.format(**words)
        (work / "by-hand.sh").write_text(BY_HAND.format(**words))
        (work / "by-submitit.py").write_text(SUBMITIT.format(**words))
        (work / "site.toml").write_text(SITE.format(**words))
        ours = f"--site {work}/site.toml -N {nodes} --ranks-per-node {ranks} --time 5 --runs {work}/runs --detach {program}"
        rankloop = str(ROOT / "launch" / "inside" / "rankloop")
        in_job: dict[str, list[float]] = {}

        def latency(name: str, command: list[str]) -> float:
            note.unlink(missing_ok=True)
            began = time.time()
            subprocess.run(command, check=True, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while not note.exists():
                if time.time() > began + 120:
                    raise TimeoutError(f"{command} did not get to Python in two minutes")
                time.sleep(0.005)
            found = float(note.read_text())
            in_job.setdefault(name, []).append(found - float(script.read_text()))
            while subprocess.run(["squeue", "-h"], capture_output=True, check=True).stdout:
                time.sleep(0.2)
            time.sleep(1.1)  # two runs of one second would have the same name
            return found - began

        commands = {
            "sbatch and srun, by hand": ["sbatch", str(work / "by-hand.sh")],
            "rankloop --detach": [sys.executable, rankloop, *ours.split()],
            "submitit": [sys.executable, str(work / "by-submitit.py")],
        }
        rivals = {name: lambda name=name, command=command: latency(name, command) for name, command in commands.items()}
        in_turns(rivals, 1)  # what is compiled, and read from the disk, for the first time
        in_job.clear()
        print(f"{nodes} nodes x {ranks} ranks, from the command")
        show(in_turns(rivals, repeats), "s", first="by hand")
        print("\nfrom the start of the batch script")
        show(in_job, "s", first="by hand")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10, *map(int, sys.argv[2:]))
