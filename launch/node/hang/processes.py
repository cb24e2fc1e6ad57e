"""What the kernel reports about a rank's processes: whether they live, what they use, and where they wait."""

import contextlib
import os
import re
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")

STATES = {"T": "is stopped (SIGSTOP)", "t": "is stopped by a debugger", "D": "waits in the kernel for I/O"}
"""The states in /proc/PID/stat that show what is wrong."""


class Stat(NamedTuple):
    """Fields of /proc/PID/stat."""

    state: str
    parent: int
    cpu_s: float  # including children that have ended
    began: int  # start time; identifies the process together with the pid


def stat(pid: int) -> Stat | None:
    """Return what is known about a process; None if there is none, or only its exit status is left."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if fields[0] in b"ZX":
        return None
    return Stat(fields[0].decode(), int(fields[1]), sum(map(int, fields[11:15])) / _TICKS, int(fields[19]))


def trees(roots: list[int]) -> dict[int, dict[int, Stat]]:
    """Return, for each of these processes that is alive, itself and all processes that it has started, by pid."""
    every = {int(name): found for name in os.listdir("/proc") if name.isdecimal() and (found := stat(int(name)))}
    children: dict[int, list[int]] = {}
    for pid, found in every.items():
        children.setdefault(found.parent, []).append(pid)
    of_root: dict[int, dict[int, Stat]] = {}
    for root in roots:
        waiting, tree = [root] if root in every else [], {}
        while waiting:
            pid = waiting.pop()
            tree[pid] = every[pid]
            waiting += children.get(pid, [])
        of_root[root] = tree
    return of_root


def transferred(pid: int) -> int:
    """Return the bytes that a process has read from disks and written to them; 0 if that cannot be seen."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/io") as file:
            return sum(int(number) for number in re.findall(r"^(?:read|write)_bytes: (\d+)", file.read(), re.MULTILINE))
    return 0


class Thread(NamedTuple):
    """Fields of /proc/PID/task/TID/schedstat, in nanoseconds."""

    ran: int
    queued: int  # time for which it was ready to run but waited for a core
    turns: int  # how often it got a core


def threads(pid: int) -> dict[int, Thread]:
    """Return what the threads of a process have used, by thread number; empty if the kernel does not count it."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/task"):
            fields = _read(f"/proc/{pid}/task/{name}/schedstat").split()
            if len(fields) == 3:
                found[int(name)] = Thread(*map(int, fields))
    return found


def polls(pid: int) -> bool:
    """Return whether a process has loaded Horovod, whose thread looks for messages a thousand times a second."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/maps", "rb") as file:
        return b"/horovod/" in file.read()
    return False


def catches(pid: int, number: int) -> bool:
    """Return whether a process handles a signal; if not, the signal would end it."""
    mask = _status(pid, "SigCgt")
    return bool(mask) and bool(int(mask, 16) >> (number - 1) & 1)


def waits(pid: int) -> list[str]:
    """Return where each thread of a process is in the kernel, if that is readable: its state, what it waits for, its
    system call."""
    lines = []
    with contextlib.suppress(OSError):
        for thread in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
            facts = [_read(f"/proc/{pid}/task/{thread}/{name}") for name in ("comm", "wchan", "syscall")]
            comm, wchan, call = (fact.split("\n")[0].strip() for fact in facts)
            state = _status(f"{pid}/task/{thread}", "State")
            call = f", system call {call.split()[0]}" if call and call[0].isdecimal() else ""
            lines.append(f"thread {thread} {comm}: {state}{f', in {wchan}' if wchan not in ('', '0') else ''}{call}")
            lines += [f"  {line}" for line in _read(f"/proc/{pid}/task/{thread}/stack").splitlines()[:8]]
    return lines


def command(pid: int) -> str:
    """Return the words that a process was started with."""
    return _read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()[:200]


def _status(place: int | str, key: str) -> str:
    match = re.search(rf"^{key}:\s*(.*)$", _read(f"/proc/{place}/status"), re.MULTILINE)
    return match[1] if match else ""


def _read(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read(65536)
    return ""
