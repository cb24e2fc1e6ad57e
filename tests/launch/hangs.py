"""Programs that hang, each in its own way and at its own moment."""

import dataclasses
import re
import subprocess
from pathlib import Path

from mpi_program import MPICC

from launch.record.rundir import RunDir

TIMEOUT = "--hang-timeout=5s"

PROGRAM = """
import atexit, fcntl, os, queue, signal, socket, subprocess, sys, threading, time
import rankloop
way, folder = sys.argv[1:]
os.makedirs(folder, exist_ok=True)

def barrier(step):
    open(f"{folder}/{step}.{rankloop.rank}", "w").close()
    while not all(os.path.exists(f"{folder}/{step}.{rank}") for rank in range(rankloop.size)):
        time.sleep(0.01)

def deadlock():
    one, two = threading.Lock(), threading.Lock()
    def other():
        with two:
            time.sleep(0.2)
            with one: pass
    with one:
        threading.Thread(target=other, daemon=True).start()
        time.sleep(0.2)
        with two: pass

def flock():
    first, second = (open(f"{folder}/lock", "w") for _ in range(2))
    fcntl.flock(first, fcntl.LOCK_EX)
    fcntl.flock(second, fcntl.LOCK_EX)

def fifo():
    os.path.exists(f"{folder}/fifo") or os.mkfifo(f"{folder}/fifo")
    open(f"{folder}/fifo").read()

def unanswered():
    one, other = socket.socketpair()
    one.recv(1)

def spin():
    while True: pass

WAYS = {
    "sleep": lambda: time.sleep(1000),
    "deadlock": deadlock,
    "stopped": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "fifo": fifo,
    "flock": flock,
    "socket": unanswered,
    "child": lambda: subprocess.run(["sleep", "1000"]),
    "queue": lambda: queue.Queue().get(),
    "spin": spin,
    "signal": lambda: signal.sigwait([signal.SIGUSR1]),
}
name, _, moment = way.partition("-")
hang = WAYS[name]
mine = rankloop.rank == 1 and os.environ.get("LAUNCH_ATTEMPT") == "1"
if moment == "start" and mine: hang()
for step in rankloop.steps(range(12), examples=1):
    time.sleep(0.05)
    if step == 7 and mine and not moment: hang()
    if step == 7 and moment == "evaluation":
        with rankloop.phase("evaluation"):
            if mine: hang()
            barrier("evaluation")
    if step == 7 and mine and moment == "leaves": break
    barrier(step)
if moment == "leaves" and mine: hang()
if moment == "atexit" and mine: atexit.register(hang)
if moment == "thread" and mine: threading.Thread(target=hang).start()
"""

SILENT = """
import os, sys, time
print("begins", flush=True)
if os.environ["LAUNCH_RANK"] == "1" and os.environ["LAUNCH_ATTEMPT"] == "1": time.sleep(1000)
"""

MPI4PY = """
import time
import rankloop
from mpi4py import MPI
for step in rankloop.steps(range(20), examples=1):
    if step == 9 and MPI.COMM_WORLD.rank == 1: time.sleep(1000)
    MPI.COMM_WORLD.Barrier()
"""

HOROVOD = """
import time
import tensorflow as tf
import horovod.tensorflow as hvd
hvd.init()
hvd.allreduce(tf.ones(3), name="first")
if hvd.rank() == 1: time.sleep(1000)
hvd.allreduce(tf.ones(3), name="second")
"""

FIT = """
import time
import keras, numpy as np
import rankloop, rankloop.keras as rk
class Hangs(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if rankloop.rank == 1 and batch == 5: time.sleep(1000)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
rk.fit(model, np.zeros((640, 4), "float32"), np.zeros((640, 1), "float32"), batch_size=16, epochs=3, callbacks=[Hangs()], verbose=0)
"""

C = """
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int rank;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    FILE *steps = fopen(getenv("LAUNCH_STEPS"), "a");
    for (int step = 1; step <= 20; step++) {
        fprintf(steps, "{\\"step\\": %d, \\"start\\": %ld, \\"seconds\\": 0.1}\\n", step, time(NULL));
        fflush(steps);
        usleep(100000);
        if (step == 9 && rank == 1) {
            if (argc > 1 && vfork() == 0)
                for (;;) pause();
            pause();
        }
        MPI_Barrier(MPI_COMM_WORLD);
    }
    return MPI_Finalize();
}
"""

BASH = """#!/bin/bash
echo "rank $LAUNCH_RANK begins"
if [ "$LAUNCH_RANK" = 1 ]; then sleep 1000; fi
sleep 1
"""


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to hang."""

    name: str
    says: str  # a pattern in what is said of it
    words: tuple[str, ...] = ()  # options of the job
    of: str = "program"  # what is run
    stack: str = ""  # a pattern in the stacks


WAYS = (
    Way("sleep", r"rank 1 on \S+ is at program.py, .*sleep", stack=r"program.py\", line \d+ in <lambda>"),
    Way("deadlock", r"rank 1 on \S+ is at program.py, line \d+ in deadlock", stack="in deadlock"),
    Way("stopped", r"rank 1 on \S+ is stopped \(SIGSTOP\)", stack="cannot write its stacks, as it is stopped"),
    Way("fifo", r"rank 1 on \S+ is at program.py, line \d+ in fifo", stack="in fifo"),
    Way("flock", r"rank 1 on \S+ is at program.py, line \d+ in flock", stack="in flock"),
    Way("socket", r"rank 1 on \S+ is at program.py, line \d+ in unanswered"),
    Way("child", r"rank 1 on \S+ is at program.py, .*subprocess.run", stack="process \\d+: sleep 1000"),
    Way("queue", r"rank 1 on \S+ is at program.py, .*queue.Queue", stack="queue.py"),
    Way("spin", r"rank 1 on \S+ is at program.py, line \d+ in spin", stack="in spin"),
    Way("signal", r"rank 1 on \S+ is at program.py, .*sigwait"),
    Way("sleep-start", r"no output and no CPU use .*rank 1 on \S+ is at program.py|rank 1 on \S+ is behind \(step 0"),
    Way("fifo-evaluation", r"rank 1 on \S+ is at program.py, line \d+ in fifo", stack="in: evaluation"),
    Way("queue-leaves", r"rank 1 on \S+ .*queue.Queue"),
    Way("sleep-atexit", r"its only rank that is left, 1 on \S+, is at program.py"),
    Way("socket-thread", r"its only rank that is left, 1 on \S+", stack="in unanswered"),
    Way("silent", r"no output and no CPU use for 5 s; its only rank that is left, 1", of="silent"),
    Way("bash", r"no output and no CPU use for 5 s; its only rank that is left, 1 .*sleep", of="bash", stack="sleep 1000"),
    Way("mpi4py", r"rank 1 on \S+ is at mpi4py_ranks.py, .*sleep.*; the others wait", ("--rendezvous=mpi",), "mpi4py"),
    Way("horovod", r"no output and no CPU use .*rank 1 on \S+ is at horovod_ranks.py, .*sleep.*; the others wait", of="horovod"),
    Way("fit", r"rank 1 on \S+ is at fit_ranks.py, line \d+ in on_train_batch_end", of="fit"),
    Way("c", r"rank 1 on \S+ is at c: S", ("--rendezvous=mpi",), "c"),
    Way("c-vfork", r"rank 1 on \S+ waits in the kernel", ("--rendezvous=mpi",), "c"),
    Way("start", r"rank 1 on \S+ .*hanging.py, line \d+ in stuck", of="workload"),
    Way("load", r"rank 1 on \S+", of="workload", stack="hanging.py\", line \\d+ in stuck"),
    Way("evaluate", r"rank 1 on \S+", of="workload", stack="in: evaluate"),
    Way("checkpoint", r"rank 0 on \S+ is at hanging.py, line \d+ in stuck", of="workload", stack="in: checkpoint"),
    Way("finish", r"rank 0 on \S+|its only rank that is left, 0", of="workload", stack="in stuck"),
)  # fmt: skip


def hung(way: Way, run: RunDir) -> str:
    """Check that the last attempt of `run` ended as hung, with what is right for `way` said and kept; return what was said."""
    ended = run.events("ended")[-1]
    assert (ended["outcome"], ended.get("reason")) == ("failed", "hung"), run.events()
    said = ended["hang"]["said"]
    assert re.search(way.says, said), said
    kept = "".join(path.read_text() for path in (run.stacks / "attempt1").glob("node*.txt"))
    assert re.search(way.stack, kept), kept
    return said


def words(way: Way, folder: Path) -> list[str]:
    """What is launched: the options of the job, and the program."""
    texts = {"program": PROGRAM, "silent": SILENT, "mpi4py": MPI4PY, "horovod": HOROVOD, "fit": FIT}
    if way.of == "workload":
        rank = 0 if way.name in ("checkpoint", "finish") else 1
        options = [
            "--hang",
            way.name,
            "--rank",
            str(rank),
            "--batch=32",
            "--epochs=4",
            "--evaluate-every=1",
            "--checkpoint-every=1",
        ]
        return [TIMEOUT, *way.words, "hanging", *options, "--pause=0.05"]
    if way.of == "c":
        (folder / "c.c").write_text(C)
        subprocess.run([MPICC, "-o", folder / "c", folder / "c.c"], check=True)
        return [TIMEOUT, *way.words, str(folder / "c"), *(["vfork"] if "vfork" in way.name else [])]
    if way.of == "bash":
        (folder / "bash.sh").write_text(BASH)
        (folder / "bash.sh").chmod(0o755)
        return [TIMEOUT, *way.words, str(folder / "bash.sh")]
    path = folder / f"{way.of}{'' if way.of == 'program' else '_ranks'}.py"  # mpi4py.py would take the package's place
    path.write_text(texts[way.of])
    return [TIMEOUT, *way.words, str(path), way.name, str(folder / "shared")]
