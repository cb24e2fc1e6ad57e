"""Records the failure of a rank in the run directory, before its end makes other ranks fail."""

import os
import resource
import signal
import socket
import sys
import time
from typing import Any

from launch.node import own_run
from launch.node.rank import Rank
from launch.record.files import read_lines
from launch.record.rundir import RunDir
from launch.record.writing import append_line


def note(run: RunDir, rank: Rank, attempt: int, error: str, trace: str = "", refused: bool = False) -> None:
    """Add a line to failures/, as `launch.record.contents.FirstFailure` says."""
    if own_run.is_replaced(run):
        return
    line: dict[str, Any] = {
        "time": round(time.time(), 3),
        "attempt": attempt,
        "rank": rank.rank,
        "node": rank.node,
        "host": os.environ.get("SLURMD_NODENAME") or socket.gethostname(),  # the name by which Slurm can exclude it
        "error": error,
        "traceback": trace,
        "refused": refused,
        "address_space": _address_space(),
    }
    try:
        append_line(run.node_failures(rank.node), line)
    except OSError as failed:  # a full disk: the error itself is still to be printed
        print(f"launch: the following failure could not be written to {run.failures}: {failed}", file=sys.stderr)


def note_end(run: RunDir, rank: Rank, attempt: int, code: int) -> None:
    """Record that the process of a rank ended with an exit status, or by the signal ``-code``, unless the rank has
    recorded its failure itself."""
    noted = read_lines(run.node_failures(rank.node))
    if not any(line["rank"] == rank.rank and line["attempt"] == attempt for line in noted):
        note(run, rank, attempt, f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}")


def _address_space() -> int | None:
    """Return the limit on the address space of this process in bytes, if the node has more memory than that."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return limit if 0 <= limit < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") else None
