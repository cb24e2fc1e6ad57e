"""Keeps the stacks of hung ranks in stacks/: those of Python's threads, and what the kernel reports of any thread."""

import linecache
import os
import re
import time
from collections.abc import Sequence

from launch import HOME
from launch.node.hang import processes, pulse
from launch.node.hang.signs import Watched
from launch.record.rundir import RunDir

_WAIT_S, _SETTLED_S = 3.0, 0.2  # longest wait for the stacks of a rank; silence after which they are complete

_FRAME = re.compile(r'  File "(.+)", line (\d+) in (.+)')
_LIBRARY = re.compile(r"site-packages|dist-packages|/lib/python3|^<|" + re.escape(os.path.join(HOME, "launch")))
_COLLECTIVE = re.compile(
    r"horovod|mpi4py|tensorflow/python/eager/execute|torch/distributed|"
    r"\b[iI]?(all_?reduce|all_?gather|broadcast|bcast|barrier|reduce|gather|scatter|all_?to_?all|waitall)(_\w+)?\(",
    re.IGNORECASE,
)
_MESSAGE = re.compile(r"\b[iI]?recv(_\w+)?\(", re.IGNORECASE)


def keep(run: RunDir, attempt: int, node: int, host: str, ranks: Sequence[Watched]) -> None:
    """Write the stacks of a node's ranks into one file, and record where each rank is."""
    path = run.node_stacks(attempt, node)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        for rank in ranks:
            of_python = _python(rank.pid, rank.state)
            rank.at, rank.waits = _place(rank, of_python)
            step = f", after step {rank.step}" if rank.step else ""
            phase = f", in: {rank.phase}" if rank.phase else ""
            print(f"rank {rank.rank} on {host}, idle for {rank.idle_s:.1f} s{step}{phase}", file=file)
            for pid in [rank.pid, *sorted(set(rank.tree) - {rank.pid})]:
                more = of_python if pid == rank.pid else _python(pid, rank.tree[pid].state)
                print(f"process {pid}: {processes.command(pid)}", file=file)
                print("\n".join(f"  {line}" for line in processes.waits(pid)), file=file)
                if more:
                    print(more.rstrip(), file=file)
                elif rank.tree.get(pid, processes.Stat("", 0, 0, 0)).state in processes.STATES:
                    print("  it cannot write its stacks, as it " + processes.STATES[rank.tree[pid].state], file=file)
            print(file=file, flush=True)


def _python(pid: int, state: str) -> str:
    """Return the stacks that a Python process writes on request; empty for a process that cannot be asked."""
    path = pulse.find(pid, pulse.STACKS)
    if path is None or state in processes.STATES or not processes.catches(pid, pulse.SIGNAL):
        return ""
    try:
        before = os.stat(path).st_size
        os.kill(pid, pulse.SIGNAL)
        deadline, size, since = time.monotonic() + _WAIT_S, before, time.monotonic()
        while (now := time.monotonic()) < deadline and (size == before or now - since < _SETTLED_S):
            time.sleep(0.02)
            if (more := os.stat(path).st_size) != size:
                size, since = more, now
        with open(path, "rb") as file:
            file.seek(before)
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _place(rank: Watched, text: str) -> tuple[str, int]:
    """Return where a rank is in its program, in short, and whether it waits for other ranks there: 2 in a collective, 1
    for a message, which may come from another rank or from elsewhere, 0 otherwise."""
    others = rank.phase.startswith("waiting")
    # Python writes the main thread last.
    frames = [match.groups() for line in re.split(r"\n(?=(?:Current t|T)hread )", text)[-1].splitlines()
              if (match := _FRAME.match(line))]  # fmt: skip
    if not frames:
        leaf = max(rank.tree, default=rank.pid)  # the program that a script has started and waits for
        first = next(iter(processes.waits(leaf)), "")
        what = processes.command(leaf).split(" ")[0].rpartition("/")[2]
        state = processes.STATES.get(rank.state)
        where = first.partition(": ")[2]
        return state or f"{what}: {where}", 2 * (others or where.startswith("R"))  # MPI waits by polling, in state R
    file, line, function = next((each for each in frames if not _LIBRARY.search(each[0])), frames[0])
    source = linecache.getline(file, int(line)).strip()
    shown = f"{os.path.basename(file)}, line {line} in {function}" + (f": {source}" if source else "")
    inner = next(iter(frames))
    # For a library, its path shows what it is. For the program, whose files may have any name, the called function
    # does.
    words = [path.rpartition("-packages/")[2] if _LIBRARY.search(path) else f"{name}()" for path, _, name in frames]
    words.append(source)
    waits = 2 if others or any(map(_COLLECTIVE.search, words)) else int(any(map(_MESSAGE.search, words)))
    return shown if inner[0] == file or source else f"{shown}, {inner[2]}", waits
