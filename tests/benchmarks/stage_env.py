"""What --stage-env saves:   python tests/benchmarks/stage_env.py [REPEATS [NODES...]] [broadcast]

On emulated nodes (1, 4 and 16), one rank each, of a program that imports numpy and submitit from a virtual environment on a
slow shared folder (slow_folder.c: 0.5 ms for each open and stat, one at a time for all nodes, as by a busy server of
metadata; 500 MB/s): files opened there in the whole job, and seconds from the command to the first step, when the last rank
has imported what it needs. In turns: from the shared folder; staged, on nodes that have nothing; and staged by a later run.
The disk of a node is its own tmpfs. Then the archive is brought to the nodes by Slurm's sbcast, and by a tree of our
own: each node passes on to two others, while it still receives.
"""

import os
import shutil
import struct
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

from measured import ROOT, in_turns, show, slurm

SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGES = ("numpy", "numpy.libs", "submitit", "cloudpickle", "typing_extensions.py")
SERVICE_US, MB_PER_S = 500, 500
PROGRAM = """
import os, time, numpy, submitit
now = time.time()
name = {folder!r} + "/first-step-" + os.environ["LAUNCH_RANK"]
open(name + ".draft", "w").write(repr(now))
os.rename(name + ".draft", name)
"""
SITE = """
rendezvous = "gloo"
node_disk = "/dev/shm"
[env]
LD_PRELOAD = "{library}"
SLOW_FOLDER = "{shared}/"
SLOW_SERVER = "{folder}/server"
SLOW_US = "{us}"
SLOW_MB_PER_S = "{speed}"
"""
OUR_TREE = """
import os, socket, subprocess, sys, time
source, target, port, nodes = sys.argv[1], sys.argv[2], int(sys.argv[3]), os.environ["SLURM_JOB_NODELIST"]
names = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True).stdout.split()
own = int(os.environ["SLURM_PROCID"])
children = [number for number in (2 * own + 1, 2 * own + 2) if number < len(names)]
server = socket.create_server(("", port + own))
server.listen(2)
if own:
    way = socket.socket()
    for _ in range(2000):
        try:
            way.connect((names[(own - 1) // 2], port + (own - 1) // 2))
            break
        except OSError:
            way.close()
            way = socket.socket()
            time.sleep(0.005)
    file = way.makefile("rb")
else:
    file = open(source, "rb")
ways = [server.accept()[0] for _ in children]
with open(target, "wb") as copy:
    while data := file.read1(2**20) if own else file.read(2**20):
        copy.write(data)
        for each in ways:
            each.sendall(data)
"""


def main(repeats: int, sizes: list[int], alone: str | None) -> None:
    """Measure and print tables; with ``alone``, the second part only."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with slurm(max(sizes)) as work:
        shared = work / "shared"
        python = _environment(shared / "env")
        library = work / "slow.so"
        subprocess.run(
            ["cc", "-O2", "-shared", "-fPIC", "-o", library, Path(__file__).with_name("slow_folder.c"), "-ldl"],
            check=True,
        )
        program = work / "program.py"
        program.write_text(PROGRAM.format(folder=str(work)))
        (work / "site.toml").write_text(
            SITE.format(library=library, shared=shared, folder=work, us=SERVICE_US, speed=MB_PER_S)
        )
        ours = [python, str(ROOT / "launch" / "inside" / "rankloop"), "--site", str(work / "site.toml"), "--detach"]
        ours += ["--sample-hz", "0", "--time", "5", "--runs", str(shared / "runs")]
        (work / "server").write_bytes(bytes(16))
        # Packed beforehand: it is once for all runs.
        subprocess.run([*ours, "-N", "1", "--stage-env", str(program)], check=True, cwd=work, stdout=subprocess.DEVNULL)
        _until_idle()
        archive = next((shared / "runs" / ".environments").glob("*.tar"))
        print(f"environment: {archive.stat().st_size / 2**20:.0f} MiB packed")
        for nodes in sizes if alone != "broadcast" else []:
            opened: dict[str, list[float]] = {}
            looked: dict[str, list[float]] = {}

            def first_step(name: str, *options: str, nodes=nodes, opened=opened, looked=looked) -> float:
                if name.endswith("new"):
                    _on_nodes(work, nodes, "rm -rf /dev/shm/rankloop-*")
                for path in work.glob("first-step-*"):
                    path.unlink()
                (work / "server").write_bytes(bytes(16))
                began = time.time()
                subprocess.run(
                    [*ours, "-N", str(nodes), *options, str(program)], check=True, cwd=work, stdout=subprocess.DEVNULL
                )
                notes = [work / f"first-step-{rank}" for rank in range(nodes)]
                while not all(note.exists() for note in notes):
                    if time.time() > began + 300:
                        raise TimeoutError(f"{name} did not get to its first step in five minutes")
                    time.sleep(0.01)
                found = max(float(note.read_text()) for note in notes) - began
                _until_idle()
                opens, stats = struct.unpack("QQ", (work / "server").read_bytes())
                opened.setdefault(name, []).append(opens)
                looked.setdefault(name, []).append(stats)
                return found

            rivals: dict[str, Callable[[], float]] = {
                "from the shared folder": lambda: first_step("shared"),
                "--stage-env, on new nodes": lambda: first_step("new", "--stage-env"),
                "--stage-env, again": lambda: first_step("again", "--stage-env"),
            }
            print(f"\n{nodes} nodes: seconds from the command to the first step")
            show(in_turns(rivals, repeats), "s", first="shared")
            for name in opened:
                print(f"{name}: {min(opened[name]):.0f} files opened there, {min(looked[name]):.0f} looked at")
        if alone is None or alone == "broadcast":
            _broadcast(work, max(sizes), archive, shared, library, repeats)


def _broadcast(work: Path, nodes: int, archive: Path, shared: Path, library: Path, repeats: int) -> None:
    tree = work / "tree.py"
    tree.write_text(OUR_TREE)
    slow = f"LD_PRELOAD={library} SLOW_FOLDER={shared}/ SLOW_SERVER={work}/server SLOW_US={SERVICE_US} SLOW_MB_PER_S={MB_PER_S}"
    step = f"srun -N {nodes} -n {nodes} --ntasks-per-node=1 --mpi=none"
    print(f"\nthe archive on {nodes} nodes")
    show(
        in_turns(
            {
                "sbcast": lambda: _timed(work, nodes, f"{slow} sbcast --force {archive} /dev/shm/sbcast"),
                "our own tree": lambda: _timed(
                    work, nodes, f"{slow} {step} {SYSTEM_PYTHON} -I -S {tree} {archive} /dev/shm/tree 24000"
                ),
            },
            repeats,
        ),
        "s",
    )


def _environment(folder: Path) -> str:
    subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    for name in PACKAGES:
        source, target = Path(sysconfig.get_paths()["platlib"], name), packages / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return str(folder / "bin" / "python")


def _until_idle() -> None:
    while subprocess.run(["squeue", "-h"], capture_output=True, check=True).stdout:
        time.sleep(0.2)
    time.sleep(1.1)  # two runs of one second would have the same name


def _job(work: Path, nodes: int, lines: str) -> None:
    script = work / "job.sh"
    script.write_text(f"#!/bin/bash\n{lines}\n")
    words = [
        "sbatch",
        "--wait",
        f"--nodes={nodes}",
        "--ntasks-per-node=1",
        "--time=5",
        f"--output={work}/job.log",
        script,
    ]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def _on_nodes(work: Path, nodes: int, command: str) -> None:
    _job(work, nodes, f"srun -N {nodes} -n {nodes} --ntasks-per-node=1 bash -c '{command}'")


def _timed(work: Path, nodes: int, command: str) -> float:
    _job(work, nodes, f"began=$EPOCHREALTIME\n{command} || exit 1\necho $began $EPOCHREALTIME >{work}/seconds")
    began, ended = map(float, (work / "seconds").read_text().split())
    return ended - began


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "broadcast"]
    chosen = [int(word) for word in words[1:]] or [1, 4, 16]
    main(int(words[0]) if words else 3, chosen, "broadcast" if "broadcast" in sys.argv else None)
