"""Run all kinds of programs under a hang timeout that is little longer than what they do in a step, and count the alarms.

    SLURM_CONF=DIR/slurm.conf PYTHONPATH=tests/slurm:tests/launch python tests/slurm/alarms.py FOLDER [REPEATS [CASE ...]]

There are ten cases, each run ten times if nothing else is said: 100 runs. Each prints a line when it is over, and the whole ends
with exit status 1 if one was taken to hang, or has not ended well.
"""

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

from hangs import FIT
from launched import ROOT, launch
from mpi_program import MPICC

from launch.record.failures.hang import usual_step
from launch.record.rundir import RunDir
from launch.submit.study import folders

TIMEOUT_S = 6

STEPS = """
import time, rankloop
for step in rankloop.steps(range(4), examples=1): time.sleep(4)
with rankloop.phase("evaluation"):
    began = time.time()
    while time.time() - began < 8: pass
"""
BUSY = """
import time
began = time.time()
while time.time() - began < 15: pass
"""
PRINTS = """#!/bin/bash
for i in 1 2 3; do sleep 4; echo "line $i"; done
"""
EARLY = """
import sys, time, rankloop
if rankloop.rank == 0: sys.exit()
for step in rankloop.steps(range(4)): time.sleep(3)
"""
MPI = """
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    FILE *steps = fopen(getenv("LAUNCH_STEPS"), "a");
    for (int step = 1; step <= 4; step++) {
        fprintf(steps, "{\\"step\\": %d, \\"start\\": %ld, \\"seconds\\": 3}\\n", step, time(NULL));
        fflush(steps);
        usleep(3000000);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    return MPI_Finalize();
}
"""
SLOW_FIT = FIT.replace("rankloop.rank == 1 and batch == 5: time.sleep(1000)", "batch % 10 == 5: time.sleep(3)")


@dataclasses.dataclass
class Case:
    """What is run, and the text of a program of its own, if it has one."""

    words: tuple[str, ...]
    text: str = ""


CASES = {
    "tiny": Case(("tiny", "--examples=1024", "--batch=128", "--pause=3", "--epochs=2", "--evaluate-every=1", "--checkpoint-every=1")),
    "cfd_resnet": Case(("workloads.cfd_resnet", "--epochs=2", "--batch=4", "--flows=32", "--evaluate-every=1", "--checkpoint-every=1")),
    "mnist": Case(("workloads.mnist", f"--data={ROOT.parent / 'shared' / 'data' / 'mnist'}", "--network=fc", "--batch=1024", "--epochs=1", "--evaluate-every=0.5")),
    "climate": Case(("workloads.climate", "--sequences=2", "--width=8", "--batch=4", "--epochs=2", "--evaluate-every=1")),
    "fit": Case(("fit.py",), SLOW_FIT),
    "steps": Case(("steps.py",), STEPS),
    "busy": Case(("busy.py",), BUSY),
    "prints": Case(("prints.sh",), PRINTS),
    "early": Case(("early.py",), EARLY),
    "mpi": Case(("mpi.c",), MPI),
}  # fmt: skip


def tried(folder: Path, name: str, repeats: int) -> tuple[int, int, int]:
    """Run a case several times; return how many runs there were, how many alarms, and how many other ends but a good one."""
    case, began = CASES[name], time.monotonic()
    folder.mkdir(parents=True)
    words = list(case.words)
    if case.text:
        path = folder / words[0]
        path.write_text(case.text)
        path.chmod(0o755)
        if path.suffix == ".c":
            subprocess.run([MPICC, "-o", path.with_suffix(""), path], check=True)
            path = path.with_suffix("")
        words[0] = str(path)
    options = (
        "-N",
        "2",
        f"--repeats={repeats}",
        f"--throttle={5 if case.text and name != 'fit' else 1}",  # those that sleep disturb nobody
        "--time=9",
        f"--hang-timeout={TIMEOUT_S}s",
        "--sample-hz=0",
    )
    done = launch("--runs", folder, "--name=r", *options, *words, wait=3600)
    runs = folders.runs_in(folder / "r") if (folder / "r").exists() else []
    hung = [run for run in runs if any(event.get("reason") == "hung" for event in run.events("ended"))]
    bad = [run for run in runs if run.result() is None and run not in hung]
    steps = [found.seconds for run in runs if (found := usual_step(run))]
    step = f"step {max(steps):.2f} s" if steps else "no steps"
    near = sum(_warned(run) for run in runs)
    line = f"{name:12} runs {len(runs):3}  alarms {len(hung)}  other failures {len(bad)}  {step:12} near {near}"
    print(f"{line}  {time.monotonic() - began:.0f} s", flush=True)
    if hung or bad or not runs:
        print(
            done.stdout[-3000:],
            done.stderr[-2000:],
            *(run.events("ended") for run in hung),
            file=sys.stderr,
            flush=True,
        )
    return len(runs), len(hung), len(bad) + (not runs)


def _warned(run: RunDir) -> bool:
    """Whether it was without a sign of life for more than half of the timeout."""
    return any("give more --hang-timeout" in path.read_text() for path in run.logs.glob("node*.log"))


def main(argv: list[str]) -> int:
    """Try the cases, and print a line for each and one for all."""
    folder, *rest = argv
    repeats, names = int(rest[0]) if rest else 10, rest[1:] or list(CASES)
    every = [tried(Path(folder).absolute() / name, name, repeats) for name in names]
    runs, hung, bad = (sum(column) for column in zip(*every))
    print(f"all          runs {runs}  alarms {hung}  other failures {bad}")
    return int(bool(hung or bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
